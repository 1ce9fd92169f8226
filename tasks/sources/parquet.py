"""Parquet of images: `datasets.<name>.ingest.source: {kind: parquet, folder: releases/pneumonia, patient: patient_id}`.

Reads the layout of Hugging Face datasets (an image column of struct<bytes, path>, class names in the Arrow metadata), which is that of
synthmill's own releases too, and plain columns of image bytes. Paths in the rows are never followed, and nothing is unpickled.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict, Field, model_validator

from schema.digest import sha256_pixels
from schema.errors import SynthmillError
from schema.params import Section, nearest
from schema.record import Record, Rejected
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import Unreadable, decode
from tasks.sources._files import below, translate
from tasks.sources.image_folder import SPLIT_WORDS

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
        classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of that column: label")
        patient: str | None = Field(default=None, description="column of what must not straddle splits; without one, equal pixels")
        split: str | None = Field(default=None, description="column of the split; without one, the files' names if all begin with a split")

        @model_validator(mode="after")
        def _names_are_free(self) -> Self:
            if "image" in self.images:
                raise ValueError("images names the main image again: `image` is its key")
            return self

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
                name = self._namer(path, parquet.schema_arrow)
                first = 0
                for group, rows in enumerate(self._rows_of(path)):
                    cells = parquet.read_row_group(group, columns=[self.config.label]).column(0)
                    labels |= {name(word.as_py(), first + pc.index(cells, word).as_py()) for word in pc.unique(cells)}
                    first += rows
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
            name, others = self._namer(facts["path"], schema), self._others(schema)
            columns = [*self._named.values(), *others]
            for batch in parquet.iter_batches(batch_size=BATCH, row_groups=[facts["group"]], columns=columns):
                for cells in batch.to_pylist():
                    id = f"{facts['path']}#{row}"
                    attributes = {column: _plain(cells[column]) for column in others}
                    try:
                        yield self._record(id, cells, name(cells[self.config.label], row), facts["split"], attributes)
                    except Unreadable as error:
                        yield Rejected(id, str(error))
                    row += 1

    def _record(self, id: str, cells: dict[str, Any], label: str | None, split: str | None, attributes: dict[str, Any]) -> Record:
        """Raises Unreadable."""
        if label is None:
            raise Unreadable("no label")
        image = _pixels(cells[self.config.image])
        images = {}
        for name, column in self.config.images.items():
            try:
                images[name] = _pixels(cells[column])
            except Unreadable as error:
                raise Unreadable(f"{name}: {error}") from None
            if images[name].shape[:2] != image.shape[:2]:
                raise Unreadable(f"{name}: not of the image's height and width")
        patient = sha256_pixels(image)
        if self.config.patient:
            patient = str(_plain(cells[self.config.patient]) or "").strip()
            if not patient:
                raise Unreadable("no patient")
        if self.config.split:
            split = SPLIT_WORDS.get(str(cells[self.config.split]).strip().lower())
            if split is None:
                raise Unreadable("no split" if cells[self.config.split] is None else "not a split")
        return Record(id, patient, image, label, split=split, images=images, attributes=attributes)

    @cached_property
    def _found(self) -> dict[str, Path]:
        folder = resolve(self.config.folder)
        if not folder.is_dir():
            raise SynthmillError(f"the folder {self.config.folder!r} is not there: mend ingest.source.folder or SYNTHMILL_DATA")
        pattern = translate(self.config.files)
        found = {path: file for path, file in below(folder).items() if pattern.fullmatch(path)}
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
        """Columns of plain values that have no other use."""
        named = {*self._named.values(), *(name for name in schema.names if schema.names.count(name) > 1)}
        return [column.name for column in schema if column.name not in named and _is_plain(column.type)]

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
            kind = schema.field(column).type
            inner = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
            if not _is_bytes(inner):
                raise _fault(path, f"the column {column!r} is {kind}, not image bytes: name one of binary, or struct<bytes, path>")
        self._namer(path, schema)

    def _namer(self, path: str, schema: pa.Schema) -> Callable[[Any, int], str | None]:
        """A function from a cell of the label column and its row, from 0, to the label; None where it has none."""
        column, classes = self.config.label, self.config.classes
        kind = _values(schema.field(column).type)
        if not (pa.types.is_integer(kind) or _is_text(kind) or pa.types.is_boolean(kind)):
            raise _fault(path, f"the column {column!r} is {kind}, not one label a row: name one of whole numbers or words")
        names = _class_names(schema, column) if pa.types.is_integer(kind) else None

        def name(cell: Any, row: int) -> str | None:
            if cell is None or (names is not None and cell == -1) or not str(cell).strip():  # -1: datasets' word for no label
                return None
            word = str(_plain(cell)).strip()
            if names is not None:
                if not 0 <= cell < len(names):
                    raise _fault(path, f"row {row}: the label is none of the {len(names)} that the file's metadata name: save it anew")
                word = names[cell]
            if classes is None:
                return word
            if word not in classes:
                raise _fault(path, f"row {row}: the label is not in ingest.source.classes ({', '.join(classes)}): add it")
            return classes[word]

        return name

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


def _pixels(cell: Any) -> np.ndarray:
    """The pixels of a cell of images, H x W or H x W x 3. Raises Unreadable."""
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is None:
        outside = isinstance(cell, dict) and cell.get("path")
        raise Unreadable("image outside the file: save the dataset with its images embedded" if outside else "no image")
    return decode(data)


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a ClassLabel, as Hugging Face datasets writes them into the Arrow metadata; None where there are none."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_plain(kind: pa.DataType) -> bool:
    """Numbers, words, days and lists of words: what an attribute can be."""
    kind = _values(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(_values(kind.value_type))
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind)
    return number or _is_text(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind)


def _plain(value: Any) -> Any:
    """str, number, list of str or None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list):
        return [word for word in value if word is not None]
    return float(value) if isinstance(value, Decimal) else value
