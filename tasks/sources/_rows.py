"""The images that a table or a pattern names, with all that it says of them, checked whole before any image is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schema.errors import SynthmillError
from tasks.sources._folder import Folder, is_image
from tasks.sources._further import Further
from tasks.sources._labels import REST, Labels, chosen
from tasks.sources._table import Table

if TYPE_CHECKING:
    from tasks.sources.image_folder import Plugin

LAYOUTS = {
    "generic": {"image": "image", "label": "label"},
    "chestxray14": {"image": "Image Index", "label": "Finding Labels", "patient": "Patient ID"},
    "isic": {"image": "image"},
    "ham10000": {"image": "image_id", "label": "dx", "patient": "lesion_id"},
}
"""The columns of the official files; `isic` has a column for each class, 1 where the image is of it."""

SPLIT_WORDS = {"train": "train", "val": "holdout", "valid": "holdout", "validation": "holdout", "holdout": "holdout", "test": "test"}

ROLES = ("label", "patient", "split")
"""What a group of a pattern can be, by its name; all others are attributes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image with what is said of it, or with the fault for which it is left out. `files`: the image, then its further images."""

    number: int
    id: str
    path: str | None
    files: tuple[Path, ...]
    patient: str | None
    split: str | None
    label: str | None
    fault: str | None
    attributes: Mapping[str, str | None]


class Rows:
    """What the two kinds of listing share. `place`: what a message calls the place of a label."""

    def __init__(self, config: "Plugin.Config", folder: Folder, place: str) -> None:
        self.config = config
        self.folder = folder
        skip = config.multi_label == "skip"
        self.labels = Labels(config.classes, config.other == "ignore", config.priority, skip, place, self.refuse)

    def refuse(self, what: str) -> SynthmillError:
        raise NotImplementedError

    def label(self, words: list[str], where: str) -> tuple[str | None, str | None]:
        if self.config.constant_label is not None:
            return self.config.constant_label, None
        return self.labels.of(words, where)

    def split(self, word: str, where: str, place: str) -> str:
        if word.lower() not in SPLIT_WORDS:
            raise self.refuse(f"{where}, {place}: the word is not a split: write one of {', '.join(SPLIT_WORDS)}")
        return SPLIT_WORDS[word.lower()]

    def files(self, further: Further, path: str | None, cells: Mapping[str, str | None]) -> tuple[tuple[Path, ...], str | None]:
        """The image's file and those of its further images, and what is at fault with them."""
        if path is None:
            return (), "missing file"
        if path not in self.folder.files:
            return (), self.folder.refused[path]
        others = further.find(path, cells, self.folder.files)
        files = tuple(self.folder.files[found] for found in (path, *others.values()) if found is not None)
        return files, next((f"no {name} image" for name, found in others.items() if found is None), None)

    def check_splits(self, rows: list[Row], places: str) -> None:
        """Refuses a patient in two splits."""
        first_row: dict[str, Row] = {}
        for row in rows:
            if row.patient and row.split:
                first = first_row.setdefault(row.patient, row)
                if first.split != row.split:
                    raise self.refuse(
                        f"{places} {first.number} ({first.split}) and {row.number} ({row.split}) put one patient into two splits: "
                        "give all images of a patient one split, or take the split out"
                    )


