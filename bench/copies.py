"""How well ingest finds changed copies of an image, and whether it takes different images for copies, on real images.

    SYNTHMILL_DATA=... python -m bench.copies            # a minute
    SYNTHMILL_DATA=... python -m bench.copies --json

Each change is made to the first images of a dataset of params.yaml and the result looked for beside the original; every image is compared
with all others of its dataset, exact copies left out. Both with the default `ingest.duplicates`.
"""

import argparse
import io
import json
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageEnhance

from schema.params import Duplicates, load
from schema.record import Record
from tasks.ingesting.duplicates import find_copies, perceptual_hash, thumbnail
from tasks.ingesting.reader import open_source

DATASETS = ("nih-cxr", "derm", "pneumonia")


def compressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=30)
    return Image.open(stream)


def noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    noise = np.random.default_rng(0).normal(0, 5, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG at quality 30": compressed,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "contrast 0.8": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "noise of 5 grey levels": noisy,
    "brightness + 20 %": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "2 % cut off at the top and left": lambda image: image.crop((image.width // 50, image.height // 50, image.width, image.height)),
}


def main() -> None:
    """Prints a table, or JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=150, help="images of each dataset that are changed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    result = {dataset: measure(list(distinct(dataset)), asked.images) for dataset in DATASETS}
    if asked.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{'change':<34}" + "".join(f"{dataset:>12}" for dataset in DATASETS))
    for change in CHANGES:
        print(f"{change:<34}" + "".join(f"{result[dataset]['found'][change]:>12.1%}" for dataset in DATASETS))
    for key in ("images", "different images taken for copies"):
        print(f"{key:<34}" + "".join(f"{result[dataset][key]:>12}" for dataset in DATASETS))


def distinct(dataset: str) -> Iterator[np.ndarray]:
    """The images of a dataset as its source has them, each once."""
    seen = set()
    for item in open_source(dataset, load().dataset(dataset).ingest).records():
        if isinstance(item, Record) and item.image.tobytes() not in seen:
            seen.add(item.image.tobytes())
            yield item.image


def measure(images: list[np.ndarray], changed: int) -> dict:
    originals = [facts(image, str(number)) for number, image in enumerate(images)]
    found = {}
    for name, change in CHANGES.items():
        copies = [facts(np.asarray(change(Image.fromarray(image))), f"copy {number}") for number, image in enumerate(images[:changed])]
        pairs = [aside(one, copy) for one, copy in zip(originals, copies, strict=False)]
        found[name] = sum(pairs) / len(pairs)
    return {"found": found, "images": len(images), "different images taken for copies": aside(*originals)}


def facts(image: np.ndarray, name: str) -> tuple[dict[str, str], bytes]:
    small = thumbnail(image)
    row = {"id": name, "patient": name, "label": "", "native": name, "sha256": name, "hash": perceptual_hash(small)}
    return row, small


def aside(*images: tuple[dict[str, str], bytes]) -> int:
    """How many of the images would be set aside as copies of others among them."""
    rows, thumbnails = zip(*images, strict=True)
    return len(find_copies(rows, thumbnails, Duplicates()).aside)


if __name__ == "__main__":
    main()
