"""MedMNIST: `datasets.<name>.ingest.source: {kind: medmnist, file: medmnist/pneumoniamnist.npz, classes: {0: normal, 1: pneumonia}}`.

Reads the npz of MedMNIST v2 (Yang et al., Scientific Data 10:41, 2023): `train_images`, `train_labels` and the same of val and test.
`flag: pneumoniamnist` in place of `file` downloads the official one, checked by its MD5.
"""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from schema.digest import sha256_pixels
from schema.errors import SynthmillError
from schema.params import Section, nearest
from schema.record import Record
from schema.settings import root
from tasks.sources import Source, Unit, resolve
from tasks.sources._download import fetch

RECORD = "https://zenodo.org/records/10519652/files"
"""MedMNIST v2 and + on Zenodo, doi:10.5281/zenodo.10519652."""

MD5 = {
    "bloodmnist": "7053d0359d879ad8a5505303e11de1dc",
    "breastmnist": "750601b1f35ba3300ea97c75c52ff8f6",
    "dermamnist": "0744692d530f8e62ec473284d019b0c7",
    "octmnist": "c68d92d5b585d8d81f7112f81e2d0842",
    "organamnist": "68e3f8846a6bd62f0c9bf841c0d9eacc",
    "organcmnist": "b9ceb9546e10131b32923c5bbeaea2b1",
    "organsmnist": "9ab87b696fb54e2a387ebe992d6ed5f1",
    "pathmnist": "a8b06965200029087d5bd730944a56c1",
    "pneumoniamnist": "28209eda62fecd6e6a2d98b1501bb15f",
    "retinamnist": "bd4c0672f1bba3e3a89f0e4e876791e4",
    "tissuemnist": "ebe78ee8b05294063de985d821c1c34b",
}
"""The official digests of the 28x28 files that have two dimensions and one label an image (ChestMNIST has fourteen)."""

SPLITS = {"train": "train", "val": "holdout", "test": "test"}
KEYS = [f"{split}_{what}" for split in SPLITS for what in ("images", "labels")]

RUN = 512
"""Images that are read at one go."""

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError, RuntimeError, MemoryError),
    *(SyntaxError, tokenize.TokenError, TypeError),
)
"""What zipfile (first row) and numpy's reader of array heads (second row) raise for broken bytes."""


