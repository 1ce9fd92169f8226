"""A folder of DICOM files, whatever they are called: `datasets.<name>.ingest.source: {kind: dicom, folder: ..., label: ...}`.

Listing looks at no file's content; each is opened once, when it is read. What leaves a header is said in docs/deidentification.md.
"""

import os
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from schema.errors import SynthmillError, UsageError
from schema.params import Section
from schema.record import Record, Rejected
from schema.settings import data_root
from tasks.sources import Source, Unit, resolve
from tasks.sources._decode import Unreadable
from tasks.sources._table import Table

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tasks.sources._dicom_file import DicomFile

PATIENT = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
BY_FILE = "file"


class Window(Section):
    center: float = Field(allow_inf_nan=False, description="in the modality's units: Hounsfield for CT")
    width: float = Field(ge=1, allow_inf_nan=False, description="how many of them from black to white")


class Plugin(Source):
    """One Record for each frame that can be read; every other file is Rejected."""

    kind = "dicom"

    class Config(Section):
        kind: Literal["dicom"]
        folder: str = Field(description="where the files are, at any depth; relative to SYNTHMILL_DATA, or absolute")
        patient: Literal["PatientID", "study", "series", "file"] = Field(default="PatientID", description="what must not straddle splits")
        no_patient: Literal["refuse", "study", "series", "file"] = Field(
            default="refuse", description="what counts as the patient of a file without a PatientID"
        )
        label: str | None = Field(default=None, min_length=1, description="the one label of all images")
        label_from: str | None = Field(default=None, description="DICOM keyword whose value `classes` makes a label")
        classes: dict[str, str] | None = Field(default=None, min_length=1, description="value of the header or word of the CSV: label")
        other: Literal["refuse", "ignore"] = Field(default="refuse", description="what becomes of values that `classes` lacks")
        csv: str | None = Field(default=None, description="a table of labels, relative to `folder` or to SYNTHMILL_DATA, or absolute")
        csv_key: str = Field(default=BY_FILE, description="its column of what names an image: `file`, or a DICOM keyword")
        csv_label: str = Field(default="label", description="its column of the labels; every further column is an attribute")
        modality: list[str] | None = Field(default=None, min_length=1, description="the modalities that are wanted, such as [CT, MR]")
        frames: Literal["all", "first", "middle"] | Annotated[int, Field(ge=1)] = Field(
            default="all", description="which frames: all, the first, the middle one, or every k-th from the first on"
        )
        window: Literal["header", "minmax"] | Window = Field(
            default="header", description="the header's first VOI LUT or window, {center, width} for all, or the image's own `percentiles`"
        )
        percentiles: tuple[float, float] = Field(default=(0.5, 99.5), description="what minmax makes black and white")
        square_pixels: bool = Field(default=True, description="whether images whose pixels are not square are stretched")
        burned_in: Literal["refuse", "skip", "keep"] = Field(
            default="refuse", description="what becomes of images whose header says that they have burned-in annotation"
        )
        retain: list[Literal["patient-characteristics"]] = Field(default=[], description="options of PS3.15 E.3 that keep elements")
        dates: Literal["drop", "shift"] = Field(default="drop", description="shift: give days to ingest, which shifts them by patient")

        @model_validator(mode="after")
        def _has_one_label(self) -> Self:
            given = [name for name in ("label", "label_from", "csv") if getattr(self, name) is not None]
            if len(given) != 1:
                raise ValueError("set one of label (a constant), label_from (a DICOM keyword) and csv")
            if self.label_from and not self.classes:
                raise ValueError("label_from needs classes, {value of the header: label}: a header's own words are never labels")
            if self.label and self.classes:
                raise ValueError("classes maps values of label_from or csv: leave it out beside label")
            low, high = self.percentiles
            if not 0 <= low < high <= 100:
                raise ValueError("percentiles must be two numbers from 0 to 100, the lower first")
            return self

    def files(self) -> list[Path]:
        """Every file below the folder, and the CSV. Raises SynthmillError for a folder or CSV that is not there."""
        self._check_keywords()
        found = [path for path, fault in self._found.values() if fault is None]
        return sorted({*found, *([self._csv] if self._csv else [])})

    def labels(self) -> set[str]:
        if self.config.label is not None:
            return {self.config.label}
        if self._rows is None:
            return set(self.config.classes.values())
        return {label for label in map(self._label_of_word, (row[0] for row in self._rows.values())) if label}

    def count(self) -> int:
        """One a file where one frame of each is wanted; else a cheap look cannot tell."""
        return sum(1 for _ in self.units()) if self.config.frames in ("first", "middle") else 0

    def units(self) -> Iterator[Unit]:
        """A unit a file, by path; then the rows of a CSV by file whose file is not there."""
        by_file = self._rows is not None and self.config.csv_key == BY_FILE
        for name, (path, fault) in self._found.items():
            facts: dict[str, Any] = {"fault": fault}
            files = () if fault else (path,)
            if by_file and not fault:
                facts["row"] = self._rows.get(name)
            elif self._csv and not fault:
                files = (path, self._csv)
            yield Unit(name, files, facts)
        if by_file:
            yield from (Unit(name, (), {"fault": "missing file"}) for name in self._rows if name not in self._found)

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        from tasks.sources._dicom_file import LeftOut

        if unit.facts["fault"]:
            yield Rejected(unit.key, unit.facts["fault"], asked=unit.facts["fault"] == INSIDE_LINK)
            return
        reading = self._read(unit)
        while True:
            try:
                item = next(reading, None)
            except SynthmillError:
                raise
            except LeftOut as error:
                yield Rejected(unit.key, str(error), asked=True)
                return
            except Unreadable as error:
                yield Rejected(unit.key, str(error))
                return
            except Exception:  # noqa: BLE001  broken bytes make the parser and the decoders raise anything
                yield Rejected(unit.key, "corrupt image")
                return
            if item is None:
                return
            yield item

    def _read(self, unit: Unit) -> Iterator[Record]:
        """The file's records. Raises Unreadable for the file or for the rest of its frames."""
        from tasks.sources._deidentify import attributes
        from tasks.sources._dicom_file import open_dicom, silent
        from tasks.sources._dicom_frames import count_frames, decode_frames
        from tasks.sources._dicom_render import render

        config = self.config
        with open_dicom(unit.files[0], self._tags) as found:
            with silent():
                label, columns = self._accept(found, unit)
                frames = count_frames(found)
                patient = self._patient(found.header, unit.key)
                known = {**attributes(found.header, config.retain, config.dates == "shift"), **columns}
            wanted = _frames(frames, config.frames)
            for index, pixels, kind in decode_frames(found, frames, wanted):
                with silent():
                    image = render(pixels, kind, found.header, index, config)
                name = unit.key if frames == 1 else f"{unit.key}#{index + 1}"
                yield Record(name, patient, image, label, attributes=known)

    def _accept(self, found: "DicomFile", unit: Unit) -> tuple[str, dict[str, str]]:
        """The file's label and the further columns of its row. Raises Unreadable or LeftOut where the config wants none of it."""
        from tasks.sources._dicom_file import LeftOut

        header, config = found.header, self.config
        if found.keyword is None and not found.cut and "Rows" not in header:
            raise LeftOut("no pixel data")
        if config.modality is not None and _text(header, "Modality") not in config.modality:
            raise LeftOut("modality that is not asked for")
        if _text(header, "BurnedInAnnotation").upper() == "YES" and config.burned_in != "keep":
            raise (LeftOut if config.burned_in == "skip" else Unreadable)("burned-in annotation")
        if config.label is not None:
            return config.label, {}
        if config.label_from is not None:
            word, columns = _text(header, config.label_from), {}
        else:
            row = unit.facts["row"] if config.csv_key == BY_FILE else self._rows.get(_text(header, config.csv_key))
            if row is None:
                raise LeftOut("not in the csv")
            word, columns = row
        label = self._label_of_word(word)
        if label is None:
            raise (LeftOut if word and config.other == "ignore" else Unreadable)("label not in classes" if word else "no label")
        return label, columns

    def _label_of_word(self, word: str) -> str | None:
        return (word or None) if self.config.classes is None else self.config.classes.get(word)

    def _patient(self, header: "Dataset", name: str) -> str:
        """Raises Unreadable for a file that names nobody."""
        by = self.config.patient
        if by == "PatientID":
            issuer, patient = _text(header, "IssuerOfPatientID"), _text(header, "PatientID")
            if patient:
                return f"{patient}\0{issuer}" if issuer else patient
            by = self.config.no_patient
        identity = name if by == "file" else _text(header, PATIENT[by]) if by in PATIENT else ""
        if not identity:
            raise Unreadable("no patient")
        return f"{by}\0{identity}"

    @cached_property
    def _tags(self) -> tuple[int, ...]:
        from pydicom.datadict import tag_for_keyword

        from tasks.sources import _deidentify, _dicom_render

        words = ["PatientID", "IssuerOfPatientID", "SOPClassUID", "SpecificCharacterSet", *PATIENT.values(), *_dicom_render.TAGS]
        words += [word for word in (self.config.label_from, self.config.csv and self.config.csv_key) if word and word != BY_FILE]
        return (*_deidentify.TAGS, *(tag_for_keyword(word) for word in words))

    def _check_keywords(self) -> None:
        for key, word in (("label_from", self.config.label_from), ("csv_key", self.config.csv and self.config.csv_key)):
            if word and word != BY_FILE:
                from pydicom.datadict import tag_for_keyword

                if tag_for_keyword(word) is None:
                    raise UsageError(f"ingest.source.{key}: {word!r} is no DICOM keyword: write it as PS3.6 does, such as StudyInstanceUID")

    @cached_property
    def _folder(self) -> Path:
        folder = resolve(self.config.folder)
        if not folder.is_dir():
            raise SynthmillError(f"the folder {self.config.folder!r} is not there: mend ingest.source.folder or SYNTHMILL_DATA")
        return folder.resolve()

    @cached_property
    def _found(self) -> dict[str, tuple[Path, str | None]]:
        """Everything below the folder but folders and the CSV, by its path from there, sorted: the file, and why it is not opened."""
        found = {}
        for here, folders, names in os.walk(self._folder):
            links = [name for name in folders if os.path.islink(os.path.join(here, name))]
            for name in [*names, *links]:
                path = Path(here, name)
                if path != self._csv:
                    found[path.relative_to(self._folder).as_posix()] = (path, self._fault(path))
        return {os.fsencode(name).decode(errors="replace"): found[name] for name in sorted(found)}

    def _fault(self, path: Path) -> str | None:
        if path.is_symlink():
            return INSIDE_LINK if Path(os.path.realpath(path)).is_relative_to(self._folder) else "link out of the folder"
        return None if stat.S_ISREG(path.lstat().st_mode) else "not a regular file"

    @cached_property
    def _csv(self) -> Path | None:
        name = self.config.csv
        if name is None:
            return None
        if ".." in Path(name).parts:
            raise UsageError(f"{name!r} climbs out of its folder: write ingest.source.csv as a path inside it, or an absolute one")
        for path in (base / name for base in (self._folder, data_root()) if base is not None):
            if path.is_file():
                return path
        raise SynthmillError(f"the csv {name!r} is neither in {self.config.folder!r} nor in SYNTHMILL_DATA: mend ingest.source.csv")

    @cached_property
    def _rows(self) -> dict[str, tuple[str, dict[str, str]]] | None:
        """The CSV's label and further cells by key; None without a CSV. Raises SynthmillError for a CSV at fault."""
        if self._csv is None:
            return None
        table = Table(self._csv, self.config.csv)
        key = table.column(self.config.csv_key, "ingest.source.csv_key")
        label = table.column(self.config.csv_label, "ingest.source.csv_label")
        further = {name: at for at, name in enumerate(table.header) if name and at not in (key, label)}
        rows: dict[str, tuple[str, dict[str, str]]] = {}
        numbers: dict[str, int] = {}
        for number, cells in table.rows:
            name, word = cells[key].strip(), cells[label].strip()
            if numbers.setdefault(name, number) != number:
                raise table.fault(f"rows {numbers[name]} and {number} have one {self.config.csv_key}: keep one of them")
            if word and self.config.classes is not None and word not in self.config.classes and self.config.other == "refuse":
                raise table.fault(f"row {number}: its label is not in ingest.source.classes: add it, or set `other: ignore`")
            rows[name] = (word, {column: cells[at].strip() for column, at in further.items()})
        return rows


INSIDE_LINK = "link to another file of the folder"


def _frames(frames: int, which: str | int) -> range:
    if which == "all":
        return range(frames)
    if isinstance(which, int):
        return range(0, frames, which)
    at = 0 if which == "first" else (frames - 1) // 2
    return range(at, at + 1)


def _text(header: "Dataset", keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