class TableRows(Rows):
    """The rows of a CSV. Raises SynthmillError for the first fault that makes it unusable."""

    def __init__(self, config: "Plugin.Config", folder: Folder, table: Table) -> None:
        self.table = table
        self.columns = self._columns(config)
        super().__init__(config, folder, f"column {table.header[self.columns['label']]!r}" if "label" in self.columns else "the classes")

    def refuse(self, what: str) -> SynthmillError:
        return self.table.fault(what)

    def read(self) -> list[Row]:
        one_hot = {} if self.config.constant_label or "label" in self.columns else self._class_columns()
        roles = {index for role, index in self.columns.items() if role != "label"}
        attributes = {name: index for index, name in enumerate(self.table.header) if name and index not in roles}
        further = Further(self.config.images, [name for name in self.table.header if name], self.refuse)
        rows = [self._row(number, cells, one_hot, attributes, further) for number, cells in self.table.rows]
        self._check(rows)
        return rows

    def _columns(self, config: "Plugin.Config") -> dict[str, int]:
        """Where the image, label, patient and split stand, by the names of the layout and of the config."""
        given = {role: getattr(config, role) for role in ("image", *ROLES)}
        names = LAYOUTS[config.layout] | {role: name for role, name in given.items() if name is not None}
        if config.constant_label is not None:
            names.pop("label", None)
        return {role: self.table.column(name, f"ingest.source.{role}") for role, name in names.items()}

    def _class_columns(self) -> dict[str, int]:
        """The columns of one class each: those of `classes`, and without it or for its "*" all that are nothing else."""
        named = [name for name in self.config.classes or () if name != REST]
        if not named or REST in self.config.classes:
            used = self.columns.values()
            named += [name for index, name in enumerate(self.table.header) if name and index not in used and name not in named]
        if not named:
            raise self.refuse("it has no column for a class: name the column of labels as ingest.source.label")
        return {name: self.table.column(name, "ingest.source.classes") for name in named}

    def _row(self, number: int, cells: list[str], one_hot: dict[str, int], attributes: dict[str, int], further: Further) -> Row:
        where = f"row {number}"
        cell = {role: cells[index] for role, index in self.columns.items()}
        if not cell["image"]:
            raise self.refuse(f"{where} names no image: fill it in or take the row out")
        if one_hot:
            words = chosen({name: cells[index] for name, index in one_hot.items()}, where, self.refuse)
        else:
            words = cell.get("label", "").split("|")
        label, fault = self.label(words, where)
        if not cell.get("patient", True):
            fault = fault or "no patient"
        split = self.split(cell["split"], where, f"column {self.config.split!r}") if "split" in cell else None
        path = self._find(number, cell["image"])
        files, lost = self.files(further, path, {name: cells[index] for index, name in enumerate(self.table.header)})
        fault = fault or lost
        said = {name: cells[index] or None for name, index in attributes.items()}
        return Row(number, cell["image"], path, files, cell.get("patient"), split, None if fault else label, fault, said)

    def _find(self, number: int, word: str) -> str | None:
        paths = self.folder.find(word)
        if len(paths) > 1:
            raise self.refuse(f"row {number}: {len(paths)} files go by the name in it: write the path below the folder")
        return paths[0] if paths else None

    def _check(self, rows: list[Row]) -> None:
        """Refuses images that are all elsewhere, two rows of one image, and a patient in two splits."""
        if not any(row.path for row in rows):
            raise self.refuse(
                f"none of its {len(rows)} images is below {self.config.folder!r}: mend ingest.source.folder or the column of names"
            )
        number_of: dict[tuple[str, str], int] = {}
        for row in rows:
            for key in (("id", row.id), ("path", row.path if row.files else None)):
                if key[1] is not None and number_of.setdefault(key, row.number) != row.number:
                    raise self.refuse(f"rows {number_of[key]} and {row.number} are of one image: keep one of them")
        self.check_splits(rows, "rows")


class PatternRows(Rows):
    """The images whose paths below the folder a pattern matches whole, in the order of their paths."""

    def __init__(self, config: "Plugin.Config", folder: Folder) -> None:
        self.pattern = re.compile(config.pattern)
        super().__init__(config, folder, "the group 'label'")

    def refuse(self, what: str) -> SynthmillError:
        return SynthmillError(f"ingest.source.pattern: {what}")

    def read(self) -> list[Row]:
        """Raises SynthmillError where none matches, or what is said of them cannot be."""
        paths = sorted(path for path in {**self.folder.files, **self.folder.refused} if is_image(path))
        matches = [(path, match) for path in paths if (match := self.pattern.fullmatch(path))]
        if not matches:
            raise self.refuse(
                f"it matches none of the {len(paths)} images below {self.config.folder!r}: it must match the whole path from there, "
                "as in `[^/]+/(?P<patient>[^/]+)\\.png`"
            )
        further = Further(self.config.images, list(self.pattern.groupindex), self.refuse)
        rows = [self._row(number, path, match.groupdict(), further) for number, (path, match) in enumerate(matches, start=1)]
        self.check_splits(rows, "matches")
        return rows

    def _row(self, number: int, path: str, groups: dict[str, str | None], further: Further) -> Row:
        where = f"match {number} in the order of paths"
        label, fault = self.label([groups.get("label") or ""], where)
        if not groups.get("patient", True):
            fault = fault or "no patient"
        split = self.split(groups["split"] or "", where, "the group 'split'") if "split" in groups else None
        files, lost = self.files(further, path, groups)
        fault = fault or lost
        said = {name: value or None for name, value in groups.items() if name not in ROLES[1:]}
        return Row(number, path, path, files, groups.get("patient"), split, None if fault else label, fault, said)
