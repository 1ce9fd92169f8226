"""Parquet of images: `datasets.<name>.ingest.source: {kind: parquet, folder: releases/pneumonia, patient: patient_id}`.

Reads the layout of Hugging Face datasets (an image column of struct<bytes, path>, class names in the Arrow metadata), which is that of
synthmill's own releases too, and plain columns of image bytes. Paths in the rows are never followed, and nothing is unpickled.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, Field, field_validator

from schema.digest import sha256_pixels
from schema.errors import SynthmillError
from schema.params import Section, nearest
from schema.record import Record, Rejected
from tasks.sources import Source, Unit, resolve
from tasks.sources._arrow import class_names, is_image, is_plain, is_word, reader
from tasks.sources._decode import Unreadable, decode
from tasks.sources._folder import open_folder
from tasks.sources._further import as_large, check_names
from tasks.sources._glob import translate
from tasks.sources._labels import ASKED, Labels
from tasks.sources._rows import SPLIT_WORDS

BATCH = 32
"""Rows that are decoded from the file at one go."""

DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What Arrow raises for broken bytes."""


class Plugin(Source):
    """One Record for each row whose image can be read. Without a patient column, copies of one image at least never straddle a split."""

    kind = "parquet"

    class Config(Section):
        model_config = ConfigDict(coerce_numbers_to_str=True)
        kind: Literal["parquet"]
        folder: str = Field(description="where the files are; relative to SYNTHMILL_DATA, or absolute")
        files: str = Field(default="**/*.parquet", description="pattern of paths below `folder`")
        image: str = Field(default="image", description="column of the images")
        images: dict[str, str] = Field(default={}, description="name: column of a further image of the same height and width")
        label: str = Field(default="label", description="column of the labels: class indices with names, words, or whole numbers")
        classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of that column: label; '*': any other")
        other: Literal["refuse", "ignore"] = Field(default="refuse", description="what becomes of words that `classes` lacks")
        patient: str | None = Field(default=None, description="column of what must not straddle splits; without one, equal pixels")
        split: str | None = Field(default=None, description="column of the split; without one, the files' names if all begin with a split")

        @field_validator("images")
        @classmethod
        def _images_have_names(cls, images: dict[str, str]) -> dict[str, str]:
            check_names(images)
            return images

    def files(self) -> list[Path]:
        """Every file that the pattern names, its columns checked. Raises SynthmillError for one at fault."""
        for path in self._found:
            self._rows_of(path)
        return sorted(self._found.values())

    def labels(self) -> set[str]:
        """Those that occur, by reading the column of labels alone."""
        labels = set()
        for path, file in self._found.items():
            with self._reading(path, file) as parquet:
                label = self._labeller(path, parquet.schema_arrow)
                row = 0
                seen = set()
                for batch in parquet.iter_batches(columns=[self.config.label]):
                    for cell in batch.column(0).to_pylist():
                        if cell not in seen:
                            labels.add(label(cell, row)[0])
                            seen.add(cell)
                        row += 1
        return labels - {None}

    def count(self) -> int:
        return sum(sum(self._rows_of(path)) for path in self._found)

    def units(self) -> Iterator[Unit]:
        """A unit a row group, in the order of the files' paths."""
        for path, file in self._found.items():
            first = 0
            for group, rows in enumerate(self._rows_of(path)):
                yield Unit(f"{path}#{group}", (file,), {"path": path, "group": group, "first": first, "split": self._split_of.get(path)})
                first += rows

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        """BATCH rows are in memory at a time. Raises SynthmillError for a file that is damaged."""
        facts = unit.facts
        row = facts["first"]
        with self._reading(facts["path"], unit.files[0]) as parquet:
            schema = parquet.schema_arrow
            label, others = self._labeller(facts["path"], schema), self._others(schema)
            readers = {column: reader(schema, column) for column in [*others, self.config.patient, self.config.split] if column}
            columns = list(dict.fromkeys([*self._named.values(), *others]))
            for batch in parquet.iter_batches(batch_size=BATCH, row_groups=[facts["group"]], columns=columns):
                for cells in batch.to_pylist():
                    id = f"{facts['path']}#{row}"
                    word, fault = label(cells[self.config.label], row)
                    said = {column: read(cells[column]) for column, read in readers.items()}
                    try:
                        if fault:
                            raise Unreadable(fault)
                        yield self._record(id, cells, word, said, {column: said[column] for column in others}, facts["split"])
                    except Unreadable as error:
                        yield Rejected(id, str(error), asked=fault in ASKED)
                    row += 1

    def _record(
        self, id: str, cells: dict[str, Any], label: str, said: dict[str, Any], attributes: dict[str, Any], split: str | None
    ) -> Record:
        """Raises Unreadable."""
        # Further images must fit the pixels of the first one: then it is read whole.
        image = _pixels(cells[self.config.image], None if self.config.images else self.at_least)
        images = {}
        for name, column in self.config.images.items():
            try:
                further = _pixels(cells[column])
            except Unreadable as error:
                raise Unreadable(f"{name} image: {error}") from None
            images[name] = as_large(further, image, name)
        patient = sha256_pixels(image)
        if self.config.patient:
            given = said[self.config.patient]
            patient = "" if given is None else str(given).strip()
            if not patient:
                raise Unreadable("no patient")
        if self.config.split:
            split = SPLIT_WORDS.get(str(said[self.config.split]).strip().lower())
            if split is None:
                raise Unreadable("not a split")
        return Record(id, patient, image, label, split=split, images=images, attributes=attributes)

    @cached_property
    def _found(self) -> dict[str, Path]:
        folder = open_folder(resolve(self.config.folder), self.config.folder)
        pattern = translate(self.config.files)
        found = {path: file for path, file in folder.files.items() if pattern.fullmatch(path)}
        if not found:
            raise SynthmillError(f"no file below {self.config.folder!r} is named like {self.config.files!r}: mend ingest.source.files")
        return found

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """The split of each file where all names begin with one, as train-00000-of-00002.parquet does, and no column is named."""
        if self.config.split:
            return {}
        words = {path: re.split(r"[-_.]", path.rpartition("/")[2])[0].lower() for path in self._found}
        return {path: SPLIT_WORDS[word] for path, word in words.items()} if set(words.values()) <= set(SPLIT_WORDS) else {}

    @cached_property
    def _named(self) -> dict[str, str]:
        """The columns that the config names, by key."""
        given = {"image": self.config.image, "label": self.config.label, "patient": self.config.patient, "split": self.config.split}
        named = {f"ingest.source.{key}": column for key, column in given.items() if column is not None}
        return named | {f"ingest.source.images.{name}": column for name, column in self.config.images.items()}

    def _others(self, schema: pa.Schema) -> list[str]:
        """Columns of plain values that have no other use, and that of the labels."""
        used = {column for key, column in self._named.items() if key != "ingest.source.label"}
        return [
            column.name for column in schema if column.name not in used and schema.names.count(column.name) == 1 and is_plain(column.type)
        ]

    def _rows_of(self, path: str) -> list[int]:
        """How many rows each row group of a file has. Raises SynthmillError for columns that are not there or of the wrong type."""
        if path not in self._checked:
            with self._reading(path, self._found[path]) as parquet:
                self._check_columns(path, parquet.schema_arrow)
                metadata = parquet.metadata
                self._checked[path] = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        return self._checked[path]

    @cached_property
    def _checked(self) -> dict[str, list[int]]:
        return {}

    def _check_columns(self, path: str, schema: pa.Schema) -> None:
        for key, column in self._named.items():
            if schema.names.count(column) != 1:
                there = "several columns" if column in schema.names else "no column"
                raise _fault(path, f"{there} {column!r} for {key}{nearest(column, schema.names)}; it has: {', '.join(schema.names)}")
        for column in (self.config.image, *self.config.images.values()):
            if not is_image(schema.field(column).type):
                kind = schema.field(column).type
                raise _fault(path, f"the column {column!r} is {kind}, not image bytes: name one of binary, or struct<bytes, path>")
        for column in (self.config.label, self.config.patient, self.config.split):
            if column and not is_word(schema.field(column).type):
                kind = schema.field(column).type
                raise _fault(path, f"the column {column!r} is {kind}, not one word a row: name one of words or whole numbers")

    def _labeller(self, path: str, schema: pa.Schema) -> Callable[[Any, int], tuple[str | None, str | None]]:
        """A function from a cell of the label column and its row, from 0, to the label, or to the reason why there is none."""
        column = self.config.label
        labels = Labels(self.config.classes, self.config.other == "ignore", (), False, f"column {column!r}", partial(_fault, path))
        names, read = class_names(schema, column), reader(schema, column)

        def label(cell: Any, row: int) -> tuple[str | None, str | None]:
            word = read(cell)
            if word is None and cell not in (None, -1):
                raise _fault(path, f"row {row}, column {column!r}: it is none of the {len(names)} classes in the metadata: save it anew")
            return labels.of([] if word is None else [str(word)], f"row {row}")

        return label

    @contextmanager
    def _reading(self, path: str, file: Path) -> Iterator[pq.ParquetFile]:
        """The open file; what is wrong with its bytes is raised as SynthmillError. Pages are read as they are needed."""
        try:
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as parquet:
                yield parquet
        except FileNotFoundError:
            raise _fault(path, "it is not there: fetch it anew") from None
        except DAMAGE as error:
            what = str(error).partition("\n")[0].replace(str(file), path)
            raise _fault(path, f"it is damaged or not Parquet ({what}): fetch it anew") from None


def _fault(path: str, what: str) -> SynthmillError:
    return SynthmillError(f"{path}: {what}")


def _pixels(cell: Any, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """The pixels of a cell of images, H x W or H x W x 3. Raises Unreadable."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is None:
        outside = isinstance(cell, dict) and cell.get("path")
        raise Unreadable("image outside the file: save the dataset with its images embedded" if outside else "no image")
    return decode(data, at_least)
