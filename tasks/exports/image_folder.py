"""A folder a class: train/<class>/<id>.png and train/metadata.csv.

Read by `datasets.load_dataset("imagefolder", data_dir=...)` (by the column file_name) and `torchvision.datasets.ImageFolder(".../train")`.
"""

import io
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import Field

from schema.marking import XMP
from schema.section import Section
from tasks.exports import Export, Folder, Synthetic
from tasks.exports._names import folder_names
from tasks.exports._table import lines


class Plugin(Export):
    kind = "image-folder"

    class Options(Section):
        format: Literal["png", "jpeg"] = Field(default="png", description="png keeps every pixel; jpeg does not")
        quality: int = Field(default=95, ge=1, le=100, description="of jpeg")

    def fill(self, release: Folder, folder: Path, options: Options) -> None:
        names = folder_names(release.classes)
        train = folder / "train"
        for name in names.values():
            (train / name).mkdir(parents=True)
        suffix = {"png": "png", "jpeg": "jpg"}[options.format]
        with lines(train, release, "file_name") as table:
            for record in release.records():
                path = f"{names[record.label_name]}/{record.id}.{suffix}"
                (train / path).write_bytes(record.png if options.format == "png" else jpeg(record, options.quality))
                table.add(record, file_name=path)


def jpeg(record: Synthetic, quality: int) -> bytes:
    """Colours at full resolution (4:4:4), and marked: the XMP packet in an APP1 segment (XMP Specification part 3, 1.1.3)."""
    stream = io.BytesIO()
    Image.fromarray(record.pixels).save(stream, format="JPEG", quality=quality, subsampling=0, xmp=XMP)
    return stream.getvalue()
