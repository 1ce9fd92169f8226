"""Whether the watermark that was asked for is in the images that are about to leave, and outlives what is done to images."""

import io
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from models.watermark import is_marked
from schema.errors import GateFailed
from schema.params import Watermark
from schema.record import decode_png
from tasks.exports import Draft

MOST = 1000
"""Images that are looked at: of a rate of 0.99 the standard error is then 0.003."""


def jpeg(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=75)
    return Image.open(stream)


def resized(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.resize((round(0.75 * width), round(0.75 * height)), Image.Resampling.BICUBIC)


TRIALS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "after JPEG of quality 75": jpeg,
    "after resizing to three quarters": resized,
}


def check(dataset: str, draft: Draft, asked: Watermark | None) -> dict[str, float] | None:
    """The share of images in which the mark is found, by trial; None where none was asked for. Raises GateFailed where a share is below
    `asked.detected`. Looks at MOST images at most, at equal distances."""
    if asked is None:
        return None
    step = -(-draft.rows // MOST)
    found: dict[str, list[bool]] = {trial: [] for trial in TRIALS}
    for png in islice(_pngs(draft), 0, None, step):
        image = decode_png(png)
        picture = Image.fromarray(np.squeeze(image, axis=2) if image.shape[2] == 1 else image)
        for trial, change in TRIALS.items():
            pixels = np.asarray(change(picture))
            found[trial].append(is_marked(pixels[:, :, None] if pixels.ndim == 2 else pixels))
    shares = {trial: float(np.mean(hits)) for trial, hits in found.items()}
    lost = [f"{trial} in {share:.1%}" for trial, share in shares.items() if share < asked.detected]
    if lost:
        raise GateFailed(
            f"{dataset} is not released: its watermark is found {', '.join(lost)} of the images, where datasets.{dataset}.sample.watermark "
            f"asks for {asked.detected:.1%}: draw larger images, ask for less, or leave the watermark out"
        )
    return shares


def _pngs(draft: Draft) -> Iterator[bytes]:
    for path in draft.shards:
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=256, columns=["image"]):
            yield from (row["image"]["bytes"] for row in batch.to_pylist())
