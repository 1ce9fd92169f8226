"""What the sources of volumes share: which files belong together, whose they are, their label, and which slices are cut."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from schema.errors import SynthmillError, UsageError
from schema.record import Record, Rejected
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import Unreadable
from tasks.sources._folder import Folder, open_folder
from tasks.sources._glob import literals, translate
from tasks.sources._labels import NO_CLASS, Labels
from tasks.sources._table import Table, find_csv
from tasks.sources._volume import Grid, Volume, check_mask, limits, to_uint8

UNMATCHED = "in no pattern of images"
UNNAMED = "not in the csv"
ASKED = {UNMATCHED, UNNAMED, NO_CLASS}
"""Reasons that are no fault: the patterns and the CSV decide what is in, and `other: ignore` asks for the last."""

PACKED = ".gz"
"""What the last wildcard of `*_t1.nii*` may stand for tells nothing of the patient."""

FAINT = 25
"""A pixel of at most this is dark: a tenth of the window."""


@dataclass
class Scan:
    """Files that belong together: path below the folder by name of `images`; `patient` None where the path does not tell."""

    patient: str | None
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.paths.get("image") or next(iter(self.paths.values()))


@dataclass(frozen=True)
class Row:
    """What the CSV says of a scan: a label, or the fault for which it has none."""

    number: int
    label: str | None
    fault: str | None
    attributes: dict[str, str | None]


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
        return sorted({file for unit in self.units() for file in unit.files} | ({self._csv} if self.config.csv else set()))

    def labels(self) -> set[str]:
        return {row.label for row in self._rows.values() if row.label} if self.config.csv else {self.config.label}

    def units(self) -> Iterator[Unit]:
        """The scans by path, then rows of the CSV without one, then volumes that no pattern names."""
        unused = dict(self._rows)
        for scan in self._scans:
            row = Row(0, self.config.label, None, {})
            if self.config.csv:
                key = next((key for key in _keys(scan) if key in self._rows), None)
                row = self._rows.get(key, Row(0, None, UNNAMED, {}))
                unused.pop(key, None)
            fault = self._fault(scan) or row.fault
            files = [self._folder.files[path] for path in scan.paths.values()]
            more = [file for path in files for file in self.companions(path) if file in self._readable]
            said = {"patient": scan.patient, "label": row.label, "attributes": row.attributes}
            yield Unit(scan.id, tuple(dict.fromkeys(files + more)), {"fault": fault, "names": list(scan.paths), **said})
        for row in unused.values():
            yield Unit(f"row {row.number} of the csv", (), {"fault": "missing file"})
        matched = {path for scan in self._scans for path in scan.paths.values()}
        for path, file in self._folder.files.items():
            if path.lower().endswith(self.suffixes) and path not in matched:
                yield Unit(path, (file,), {"fault": UNMATCHED})
        for path, why in sorted(self._folder.refused.items()):
            if path.lower().endswith((*self.suffixes, "/")):
                yield Unit(path, (), {"fault": why})

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
                    raise Unreadable(f"{name} volume: no overlap with the main one")
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
        return Record(id, unit.facts["patient"], main, unit.facts["label"], images=images, attributes={**own, **unit.facts["attributes"]})

    def _load(self, name: str, path: Path, files: tuple[Path, ...]) -> Volume:
        try:
            volume = self.load(path, files)
            if name in self.config.masks:
                check_mask(volume)
            return volume
        except Unreadable as error:
            raise error if name == "image" else Unreadable(f"{name} volume: {error}") from None

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
    def _folder(self) -> Folder:
        return open_folder(resolve(self.config.folder), self.config.folder)

    @cached_property
    def _readable(self) -> set[Path]:
        return set(self._folder.files.values())

    @cached_property
    def _scans(self) -> list[Scan]:
        """All files that a pattern names, those that belong together together. Raises SynthmillError where that is ambiguous."""
        scans: dict[tuple, Scan] = {}
        for path in self._folder.files:
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
                parts = tuple("" if part in (None, PACKED) else part for part in match.groups())
                fits.append((literals(self.config.images[name]), name, parts))
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
    def _csv(self) -> Path:
        return find_csv(self.config.csv, self._folder.top, self.config.folder)

    @cached_property
    def _rows(self) -> dict[str, Row]:
        """The rows of the CSV by what they call a scan. Raises SynthmillError for what nobody declared."""
        if self.config.csv is None:
            return {}
        table = Table(self._csv, self.config.csv)
        key, at = table.column(self.config.csv_key, "ingest.source.csv_key"), table.column(self.config.label, "ingest.source.label")
        labels = Labels(self.config.classes, self.config.other == "ignore", (), False, f"column {self.config.label!r}", table.fault)
        rows: dict[str, Row] = {}
        for number, cells in table.rows:
            name = cells[key]
            if not name:
                raise table.fault(f"row {number} names no patient or file: fill it in or take the row out")
            if name in rows:
                raise table.fault(f"rows {rows[name].number} and {number} are of one scan: keep one of them")
            label, fault = labels.of([cells[at]], f"row {number}")
            said = {column: cells[index] or None for index, column in enumerate(table.header) if column and index != key}
            rows[name] = Row(number, label, fault, said)
        return rows


def _keys(scan: Scan) -> list[str]:
    """What a row of the CSV may call a scan: the main volume's path or file name, without suffixes too, or the patient."""
    name = scan.id.rpartition("/")[2]
    return [scan.id, name, name.split(".")[0], *([scan.patient] if scan.patient else [])]
