"""The forms in which records leave the house. Each is one file here with a class `Plugin`, of one of three kinds.

A `MainForm` (parquet) is what the release stage writes: the bytes that the tag pins. An `Export` turns such a release into
what somebody's code wants, afresh and to the same bytes each time. A `Hub` carries a release to a place that is not a folder.

class Plugin(Export):
    kind = "my-format"
    class Options(Section): ...
    def fill(self, release, folder, options): ...
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import ValidationError

from catalog import folder as release_folder
from catalog import sums
from schema.conditions import Condition
from schema.digest import read_json, sha256_file, sha256_pixels, write_json
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.marking import DIGITAL_SOURCE_TYPE, mark_png
from schema.params import nearest
from schema.record import decode_png
from schema.release import PLAIN, Release
from schema.section import Section

BATCH = 256
"""Records that are in memory at once."""

STATEMENT = "export.json"
"""What an export says of itself."""


@dataclass(frozen=True)
class Draft:
    """What is to be released: `shards`, Parquet files of `schema.record.synthetic_schema(classes, conditions)` whose bytes were checked;
    together they hold `rows` records."""

    dataset: str
    classes: list[str]
    shards: list[Path]
    rows: int
    conditions: list[Condition] = field(default_factory=list)


class MainForm:
    kind: ClassVar[str]

    def write(self, release: Draft, folder: Path) -> None:
        """Writes every record of the release into files under `folder`. Deterministic: the same records, the same bytes,
        however they are spread over shards. Memory: a few hundred records, never all of them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Synthetic:
    """One released record. `png` is marked as synthetic; `pixels` are uint8, H x W (grey) or H x W x 3 (RGB)."""

    id: str
    png: bytes
    pixels: np.ndarray
    label: int
    label_name: str
    attributes: dict[str, str | list[str] | None]
    seed: int
    sha256: str

    @property
    def said(self) -> dict[str, Any]:
        """All but the image, as JSON has it."""
        words = {"label": self.label, "label_name": self.label_name, **self.attributes}
        return {"id": self.id, **words, "seed": self.seed, "sha256": self.sha256}


@dataclass(frozen=True)
class Folder:
    """A release as `catalog.get` leaves it: data/*.parquet, provenance.json, README.md, SHA256SUMS."""

    path: Path

    @cached_property
    def release(self) -> Release:
        """Raises SynthmillError where the folder holds no release."""
        return release_folder.described(self.path)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """provenance.json."""
        return read_json(release_folder.provenance_file(self.path))

    @property
    def classes(self) -> list[str]:
        return list(self.release.labels)

    @property
    def conditions(self) -> list[Condition]:
        return [Condition(**condition) for condition in self.facts.get("conditions", [])]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each image: (H, W) or (H, W, 3)."""
        size = self.facts["image"]
        return (size["height"], size["width"], *((size["channels"],) if size["channels"] > 1 else ()))

    def records(self) -> Iterator[Synthetic]:
        """Every record in the release's order, BATCH at a time. Raises IntegrityError for an image whose pixels its row denies, and at
        the end where there were more or fewer than the release has."""
        import pyarrow.parquet as pq

        count = 0
        for path in sorted((self.path / "data").glob("*.parquet")):
            # Read ahead, pyarrow would hold a whole file.
            for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    yield self._record(path, row)
                count += batch.num_rows
        if count != self.release.images:
            raise IntegrityError(f"{self.path} has {count} images where {self.release.tag} has {self.release.images}: {sums.GET_AGAIN}")

    def _record(self, path: Path, row: dict[str, Any]) -> Synthetic:
        png = row["image"]["bytes"]
        pixels = decode_png(png)
        pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        if sha256_pixels(pixels) != row["sha256"] or pixels.shape != self.shape:
            raise IntegrityError(f"{path}: the pixels of {row['id']} are not those that its sha256 names: {sums.GET_AGAIN}")
        attributes = {name: value for name, value in row.items() if name not in PLAIN}
        # Releases from before the marking have the same pixels without it.
        return Synthetic(row["id"], mark_png(png), pixels, row["label"], row["label_name"], attributes, row["seed"], row["sha256"])


def refuse_in_use(to: Path) -> None:
    """Raises UsageError for a folder that has something in it."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not empty: name a folder that is empty or not there yet")


class Export:
    kind: ClassVar[str]

    class Options(Section):
        pass

    def fill(self, release: Folder, folder: Path, options: Any) -> None:
        """Writes every record once into files under `folder`, with the pixels and labels that the release has, marked as synthetic as
        far as the format can say it. Deterministic: no clock, no path, no user. Memory: a batch. Raises UsageError for options that do
        not fit the release."""
        raise NotImplementedError

    def options(self, given: Mapping[str, Any]) -> Any:
        """Raises UsageError for an option that there is not, or a value that it cannot have."""
        return parse(self.Options, self.kind, given)

    def write(self, release: Folder, to: Path, given: Mapping[str, Any]) -> None:
        """The whole export in the folder `to`, beside it nothing: `fill`'s files, export.json, the release's card and provenance.json under
        `release/`, and SHA256SUMS. Made under another name beside `to` and renamed: it is whole or not there.

        Raises UsageError for a folder in use, SynthmillError where the disk refuses.
        """
        options = self.options(given)
        refuse_in_use(to)
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{to.name}.", dir=to.parent) as scratch:
                folder = Path(scratch) / to.name
                folder.mkdir()
                self.fill(release, folder, options)
                self.sign(release, folder, options)
                os.replace(folder, to)
        except OSError as error:
            raise SynthmillError(f"{to} was not written, nothing is left of it: {error}; put that right and run again") from error

    def sign(self, release: Folder, folder: Path, options: Any) -> None:
        """What every export says of itself, beside the records."""
        (folder / "release").mkdir()
        for name in ("README.md", release_folder.PROVENANCE):
            shutil.copyfile(release.path / name, folder / "release" / name)
        statement = statement_of(release)
        write_json(folder / STATEMENT, {**statement, "kind": self.kind, "options": options.model_dump(mode="json")})
        sums.write(folder)


class Hub:
    kind: ClassVar[str]

    class Options(Section):
        pass

    def options(self, given: Mapping[str, Any]) -> Any:
        """Raises UsageError for an option that there is not, or a value that it cannot have."""
        return parse(self.Options, self.kind, given)

    def plan(self, release: Folder, to: str, options: Any) -> dict[str, Any]:
        """What would go where, as JSON has it. Reaches nobody. Raises UsageError for a place that cannot be."""
        raise NotImplementedError

    def push(self, release: Folder, to: str, options: Any) -> dict[str, Any]:
        """Carries the release there, and says where it is. Raises SynthmillError where it is not let in."""
        raise NotImplementedError


def parse(kind: type[Section], name: str, given: Mapping[str, Any]) -> Any:
    known = kind.model_fields
    for key in given:
        if key not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise UsageError(f"{name} has no option {key!r}{nearest(key, known)}; {has}")
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise UsageError(f"{name}: {f'option {key}: ' if key else ''}{fault['msg']}") from None


def statement_of(release: Folder) -> dict[str, Any]:
    """Which release this is, for the export's own metadata: the same words in every format that has room for them."""
    said = release.release
    return {
        "format": "synthmill-export/1",
        "release": said.tag,
        "digests": said.digests.model_dump(),
        "sums": said.sums,
        "provenance": sha256_file(release.path / release_folder.PROVENANCE),
        "images": said.images,
        "labels": said.labels,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }
