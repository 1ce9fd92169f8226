"""A record, and the two Parquet layouts: real (stays inside) and synthetic (what is released)."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from schema.conditions import Condition
from schema.digest import sha256_pixels
from schema.marking import mark_png
from schema.release import PLAIN

SPLITS = ("train", "holdout", "test")
"""train: members. holdout: non-members, never trained on, for attacks and nulls. test: judges utility."""


@dataclass(frozen=True)
class Record:
    """One image from a source. `image`: uint8, H x W (grey) or H x W x 3 (RGB), of any size; `patient` is what splits group by.

    `split` is set only by a source that comes with its own split, else None and ingest decides.
    `images`: further images of the same scene by name (`mr` beside a CT, `mask`), each uint8 of the same height and width.
    `attributes`: all else that the source knows, by its own word for it (a column, a DICOM keyword): str, number, list of str, or None.
    Ingest keeps what params.yaml declares of the two, drops the rest and counts it.
    `id` and `patient` are the source's own words: ingest replaces both by keyed digests before anything is written.
    """

    id: str
    patient: str
    image: np.ndarray
    label: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    split: str | None = None
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejected:
    """What a source yields in place of a record that it leaves out: counted and listed, never dropped in silence.

    `asked`: the params ask for leaving it out. Otherwise it is a fault, and ingest refuses more than `max_rejected` of them.
    """

    id: str
    reason: str
    asked: bool = False


def encode_png(image: np.ndarray, synthetic: bool = False) -> bytes:
    """Lossless PNG of uint8 pixels, H x W, H x W x 1 or H x W x 3. The same pixels always give the same bytes.

    `synthetic`: it is marked as such (`schema.marking`). A real image never is.
    """
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", optimize=False, compress_level=4)
    return mark_png(stream.getvalue()) if synthetic else stream.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """uint8 pixels, H x W x C with C 1 or 3."""
    image = np.asarray(Image.open(io.BytesIO(data)))
    return image[:, :, None] if image.ndim == 2 else image


def has_pixels(png: bytes, sha256: str) -> bool:
    """Whether that is the digest of the PNG's pixels (`schema.digest.sha256_pixels`).

    8-bit grey and RGB are decoded by OpenCV, to the same pixels in half the time and outside the interpreter's lock. Where it does not
    find the digest, and for every other PNG, Pillow has the word.
    """
    if png[24:26] in (b"\x08\x00", b"\x08\x02") and (pixels := _by_opencv(png)) is not None and sha256_pixels(pixels) == sha256:
        return True
    return sha256_pixels(decode_png(png)) == sha256


def _by_opencv(png: bytes) -> np.ndarray | None:
    """uint8 pixels, H x W or H x W x 3; None where it finds others, such as transparent ones, or none."""
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more than a million pixels wide or high
        return None
    if pixels is None or pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.shape[2] == 3 else None


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How Hugging Face datasets stores an `Image` feature."""

REAL = pa.schema(
    [
        ("id", pa.string()),
        ("patient", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("image", IMAGE),
        ("sha256", pa.string()),
    ]
)
"""What every real record has; `sha256` is of the pixels of `image`."""

RESERVED = tuple(dict.fromkeys((*REAL.names, *PLAIN, "images", "height", "width")))
"""Names that no attribute and no further image may take."""


def real_schema(images: Iterable[str], attributes: Mapping[str, pa.DataType]) -> pa.Schema:
    """REAL with a column for each further image and each attribute, as params.yaml declares them."""
    return pa.schema([*REAL, *((name, IMAGE) for name in images), *attributes.items()])


WORDS = pa.list_(pa.field("element", pa.string()))
"""A list of words. Its items are called as Parquet calls them, so that a file comes back with the layout it was written with."""


def synthetic_schema(labels: Sequence[str], conditions: Sequence[Condition] = ()) -> pa.Schema:
    """The released layout, with the Arrow metadata by which `datasets` knows the image column and the class names.

    `label` is the class index (ClassLabel), `label_name` the class in words; `seed` made the image; `sha256` is of its pixels. Each
    attribute that the generator was told is a column: a word, or for a multi-label one a list of words.
    """
    said = {condition.attribute: condition.label is not None for condition in conditions}
    word = {"dtype": "string", "_type": "Value"}
    features = {
        "id": word,
        "image": {"_type": "Image"},
        "label": {"names": list(labels), "_type": "ClassLabel"},
        "label_name": word,
        **{name: {"feature": word, "_type": "List"} if several else word for name, several in said.items()},
        "seed": {"dtype": "int64", "_type": "Value"},
        "sha256": word,
    }
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("image", IMAGE),
            ("label", pa.int64()),
            ("label_name", pa.string()),
            *((name, WORDS if several else pa.string()) for name, several in said.items()),
            ("seed", pa.int64()),
            ("sha256", pa.string()),
        ]
    )
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
