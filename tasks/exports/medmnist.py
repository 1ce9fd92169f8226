"""MedMNIST: one npz with train_images, train_labels and the same of val and test (Yang et al., Scientific Data 10:41, 2023).

Images are uint8, N x H x W or N x H x W x 3; labels N x 1, or N x L of zeros and ones for a multi-label attribute, as ChestMNIST has them.
Every released image is in train: a release has no split, and one that is drawn from nowhere tests nothing. val and test have no rows.
Read by `numpy.load` and by our own source `medmnist`. The classes of the package `medmnist` read the official sets alone: they count them.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from pydantic import Field

from schema.digest import canonical_json
from schema.errors import UsageError
from schema.section import Section
from tasks.exports import Export, Folder, Synthetic, statement_of
from tasks.exports._table import lines

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can name; it stands for none."""

SPLITS = ("train", "val", "test")


class Plugin(Export):
    kind = "medmnist"

    class Options(Section):
        labels: str = Field(default="label", description="label, or an attribute of the release: its words are the labels then")

    def fill(self, release: Folder, folder: Path, options: Options) -> None:
        width, told = labels_of(release, options.labels)
        path = folder / f"{release.release.dataset}.npz"
        kind = np.uint8 if max(len(release.classes), len(release.conditions)) <= 256 else np.int64
        labels = np.empty((release.release.images, width), kind)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, lines(folder, release) as table:
            with entry(archive, "train_images") as stream:
                head(stream, (release.release.images, *release.shape), np.uint8)
                for row, record in enumerate(release.records()):
                    stream.write(record.pixels.tobytes())
                    labels[row] = told(record)
                    table.add(record)
            save(archive, "train_labels", labels)
            for split in SPLITS[1:]:
                save(archive, f"{split}_images", np.empty((0, *release.shape), np.uint8))
                save(archive, f"{split}_labels", np.empty((0, width), kind))
            save(archive, "synthetic", np.array(canonical_json(statement_of(release))))


def labels_of(release: Folder, wanted: str) -> tuple[int, Callable[[Synthetic], int | list[int]]]:
    """How many numbers a label has, and the label of a record. Raises UsageError for what the release does not say of its images."""
    if wanted == "label":
        return 1, lambda record: record.label
    told = [condition for condition in release.conditions if condition.attribute == wanted]
    if not told:
        known = ", ".join(dict.fromkeys(("label", *(condition.attribute for condition in release.conditions))))
        raise UsageError(f"medmnist: option labels: {release.release.tag} says no {wanted!r} of its images; it says: {known}")
    if told[0].label is None:
        return 1, lambda record: told[0].values.index(record.attributes[wanted])
    return len(told), lambda record: [int(condition.label in record.attributes[wanted]) for condition in told]


def entry(archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{key}.npy", EPOCH)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    # Its size is not known beforehand, and may pass 4 GiB.
    return archive.open(info, "w", force_zip64=True)


def head(stream: IO[bytes], shape: tuple[int, ...], kind: type) -> None:
    """The head of an npy whose bytes follow (NumPy enhancement proposal 1)."""
    said = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, said)


def save(archive: zipfile.ZipFile, key: str, value: np.ndarray) -> None:
    with entry(archive, key) as stream:
        np.lib.format.write_array(stream, value, allow_pickle=False)
