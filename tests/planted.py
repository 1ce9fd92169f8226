"""Copies of DICOM files in which every element that can identify somebody holds a value of its own, to be looked for afterwards."""

import itertools
import re
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pydicom
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset

TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
DECIDES_THE_PIXELS = {"PhotometricInterpretation", "SpecificCharacterSet", "VOILUTFunction", "TransferSyntaxUID", "SOPClassUID"}
KINDS_OF_OBJECT = {"MediaStorageSOPClassUID", "BurnedInAnnotation"}
MARK = "PLANTED7Q"
SHAPE = re.compile(rf"(?=({MARK}\d{{6}}|2\.25\.77345\d{{6}}|\d{{4}}-\d\d-\d\d|\d{{8}}|031547\.\d{{6}}))")
"""What every value looks like: a search for each of thousands in turn would take a minute."""


class Planter:
    """`values`: all that was planted so far."""

    def __init__(self) -> None:
        self.values: set[str] = set()
        self._numbers = itertools.count(1)

    def word(self) -> str:
        return self._keep(f"{MARK}{next(self._numbers):06d}")

    def fill(self, dataset: Dataset) -> None:
        """Overwrites the data set's elements and those in its sequences."""
        for tag in list(dataset.keys()):
            try:
                element = dataset[tag]
            except (ValueError, TypeError, KeyError, NotImplementedError):
                del dataset[tag]
                continue
            if element.VR == "SQ":
                for item in element.value:
                    self.fill(item)
            elif element.keyword not in DECIDES_THE_PIXELS | KINDS_OF_OBJECT and (element.VR != "OB" or element.tag.is_private):
                planted = self._of(element.VR)
                if planted is not None:
                    element.value = planted

    def add_all(self, dataset: Dataset) -> None:
        """Adds every element of the standard's dictionary that is text, a UID or a date, a sequence with a name, and private ones."""
        for tag, (vr, *_) in DicomDictionary.items():
            known = keyword_for_tag(tag) in DECIDES_THE_PIXELS | KINDS_OF_OBJECT
            if 0x0008 <= tag >> 16 < 0x7FE0 and tag not in dataset and not known and self._of(vr) is not None:
                dataset.add_new(tag, vr, self._of(vr))
        person = Dataset()
        person.PatientName, person.PatientComments, person.BodyPartExamined = self.word(), self.word(), self.word()
        dataset.OtherPatientIDsSequence = dataset.AnatomicRegionSequence = [person]
        block = dataset.private_block(0x0011, self.word(), create=True)
        block.add_new(0x01, "LO", self.word())
        block.add_new(0x02, "UN", self.word().encode())
        block.add_new(0x03, "SQ", [person])

    def _of(self, vr: str) -> str | bytes | None:
        number = next(self._numbers)
        if vr in TEXT:
            return self._keep(f"{MARK}{number:06d}")
        if vr == "UI":
            return self._keep(f"2.25.77345{number:06d}")
        if vr in ("DA", "DT"):
            day = date(1900, 1, 1) + timedelta(days=number % 30_000)
            self._keep(day.isoformat())
            return self._keep(f"{day:%Y%m%d}") + ("031547" if vr == "DT" else "")
        if vr == "TM":
            return self._keep(f"031547.{number:06d}"[:13])
        return self._keep(f"{MARK}{number:06d}").encode() if vr == "UN" else None

    def _keep(self, value: str) -> str:
        assert found({value}, value), f"{value} would never be found"
        self.values.add(value)
        return value


def found(values: set[str], text: str) -> set[str]:
    """Those of the planted values that a text holds."""
    return values & {match[1] for match in SHAPE.finditer(text)}


def plant(folder_in: Path, folder_out: Path) -> set[str]:
    """Writes copies of the DICOM files below `folder_in`, with planted names themselves, and returns every value planted.

    Text (also coded), UIDs, dates, times, private elements and those inside sequences; into the first file of each modality also every
    element that the standard's dictionary has. Numbers and pixels stay as they are. Files that cannot be parsed are passed over.
    """
    planter, seen = Planter(), set()
    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for dataset in _readable(folder_in):
                modality = str(dataset.get("Modality"))
                planter.fill(dataset)
                dataset.PatientID, dataset.PatientName = planter.word(), planter.word()
                if modality not in seen:
                    planter.add_all(dataset)
                seen.add(modality)
                path = folder_out / planter.word() / f"{planter.word()}.dcm"
                path.parent.mkdir(parents=True)
                dataset.save_as(path, enforce_file_format=False)
    finally:
        pydicom.config.settings.writing_validation_mode = before
    return planter.values


def _readable(folder: Path) -> Iterator[Dataset]:
    for path in sorted(folder.rglob("*")):
        try:
            dataset = pydicom.dcmread(path) if path.is_file() else None
        except pydicom.errors.InvalidDicomError:
            continue
        if dataset is not None and "PixelData" in dataset and "Rows" in dataset and str(dataset.get("NumberOfFrames") or 1).isdigit():
            yield dataset