@dataclass(frozen=True)
class Header:
    """What the head of an array in the npz says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool


class Plugin(Source):
    """MedMNIST has no patient ids: `patient` is the digest of the pixels, so exact duplicates are one patient and never
    straddle a split made by patient. `split` is the npz's own, with val as holdout."""

    kind = "medmnist"

    class Config(Section):
        kind: Literal["medmnist"]
        file: str | None = Field(default=None, description="an npz, relative to SYNTHMILL_DATA or absolute")
        flag: str | None = Field(default=None, description="the official name of a set to download in place of a file")
        classes: dict[int, str] = Field(min_length=1, description="number of the npz: label")

        @field_validator("flag")
        @classmethod
        def _is_official(cls, flag: str | None) -> str | None:
            if flag is not None and flag not in MD5:
                raise ValueError(f"not a 2D set of MedMNIST with one label an image{nearest(flag, MD5)}; there are: {', '.join(MD5)}")
            return flag

        @model_validator(mode="after")
        def _one_of_two(self) -> Self:
            if (self.file is None) == (self.flag is None):
                raise ValueError("write either `file` or `flag`")
            return self

    def files(self) -> list[Path]:
        """The npz, its heads and labels checked. The first call with a `flag` downloads it."""
        self.labels()
        return [self._path]

    def labels(self) -> set[str]:
        return {self.config.classes[number] for labels in self._labels.values() for number in np.unique(labels).tolist()}

    def count(self) -> int:
        return sum(map(len, self._labels.values()))

    def units(self) -> Iterator[Unit]:
        """train, then val, then test, in the order of the npz, in runs of RUN images."""
        for split in SPLITS:
            labels = self._labels[split].tolist()
            for first in range(0, len(labels), RUN):
                yield Unit(f"{split}/{first}", (self._path,), {"split": split, "first": first, "labels": labels[first : first + RUN]})

    def read(self, unit: Unit) -> Iterator[Record]:
        """One image is in memory at a time."""
        split, first = unit.facts["split"], unit.facts["first"]
        key = f"{split}_images"
        shape = self._headers[key].shape[1:]
        size = math.prod(shape)
        with self._reading() as archive, _array(archive, key)[0] as stream:
            _skip(stream, first * size)
            for index, label in enumerate(unit.facts["labels"], start=first):
                image = np.frombuffer(_exactly(stream, size), np.uint8).reshape(shape)
                yield Record(f"{split}/{index}", sha256_pixels(image), image, self.config.classes[label], split=SPLITS[split])

    @cached_property
    def _path(self) -> Path:
        if self.config.flag is not None:
            name = f"{self.config.flag}.npz"
            return fetch(f"{RECORD}/{name}", root() / "data" / "downloads" / "medmnist" / name, MD5[self.config.flag])
        path = resolve(self.config.file)
        if not path.is_file():
            raise SynthmillError(f"{self.config.file} is not there: mend ingest.source.file or SYNTHMILL_DATA")
        return path

    @cached_property
    def _headers(self) -> dict[str, Header]:
        """The head of every array. Raises SynthmillError for keys, types or shapes that are not MedMNIST's."""
        with self._reading() as archive:
            found = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            missing = [key for key in KEYS if key not in found]
            if missing:
                raise self._fault(f"it lacks {', '.join(missing)}; it has: {', '.join(found) or 'nothing'}")
            headers = {}
            for key in KEYS:
                stream, headers[key] = _array(archive, key)
                stream.close()
        for key, header in headers.items():
            if header.dtype.hasobject:
                raise self._fault(f"{key} holds pickled objects, which are never loaded: save it anew as plain numbers")
            if header.fortran:
                raise self._fault(f"{key} is in Fortran order: save it anew through np.ascontiguousarray")
        for split in SPLITS:
            self._check_split(split, headers[f"{split}_images"], headers[f"{split}_labels"])
        shapes = {headers[f"{split}_images"].shape[1:] for split in SPLITS}
        if len(shapes) > 1:
            raise self._fault(f"the images of its splits differ in shape ({' and '.join(map(str, sorted(shapes)))}): make them one")
        return headers

    def _check_split(self, split: str, images: Header, labels: Header) -> None:
        shape = images.shape
        if images.dtype != np.uint8:
            raise self._fault(f"{split}_images is {images.dtype}, not uint8: scale it to 0..255 and save it anew")
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)):
            raise self._fault(f"{split}_images has the shape {shape}, not N x H x W or N x H x W x 3: only 2D sets are read")
        if 0 in shape[1:] or (split == "train" and not shape[0]):
            raise self._fault(f"{split}_images is empty (shape {shape}): only val and test may be")
        if labels.dtype.kind not in "iu":
            raise self._fault(f"{split}_labels is {labels.dtype}, not whole numbers: save it anew as uint8")
        if len(labels.shape) not in (1, 2) or labels.shape[1:] not in ((), (1,)):
            raise self._fault(f"{split}_labels has the shape {labels.shape}, not N or N x 1: only sets with one label an image are read")
        if labels.shape[0] != shape[0]:
            raise self._fault(f"{split}_labels has {labels.shape[0]} labels for the {shape[0]} images of {split}_images")

    @cached_property
    def _labels(self) -> dict[str, np.ndarray]:
        """The labels of each split, int64, N. Raises SynthmillError for one that `classes` lacks."""
        labels = {}
        for split in SPLITS:
            header = self._headers[f"{split}_labels"]
            with self._reading() as archive, _array(archive, f"{split}_labels")[0] as stream:
                data = _exactly(stream, header.shape[0] * header.dtype.itemsize)
            labels[split] = np.frombuffer(data, header.dtype).astype(np.int64)
            strange = sorted(set(np.unique(labels[split]).tolist()) - set(self.config.classes))
            if strange:
                raise self._fault(f"{split}_labels has the label {strange[0]}, which ingest.source.classes lacks: add it there")
        return labels

    @contextmanager
    def _reading(self) -> Iterator[zipfile.ZipFile]:
        """The open npz; what is wrong with its bytes is raised as SynthmillError."""
        try:
            with self._path.open("rb") as stream:
                if not zipfile.is_zipfile(stream):
                    raise self._fault("it is not an npz, or only the beginning of one: fetch it anew")
                with zipfile.ZipFile(stream) as archive:
                    yield archive
        except OSError as error:
            raise self._fault(f"it cannot be read ({error.strerror or error}): mend its permissions or fetch it anew") from None
        except DAMAGE as error:
            what = str(error).partition("\n")[0]
            raise self._fault(f"it is damaged or not an npz ({what}): fetch it anew") from None

    def _fault(self, what: str) -> SynthmillError:
        return SynthmillError(f"{self.config.file or self._path.name}: {what}")


def _array(archive: zipfile.ZipFile, key: str) -> tuple[IO[bytes], Header]:
    """The array's bytes and its head. Raises ValueError for what is not an array or does not hold what its head says."""
    info = archive.getinfo(f"{key}.npy")
    stream = archive.open(info)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and info.file_size - stream.tell() != size:
        raise ValueError(f"{key} holds {info.file_size - stream.tell()} bytes where its head says {size}")
    return stream, Header(shape, dtype, fortran)


def _skip(stream: IO[bytes], size: int) -> None:
    """Reads over `size` bytes of a stream that may be compressed, a mebibyte at a time."""
    while size:
        size -= len(_exactly(stream, min(size, 1 << 20)))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"{size - len(data)} bytes are missing")
    return data
