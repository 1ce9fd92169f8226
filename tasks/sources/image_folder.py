"""A folder of images with a CSV of labels: `datasets.<name>.ingest.source: {kind: image-folder, folder: ..., csv: ...}`.

The CSV alone decides what is in the dataset, and is checked whole before any image is read.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schema.digest import sha256_pixels
from schema.errors import SynthmillError, UsageError
from schema.params import Section, nearest
from schema.record import Record, Rejected
from schema.settings import data_root
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import SUFFIXES, Unreadable, decode
from tasks.sources._table import Table

LAYOUTS = {
    "generic": {"image": "image", "label": "label"},
    "chestxray14": {"image": "Image Index", "label": "Finding Labels", "patient": "Patient ID"},
    "isic": {"image": "image"},
    "ham10000": {"image": "image_id", "label": "dx", "patient": "lesion_id"},
}
"""The columns of the official files; `isic` has a column for each class, 1 where the image is of it."""

UNNAMED = "not in the csv"

ASKED = {"label not in classes", "several labels", UNNAMED}
"""Reasons that are no fault: the CSV decides what is in, and the config asks for the others by `other: ignore`, `multi_label: skip`."""

SPLIT_WORDS = {"train": "train", "val": "holdout", "valid": "holdout", "validation": "holdout", "holdout": "holdout", "test": "test"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the CSV: an image with its label, or with the reason why it has none. `file` is None where it is not on disk."""

    number: int
    id: str
    file: Path | None
    patient: str | None
    split: str | None
    label: str | None
    fault: str | None


