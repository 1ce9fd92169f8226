"""What of a DICOM header may leave it: a short list of coded and numeric elements, after the profile of PS3.15 Annex E.

Two walls. The list first: an element that is not on it is never read, nor anything private or inside a sequence, so that free text cannot
pass. Then the Basic Application Level Confidentiality Profile (PS3.15 table E.1-1) as dicomanonymizer holds it: whatever the profile does
something to is dropped, unless an option keeps it. An element that a later edition calls identifying goes with the upgrade of that library.
"""

import math
import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from typing import Any

from dicomanonymizer.simpledicomanonymizer import initialize_actions
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from schema.digest import sha256_bytes
from tasks.sources._dicom_terms import MAKERS, TERMS, words

EDITION = "dicomfields_2026c"
"""dicomanonymizer's table of PS3.15 E.1-1, edition 2026c."""

OLDEST = 90
"""Years that every greater age is given as: 45 CFR 164.514(b)(2)(i)(C) lets ages of 90 or older pass as one category alone."""

NUMBERS = words(
    """
    AcquisitionNumber BitsStored BodyPartThickness Columns CompressionForce DataCollectionDiameter DiffusionBValue
    DistanceSourceToDetector DistanceSourceToPatient EchoTime EchoTrainLength Exposure ExposureTime FlipAngle FrameTime
    GantryDetectorTilt ImagesInAcquisition InstanceNumber InversionTime KVP MagneticFieldStrength NumberOfAverages NumberOfFrames
    ReconstructionDiameter RepetitionTime RescaleIntercept RescaleSlope Rows SamplesPerPixel SeriesNumber SliceLocation SliceThickness
    SpacingBetweenSlices WindowCenter WindowWidth XRayTubeCurrent
    """
)
"""Elements of the image and how it was made. Of several values, the first."""

PAIRS = ("PixelSpacing", "ImagerPixelSpacing")
"""Row spacing and column spacing in mm (PS3.3 10.7.1.3), given as `PixelSpacing.row` and `PixelSpacing.column`."""

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""Never given as they are: as SHA-256 of them, which ingest keys again for an attribute of the kind `id`."""

DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")

CHARACTERISTICS = ("PatientAge", "PatientSex", "PatientSize", "PatientWeight", "SmokingStatus")
"""Retain Patient Characteristics Option (PS3.15 E.3.7), as far as it is coded or a number. Age in years, size in m, weight in kg."""


def _numbers(value: Any) -> float | int | None:
    number = float(_values(value)[0])
    if not math.isfinite(number) or abs(number) > 1e9:
        return None
    return int(number) if number.is_integer() else number


def _maker(value: Any) -> str | None:
    text = str(value).strip().lower()
    return next((word for start, word in MAKERS.items() if text.startswith(start)), None)


def _uid(value: Any) -> str | None:
    return sha256_bytes(str(value).strip().encode())[:32] if str(value).strip() else None


def _date(value: Any) -> str | None:
    match = re.fullmatch(r"(\d{4})\.?(\d\d)\.?(\d\d)", str(value).strip())
    return date(*map(int, match.groups())).isoformat() if match else None


def age(value: Any) -> float | int | None:
    """Years of an Age String (PS3.5 6.2: `045Y`, `018M`, `003W`, `010D`; digits alone, which some write, are years), 90 for more than 89;
    None for anything else."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", str(value).strip())
    if not match:
        return None
    years = int(match[1]) / {"": 1, "Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}[match[2]]
    return OLDEST if years > 89 else int(years) if years.is_integer() else round(years, 2)


def _term(keyword: str) -> Callable[[Any], str | list[str] | None]:
    def known(value: Any) -> str | list[str] | None:
        found = [word for word in (str(part).strip().upper() for part in _values(value)) if word in TERMS[keyword]]
        if keyword in ("ImageType", "ScanningSequence", "SequenceVariant"):
            return found or None
        return found[0] if found else None

    return known


READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*NUMBERS, "PatientSize", "PatientWeight"), _numbers),
    **{keyword: _term(keyword) for keyword in TERMS},
    **dict.fromkeys(UIDS, _uid),
    **dict.fromkeys(DATES, _date),
    "Manufacturer": _maker,
    "PatientAge": age,
}
"""Keyword: what makes a value of an element, None where it is not what it should be. All that a header can give, but `PAIRS`."""

TAGS = {tag_for_keyword(keyword): keyword for keyword in (*READERS, *PAIRS)}


def _values(value: Any) -> list:
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "append") else [value]


@cache
def allowed(retain: tuple[str, ...] = (), dates: bool = False) -> dict[int, str]:
    """The elements of the list that the profile leaves alone, and those that an option of PS3.15 E.3 keeps: tag and keyword.

    Where the profile replaces, empties or cleans a value, nothing is given at all: a dummy has nothing to say.
    """
    profile = initialize_actions(EDITION)
    kept = {*UIDS, *(CHARACTERISTICS if "patient-characteristics" in retain else ()), *(DATES if dates else ())}
    return {tag: keyword for tag, keyword in TAGS.items() if keyword in kept or (tag >> 16, tag & 0xFFFF) not in profile}


def attributes(header: Dataset, retain: Iterable[str] = (), dates: bool = False) -> dict[str, Any]:
    """What a header gives, by DICOM keyword: str, number or list of str.

    `retain`: `patient-characteristics`, or nothing. `dates`: whether days are given (ISO 8601, of the source, not shifted).
    """
    names = allowed(tuple(retain), dates)
    found = {}
    for tag in header.keys():  # noqa: SIM118  a Dataset iterates over its elements, and would convert each of them
        if tag in names:
            found |= _read(header, tag, names[tag])
    return found


def _read(header: Dataset, tag: int, keyword: str) -> dict[str, Any]:
    try:
        value = header[tag].value
        if value is None or value == "":
            return {}
        if keyword in PAIRS:
            row, column = (_numbers(part) for part in value)
            return {f"{keyword}.row": row, f"{keyword}.column": column}
        read = READERS[keyword](value)
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError, NotImplementedError):
        return {}  # an element whose bytes make no such value has nothing to give
    return {} if read is None else {keyword: read}
