"""What the sources of volumes share: which files belong together, whose they are, their label, and which slices are cut."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from schema.errors import SynthmillError, UsageError
from schema.params import Section, nearest
from schema.record import Record, Rejected
from schema.settings import data_root
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import Unreadable
from tasks.sources._files import below, literals, translate, wildcards
from tasks.sources._table import Table
from tasks.sources._volume import Axis, Grid, Volume, Window, check_mask, limits, to_uint8

UNMATCHED = "in no pattern of images"
UNNAMED = "not in the csv"
ASKED = {UNMATCHED, UNNAMED}
"""Reasons that are no fault: the patterns and the CSV decide what is in."""

FAINT = 25
"""A pixel of at most this is dark: a tenth of the window."""


class Slices(Section):
    """Which slices of a volume. Shares count from the feet, the back or the patient's left; a slice stands where its middle is."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)
    start: float = Field(default=0.0, ge=0, le=1, alias="from", description="share of the volume's extent where they start")
    to: float = Field(default=1.0, ge=0, le=1, description="share of the extent where they end")
    every: int = Field(default=1, ge=1, description="of those, every so many")
    skip_empty: float = Field(
        default=0.0, ge=0, le=1, description="slices with a smaller share of pixels above a tenth of the window are left out"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.to:
            raise ValueError(f"from ({self.start:g}) must be less than to ({self.to:g})")
        return self

    def chosen(self, count: int) -> list[int]:
        inside = [index for index in range(count) if self.start <= (index + 0.5) / count <= self.to]
        return inside[:: self.every]


class ScansConfig(Section):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    folder: str = Field(description="where the volumes are; relative to SYNTHMILL_DATA, or absolute")
    images: dict[str, str] = Field(min_length=1, description="name: pattern of paths below `folder`; `image` is the main one")
    masks: list[str] = Field(default=[], description="those of `images` whose values are names: nearest voxel, no window")
    patient: str | None = Field(default=None, description="regular expression on the path with a group `patient`, or one patient's name")
    label: str = Field(description="label of every slice; with `csv`, its column of labels")
    csv: str | None = Field(default=None, description="a table of labels, relative to `folder` or to SYNTHMILL_DATA, or absolute")
    csv_key: str = Field(default="patient", description="the table's column of patients, file names or paths of main volumes")
    classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of the table: label")
    axis: Axis = Field(default="axial", description="the direction of the slices")
    slices: Slices = Slices()
    window: Window = Field(default=Window(percentiles=(1, 99)), description="intensities that become 0 and 255")
    windows: dict[str, Window] = Field(default={}, description="the same for one of `images` by name")
    overlap: float = Field(default=0.5, gt=0, le=1, description="share of a slice that every further image must cover; masks need not")

    @model_validator(mode="after")
    def _names_are_of_images(self) -> Self:
        if "image" not in self.images:
            raise ValueError(f"images has no `image`, the main one; it has: {', '.join(self.images)}")
        further = [name for name in self.images if name != "image"]
        for key, names, known in (("masks", self.masks, further), ("windows", self.windows, set(self.images) - set(self.masks))):
            strange = [name for name in names if name not in known]
            if strange:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{key} names {strange[0]!r}{nearest(strange[0], known)}; there can be: {there}")
        return self

    @model_validator(mode="after")
    def _patterns_can_pair(self) -> Self:
        for name, pattern in self.images.items():
            if pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError(f"images.{name}: {pattern!r} climbs out of the folder: write a pattern of paths below it")
            try:
                translate(pattern)
            except re.error as error:
                raise ValueError(f"images.{name}: {pattern!r} is no pattern ({error})") from None
        counts = {name: len(wildcards(pattern)) for name, pattern in self.images.items()}
        if not self.regular and len(set(counts.values())) > 1:
            raise ValueError("its patterns have different numbers of wildcards: write `patient` with a group for all that pairs them")
        return self

    @model_validator(mode="after")
    def _patient_is_named(self) -> Self:
        if self.patient is None or not self.regular:
            return self
        try:
            groups = re.compile(self.patient).groupindex
        except re.error as error:
            raise ValueError(f"patient is no regular expression: {error}") from None
        if "patient" not in groups:
            raise ValueError("patient has no group of that name: write it as (?P<patient>...)")
        return self

    @property
    def regular(self) -> bool:
        """Whether `patient` is a regular expression rather than a name."""
        return self.patient is not None and any(character in r"\.^$*+?{}[]|()" for character in self.patient)


@dataclass
class Scan:
    """Files that belong together: path below the folder by name of `images`; `patient` None where the path does not tell."""

    patient: str | None
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.paths.get("image") or next(iter(self.paths.values()))


class Scans(Source):
    """A unit for each set of files that belong together; its records are the slices of the main volume, from the feet (the back, the
    patient's left) on. A subclass says how a file becomes a Volume."""

    suffixes: ClassVar[tuple[str, ...]]
    """How names of such files end, in lower case."""

    @abstractmethod
    def load(self, path: Path, files: tuple[Path, ...]) -> Volume:
        """The volume in a file, which may need others of `files`. Raises Unreadable."""

    def companions(self, path: Path) -> list[Path]:
        """Further files that a volume is in."""
        return []

    def files(self) -> list[Path]:
        """The volumes, those that no pattern names included, and the CSV. Raises SynthmillError for what makes the source unusable."""
        return sorted({file for unit in self.units() for file in unit.files} | ({self._csv} if self._csv else set()))

    def labels(self) -> set[str]:
        return {label for _, label, _ in self._rows.values() if label} if self._csv else {self.config.label}

    def units(self) -> Iterator[Unit]:
        """The scans by path, then rows of the CSV without one, then volumes that no pattern names."""
        rows = dict(self._rows)
        for scan in self._scans:
            facts = {
                "patient": scan.patient,
                "label": self.config.label,
                "fault": self._fault(scan),
                "names": list(scan.paths),
                "cells": {},
            }
            if self._csv:
                key = next((key for key in _keys(scan) if key in self._rows), None)
                rows.pop(key, None)
                _, facts["label"], facts["cells"] = self._rows.get(key, (0, None, {}))
                facts["fault"] = facts["fault"] or (UNNAMED if key is None else None if facts["label"] else "no label")
            files = [self._found[path] for path in scan.paths.values()]
            yield Unit(scan.id, tuple(dict.fromkeys(files + [more for file in files for more in self.companions(file)])), facts)
        for number, _, _ in rows.values():
            yield Unit(f"row {number} of the csv", (), {"fault": "missing file"})
        matched = {path for scan in self._scans for path in scan.paths.values()}
        for path, file in self._found.items():
            if path.lower().endswith(self.suffixes) and path not in matched:
                yield Unit(path, (file,), {"fault": UNMATCHED})

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        """The volumes of one scan are in memory, as stored, and one slice of each."""
        facts = unit.facts
        if facts["fault"]:
            yield Rejected(unit.key, facts["fault"], asked=facts["fault"] in ASKED)
            return
        try:
            volumes = {}
            for name, path in zip(facts["names"], unit.files, strict=False):  # companions come after
                volumes[name] = self._load(name, path, unit.files)
            grid = Grid(volumes["image"], self.config.axis)
            windows = {name: self._limits(name, volume) for name, volume in volumes.items()}
            for name, volume in volumes.items():
                if not grid.meets(volume):
                    raise Unreadable(f"{name}: no overlap with the main volume")
        except Unreadable as error:
            yield Rejected(unit.key, str(error))
            return
        for index in self.config.slices.chosen(grid.count):
            yield self._slice(unit, grid, index, volumes, windows)

    def _slice(
        self, unit: Unit, grid: Grid, index: int, volumes: dict[str, Volume], windows: dict[str, tuple[float, float] | None]
    ) -> Record | Rejected:
        id = f"{unit.key}#{index}"
        images = {}
        for name, volume in volumes.items():
            is_mask = name in self.config.masks
            values, inside = grid.cut(volume, index, nearest=is_mask)
            if name != "image" and not is_mask and inside.mean() < self.config.overlap:
                return Rejected(id, f"slice outside {name}", asked=True)
            pixels = values.round().astype(np.uint8) if is_mask else to_uint8(values, *windows[name])
            images[name] = np.where(inside, pixels, np.uint8(0))
            if name == "image" and (pixels > FAINT).mean() < self.config.slices.skip_empty:
                return Rejected(id, "empty slice", asked=True)
        own = {"slice": index, "extent_share": (index + 0.5) / grid.count}
        main = images.pop("image")
        return Record(id, unit.facts["patient"], main, unit.facts["label"], images=images, attributes={**own, **unit.facts["cells"]})

    def _load(self, name: str, path: Path, files: tuple[Path, ...]) -> Volume:
        try:
            volume = self.load(path, files)
            if name in self.config.masks:
                check_mask(volume)
            return volume
        except Unreadable as error:
            raise error if name == "image" else Unreadable(f"{name}: {error}") from None

    def _limits(self, name: str, volume: Volume) -> tuple[float, float] | None:
        if name in self.config.masks:
            return None
        return limits(volume, self.config.windows.get(name, self.config.window))

    def _fault(self, scan: Scan) -> str | None:
        if scan.patient is None:
            return "no patient in its path"
        missing = [name for name in self.config.images if name not in scan.paths]
        return f"no {missing[0]} volume" if missing else None

    @cached_property
    def _folder(self) -> Path:
        folder = resolve(self.config.folder)
        if not folder.is_dir():
            raise SynthmillError(f"the folder {self.config.folder!r} is not there: mend ingest.source.folder or SYNTHMILL_DATA")
        return folder

    @cached_property
    def _found(self) -> dict[str, Path]:
        return below(self._folder)

    @cached_property
    def _scans(self) -> list[Scan]:
        """All files that a pattern names, those that belong together together. Raises SynthmillError where that is ambiguous."""
        scans: dict[tuple, Scan] = {}
        for path in self._found:
            name, parts = self._named(path)
            if name is None:
                continue
            key, patient = self._whose(path, parts)
            scan = scans.setdefault(key, Scan(patient))
            if name in scan.paths:
                raise SynthmillError(
                    f"{scan.paths[name]!r} and {path!r} are two volumes {name!r} of one scan: tell them apart by a further named group "
                    "in ingest.source.patient, such as (?P<session>...)"
                )
            scan.paths[name] = path
        if not any("image" in scan.paths for scan in scans.values()):
            raise SynthmillError(
                f"no file below {self.config.folder!r} is named like {self.config.images['image']!r}: mend ingest.source.images.image, "
                "where **/ stands for folders of any depth"
            )
        for scan in scans.values():
            scan.paths = {name: scan.paths[name] for name in self.config.images if name in scan.paths}
        return sorted(scans.values(), key=lambda scan: scan.id)

    def _named(self, path: str) -> tuple[str | None, tuple[str, ...]]:
        """Which of `images` a path is, and what its wildcards stand for. Where several patterns fit, the most particular one counts."""
        fits = []
        for name, pattern in self._patterns.items():
            match = pattern.fullmatch(path)
            if match:
                fits.append((literals(self.config.images[name]), name, tuple(part or "" for part in match.groups())))
        fits.sort(reverse=True)
        if len(fits) > 1 and fits[0][0] == fits[1][0]:
            raise UsageError(f"{path!r} fits images.{fits[1][1]} and images.{fits[0][1]} alike: make the patterns of ingest.source differ")
        return fits[0][1:] if fits else (None, ())

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {name: translate(pattern) for name, pattern in self.config.images.items()}

    def _whose(self, path: str, parts: tuple[str, ...]) -> tuple[tuple, str | None]:
        """What the files of one scan have in common, and the patient."""
        if self.config.regular:
            match = re.search(self.config.patient, path)
            if not match or not match["patient"]:
                return ("", path), None
            return tuple(sorted(match.groupdict().items())), match["patient"]
        if self.config.patient is not None:
            return parts, self.config.patient
        words = sorted({part for part in parts if part})
        if len(words) > 1:
            raise SynthmillError(
                f"{path!r}: its wildcards stand for {words[0]!r} and {words[1]!r}, of which either may be the patient: "
                "say which with ingest.source.patient, such as (?P<patient>sub-[0-9]+)"
            )
        return parts, words[0] if words else path

    @cached_property
    def _csv(self) -> Path | None:
        name = self.config.csv
        if name is None:
            return None
        if ".." in Path(name).parts:
            raise UsageError(f"{name!r} climbs out of its folder: write ingest.source.csv as a path inside it, or an absolute one")
        for base in (self._folder, data_root()):
            if base is not None and (base / name).is_file():
                return base / name
        raise SynthmillError(f"the csv {name!r} is neither in {self.config.folder!r} nor in SYNTHMILL_DATA: mend ingest.source.csv")

    @cached_property
    def _rows(self) -> dict[str, tuple[int, str | None, dict[str, str]]]:
        """Number, label and the other cells of each row of the CSV by its key. Raises SynthmillError for what nobody declared."""
        if self._csv is None:
            return {}
        table = Table(self._csv, self.config.csv)
        key, label = table.column(self.config.csv_key, "ingest.source.csv_key"), table.column(self.config.label, "ingest.source.label")
        rows: dict[str, tuple[int, str | None, dict[str, str]]] = {}
        for number, cells in table.rows:
            name, word = cells[key].strip(), cells[label].strip()
            if not name:
                raise table.fault(f"row {number} names no patient or file: fill it in or take the row out")
            if name in rows:
                raise table.fault(f"rows {rows[name][0]} and {number} are of one scan: keep one of them")
            if word and self.config.classes is not None:
                if word not in self.config.classes:
                    known = ", ".join(self.config.classes)
                    raise table.fault(f"row {number}: the label is not in ingest.source.classes ({known}): add it")
                word = self.config.classes[word]
            others = {column: cells[at].strip() for at, column in enumerate(table.header) if column and at not in (key, label)}
            rows[name] = (number, word or None, others)
        return rows


def _keys(scan: Scan) -> list[str]:
    """What a row of the CSV may call a scan: the main volume's path or file name, without suffixes too, or the patient."""
    name = scan.id.rpartition("/")[2]
    return [scan.id, name, name.split(".")[0], *([scan.patient] if scan.patient else [])]