class Plugin(Source):
    """One Record for each row of the CSV whose image can be read; every other row, and every image that no row names, is Rejected."""

    kind = "image-folder"

    class Config(Section):
        model_config = ConfigDict(coerce_numbers_to_str=True)
        kind: Literal["image-folder"]
        folder: str = Field(description="where the images are, at any depth; relative to SYNTHMILL_DATA, or absolute")
        csv: str = Field(description="the table of labels, relative to `folder` or to SYNTHMILL_DATA, or absolute")
        layout: Literal["generic", "chestxray14", "isic", "ham10000"] = Field(default="generic", description="the default column names")
        image: str | None = Field(default=None, description="column of the file names, with or without the suffix")
        label: str | None = Field(default=None, description="column of the labels, several joined by '|'; layout isic: a column a class")
        patient: str | None = Field(default=None, description="column of what must not straddle splits; without one, equal pixels")
        split: str | None = Field(default=None, description="column of the split: train, holdout (or val) and test")
        classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of the CSV: label")
        other: Literal["refuse", "ignore"] = Field(default="refuse", description="what becomes of words that `classes` lacks")
        priority: list[str] = Field(default=[], description="which label an image with several has: the first of these")
        multi_label: Literal["refuse", "skip"] = Field(default="refuse", description="what becomes of images that `priority` leaves open")

        @model_validator(mode="after")
        def _priority_names_labels(self) -> Self:
            strange = [label for label in self.priority if self.classes and label not in self.classes.values()]
            if strange:
                raise ValueError(
                    f"priority names {strange[0]!r}, which is no label of classes: {', '.join(sorted(set(self.classes.values())))}"
                )
            return self

    def files(self) -> list[Path]:
        """The CSV, every image that it names and every other image below the folder. Raises SynthmillError for a CSV at fault."""
        named = {row.file for row in self._rows if row.file}
        return sorted({self._csv, *named, *(self._found[path] for path in self._unnamed())})

    def labels(self) -> set[str]:
        return {row.label for row in self._rows if row.label is not None}

    def count(self) -> int:
        return len(self._rows) + len(self._unnamed())

    def units(self) -> Iterator[Unit]:
        """A unit a row, in the order of the CSV, then one for each image that it does not name."""
        for row in self._rows:
            facts = {"patient": row.patient, "split": row.split, "label": row.label, "fault": row.fault}
            yield Unit(row.id, (row.file,) if row.file else (), facts)
        for path in self._unnamed():
            yield Unit(path, (self._found[path],), {"fault": UNNAMED})

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        facts = unit.facts
        if facts["fault"] or not unit.files:
            yield Rejected(unit.key, facts["fault"] or "missing file", asked=facts["fault"] in ASKED)
            return
        try:
            image = decode(unit.files[0])
        except Unreadable as error:
            yield Rejected(unit.key, str(error))
            return
        # With no patient column, copies of one image at least never straddle a split.
        yield Record(unit.key, facts["patient"] or sha256_pixels(image), image, facts["label"], split=facts["split"])

    def _unnamed(self) -> list[str]:
        named = {row.file for row in self._rows}
        return [path for path, file in self._found.items() if _is_image(path) and file not in named]

    @cached_property
    def _folder(self) -> Path:
        folder = resolve(self.config.folder)
        if not folder.is_dir():
            raise SynthmillError(f"the folder {self.config.folder!r} is not there: mend ingest.source.folder or SYNTHMILL_DATA")
        return folder

    @cached_property
    def _csv(self) -> Path:
        name = self.config.csv
        if ".." in Path(name).parts:
            raise UsageError(f"{name!r} climbs out of its folder: write ingest.source.csv as a path inside it, or an absolute one")
        bases = [self._folder, data_root()]
        for path in (base / name for base in bases if base is not None):
            if path.is_file():
                return path
        raise SynthmillError(f"the csv {name!r} is neither in {self.config.folder!r} nor in SYNTHMILL_DATA: mend ingest.source.csv")

    @cached_property
    def _found(self) -> dict[str, Path]:
        """Every file below the folder by its path from there, sorted. Linked folders are followed, each real one once."""
        found, seen = {}, set()
        for here, folders, names in os.walk(self._folder, followlinks=True):
            if os.path.realpath(here) in seen:
                folders.clear()
                continue
            seen.add(os.path.realpath(here))
            folders.sort(key=lambda name: (os.path.islink(os.path.join(here, name)), name))
            below = Path(here).relative_to(self._folder).as_posix()
            for name in names:
                if os.path.isfile(os.path.join(here, name)):
                    found[name if below == "." else f"{below}/{name}"] = Path(here, name)
        return dict(sorted(found.items()))

    @cached_property
    def _rows(self) -> list[Row]:
        """The CSV, read and checked. Raises SynthmillError for the first fault that makes it unusable."""
        columns = self._columns()
        classes = self._class_columns(columns) if "label" not in columns else {}
        find = self._finder()
        rows = []
        for number, cells in self._table.rows:
            cell = {role: cells[index].strip() for role, index in columns.items()}
            words = self._one_hot(number, cells, classes) if classes else [word.strip() for word in cell["label"].split("|")]
            label, fault = self._label(number, [word for word in words if word])
            if "patient" in cell and not cell["patient"]:
                fault = fault or "no patient"
            if not cell["image"]:
                raise self._table.fault(f"row {number} names no image: fill it in or take the row out")
            split = self._split(number, cell["split"]) if "split" in cell else None
            file = find(number, cell["image"])
            rows.append(Row(number, cell["image"], file, cell.get("patient"), split, None if fault else label, fault))
        self._check_rows(rows)
        return rows

    @cached_property
    def _table(self) -> Table:
        return Table(self._csv, self.config.csv)

    def _columns(self) -> dict[str, int]:
        """Where the image, label, patient and split stand, by the names of the layout and of the config."""
        given = {role: getattr(self.config, role) for role in ("image", "label", "patient", "split")}
        names = LAYOUTS[self.config.layout] | {role: name for role, name in given.items() if name is not None}
        return {role: self._table.column(name, f"ingest.source.{role}") for role, name in names.items()}

    def _class_columns(self, columns: dict[str, int]) -> dict[str, int]:
        """The columns of one class each: those of `classes`, else all that are nothing else."""
        rest = [name for index, name in enumerate(self._table.header) if name and index not in columns.values()]
        names = list(self.config.classes or rest)
        if not names:
            raise self._table.fault("it has no column for a class: name the column of labels as ingest.source.label")
        return {name: self._table.column(name, "ingest.source.classes") for name in names}

    def _one_hot(self, number: int, cells: list[str], classes: dict[str, int]) -> list[str]:
        chosen = []
        for name, index in classes.items():
            try:
                value = float(cells[index] or 0)
            except ValueError:
                value = -1.0
            if value not in (0, 1):
                raise self._table.fault(
                    f"row {number}, column {name!r} is neither 0 nor 1: name the columns that are classes in ingest.source.classes"
                )
            if value:
                chosen.append(name)
        return chosen

    def _label(self, number: int, words: list[str]) -> tuple[str | None, str | None]:
        """The label, or the fault for which the image is set aside. Raises SynthmillError for a word or a choice that nobody declared."""
        classes, labels = self.config.classes, words
        if classes is not None:
            strange = [word for word in words if word not in classes]
            if strange and self.config.other == "refuse":
                raise self._table.fault(
                    f"row {number}: the label {strange[0]!r} is not in ingest.source.classes{nearest(strange[0], classes)}: "
                    "add it, or set `other: ignore`"
                )
            labels = [classes[word] for word in words if word in classes]
        if not labels:
            return None, "label not in classes" if words else "no label"
        if len(set(labels)) == 1:
            return labels[0], None
        for label in self.config.priority:
            if label in labels:
                return label, None
        if self.config.multi_label == "skip":
            return None, "several labels"
        raise self._table.fault(
            f"row {number} has several labels ({', '.join(sorted(set(labels)))}): say which one counts with ingest.source.priority, "
            "or leave such images out with `multi_label: skip`"
        )

    def _split(self, number: int, word: str) -> str:
        if word.lower() not in SPLIT_WORDS:
            raise self._table.fault(f"row {number}: {word!r} is not a split: write one of {', '.join(SPLIT_WORDS)}")
        return SPLIT_WORDS[word.lower()]

    def _finder(self):
        """A function from a row's number and its word for an image to the file: by path below the folder, else by file name."""
        by_name = defaultdict(list)
        for path in self._found:
            name = path.rpartition("/")[2]
            for key in {name, _stem(name), _stem(path)} if _is_image(path) else {name}:
                by_name[key].append(path)

        def find(number: int, word: str) -> Path | None:
            paths = [word] if word in self._found else by_name.get(word, [])
            if len(paths) > 1:
                raise self._table.fault(
                    f"row {number}: {paths[0]!r} and {paths[1]!r} are two files of one id: write the path below the folder"
                )
            return self._found[paths[0]] if paths else None

        return find

    def _check_rows(self, rows: list[Row]) -> None:
        """Refuses images that are all elsewhere, two rows of one image, and a patient in two splits."""
        if not any(row.file for row in rows):
            raise self._table.fault(
                f"none of its {len(rows)} images is below {self.config.folder!r}: mend ingest.source.folder or the column of names"
            )
        image_row: dict[str | Path, int] = {}
        patient_row: dict[str, Row] = {}
        for row in rows:
            for key in {row.id, row.file} - {None}:
                if image_row.setdefault(key, row.number) != row.number:
                    raise self._table.fault(f"rows {image_row[key]} and {row.number} are of one image: keep one of them")
            if row.patient and row.split:
                first = patient_row.setdefault(row.patient, row)
                if first.split != row.split:
                    raise self._table.fault(
                        f"rows {first.number} ({first.split}) and {row.number} ({row.split}) put one patient into two splits: "
                        "give all images of a patient one split, or take ingest.source.split out"
                    )


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]
