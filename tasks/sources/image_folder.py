"""A folder of images, with a CSV of labels or a pattern of their paths: `datasets.<name>.ingest.source: {kind: image-folder, ...}`.

The CSV or the pattern alone decides what is in the dataset, and is checked whole before any image is read.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, field_validator, model_validator

from schema.digest import sha256_pixels
from schema.params import Section
from schema.record import Record, Rejected
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import Unreadable, decode
from tasks.sources._folder import Folder, open_folder
from tasks.sources._further import as_large, check_names
from tasks.sources._labels import ASKED
from tasks.sources._rows import PatternRows, Row, TableRows
from tasks.sources._table import Table, find_csv


class Plugin(Source):
    """One Record for each row of the CSV, or match of the pattern, whose images can be read; every other one is Rejected, and so is
    every image that none of them names.
    """

    kind = "image-folder"

    class Config(Section):
        model_config = ConfigDict(coerce_numbers_to_str=True)
        kind: Literal["image-folder"]
        folder: str = Field(description="where the images are, at any depth; relative to SYNTHMILL_DATA, or absolute")
        csv: str | None = Field(default=None, description="the table of labels, relative to `folder` or to SYNTHMILL_DATA, or absolute")
        encoding: Literal["utf-8", "latin-1", "windows-1252"] = Field(default="utf-8", description="of a CSV without a byte order mark")
        pattern: str | None = Field(default=None, description="regular expression of a path below `folder`, in place of a CSV")
        layout: Literal["generic", "chestxray14", "isic", "ham10000"] = Field(default="generic", description="the default column names")
        image: str | None = Field(default=None, description="column of the file names, with or without the suffix")
        label: str | None = Field(default=None, description="column of the labels, several joined by '|'; layout isic: a column a class")
        constant_label: str | None = Field(default=None, description="the label of every image, in place of a column or group of labels")
        patient: str | None = Field(default=None, description="column of what must not straddle splits; without one, equal pixels")
        split: str | None = Field(default=None, description="column of the split: train, holdout (or val) and test")
        images: dict[str, str] = Field(default={}, description="further images: name: path beside the image, such as '{stem}_mask.png'")
        classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of the CSV: label; '*' is every other word")
        other: Literal["refuse", "ignore"] = Field(default="refuse", description="what becomes of words that `classes` lacks")
        priority: list[str] = Field(default=[], description="which label an image with several has: the first of these")
        multi_label: Literal["refuse", "skip"] = Field(default="refuse", description="what becomes of images that `priority` leaves open")

        @field_validator("images")
        @classmethod
        def _images_have_names(cls, images: dict[str, str]) -> dict[str, str]:
            check_names(images)
            return images

        @model_validator(mode="after")
        def _hangs_together(self) -> Self:
            if (self.csv is None) == (self.pattern is None):
                raise ValueError("give either csv or pattern: one of them says which images there are")
            if self.constant_label is not None and (self.label is not None or self.classes is not None):
                raise ValueError("constant_label is the label of every image: take label and classes out")
            strange = [label for label in self.priority if self.classes and label not in self.classes.values()]
            if strange:
                raise ValueError(
                    f"priority names {strange[0]!r}, which is no label of classes: {', '.join(sorted(set(self.classes.values())))}"
                )
            if self.pattern is not None:
                self._check_pattern()
            return self

        def _check_pattern(self) -> None:
            try:
                groups = re.compile(self.pattern).groupindex
            except re.error as error:
                raise ValueError(f"pattern is no regular expression: {error}") from None
            columns = [key for key in ("image", "label", "patient", "split") if getattr(self, key) is not None]
            if columns or self.layout != "generic":
                raise ValueError(f"{(columns or ['layout'])[0]} is for a csv: in a pattern the groups say it, as in (?P<patient>[^/]+)")
            if ("label" in groups) == (self.constant_label is not None):
                raise ValueError("give the label either as the group (?P<label>...) of pattern or as constant_label")

    def files(self) -> list[Path]:
        """The CSV, every image that is named and every other image below the folder. Raises SynthmillError for a CSV at fault."""
        table = [self._csv] if self.config.csv is not None else []
        others = [self._folder.files[path] for path, why in self._unread if why is None]
        return sorted({*table, *(file for row in self._rows for file in row.files), *others})

    def labels(self) -> set[str]:
        return {row.label for row in self._rows if row.label is not None}

    def count(self) -> int:
        return len(self._rows) + len(self._unread)

    def units(self) -> Iterator[Unit]:
        """A unit a row or match, in their order, then one for each image that none of them names."""
        for row in self._rows:
            said = {"patient": row.patient, "split": row.split, "label": row.label, "attributes": dict(row.attributes)}
            yield Unit(row.id, row.files, {"fault": row.fault, "asked": row.fault in ASKED, **said})
        unnamed = "not in the csv" if self.config.csv is not None else "not matched"
        for path, why in self._unread:
            # Nobody knows what a pattern would have matched behind a link to a folder; what a CSV needs from there is a row's fault.
            asked = self.config.csv is not None or not path.endswith("/")
            yield Unit(path, () if why else (self._folder.files[path],), {"fault": why or unnamed, "asked": asked})

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        facts = unit.facts
        if facts["fault"]:
            yield Rejected(unit.key, facts["fault"], facts["asked"])
            return
        try:
            # Further images must fit the pixels of the first one: then it is read whole.
            image = decode(unit.files[0], None if self.config.images else self.at_least)
            images = {name: _further(name, file, image) for name, file in zip(self.config.images, unit.files[1:], strict=True)}
        except Unreadable as error:
            yield Rejected(unit.key, str(error))
            return
        # With no patients, copies of one image at least never straddle a split.
        patient = facts["patient"] or sha256_pixels(image)
        yield Record(unit.key, patient, image, facts["label"], split=facts["split"], images=images, attributes=facts["attributes"])

    @cached_property
    def _rows(self) -> list[Row]:
        """All that is named, checked. Raises SynthmillError for the first fault that makes the whole unusable."""
        if self.config.csv is None:
            return PatternRows(self.config, self._folder).read()
        return TableRows(self.config, self._folder, Table(self._csv, self.config.csv, self.config.encoding)).read()

    @cached_property
    def _unread(self) -> list[tuple[str, str | None]]:
        """The images that nothing names, with the reason for which they could not be read if there is one."""
        files = {file for row in self._rows for file in row.files}
        named = {row.path for row in self._rows if row.path is not None}
        return list(self._folder.unread(named | {path for path, file in self._folder.files.items() if file in files}))

    @cached_property
    def _folder(self) -> Folder:
        return open_folder(resolve(self.config.folder), self.config.folder)

    @cached_property
    def _csv(self) -> Path:
        return find_csv(self.config.csv, self._folder.top, self.config.folder)


def _further(name: str, file: Path, image: np.ndarray) -> np.ndarray:
    """Raises Unreadable, saying of which of the further images."""
    try:
        further = decode(file)
    except Unreadable as error:
        raise Unreadable(f"{name} image: {error}") from None
    return as_large(further, image, name)
