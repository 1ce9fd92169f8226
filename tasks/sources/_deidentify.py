"""What of a DICOM header may leave it: a short list of coded and numeric elements, after the profile of PS3.15 Annex E.

Two walls. The list first: an element that is not on it is never read, nor anything private or inside a sequence, so that free text cannot
pass. Then the Basic Application Level Confidentiality Profile (PS3.15 E.1) by dicomanonymizer with the edition of the standard that it
brings, so that an element the standard comes to call identifying is gone with the next upgrade of that library.
"""

import math
import re
from collections.abc import Callable, Iterable
from datetime import date
from functools import cache
from typing import Any

from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, initialize_actions, keep
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
    """Years of an Age String (PS3.5 6.2: `045Y`, `018M`, `003W`, `010D`), 90 for more than 89; None for anything else."""
    match = re.fullmatch(r"(\d{1,3})([YMWD])", str(value).strip())
    if not match:
        return None
    years = int(match[1]) / {"Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}[match[2]]
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
def _profile() -> dict[tuple, Callable]:
    return initialize_actions(EDITION)


@cache
def _rules(retain: tuple[str, ...], dates: bool) -> dict[tuple, Callable]:
    """The profile's rules for the elements of the list, those kept by an option of PS3.15 E.3 taken out."""
    kept = {*UIDS, *(CHARACTERISTICS if "patient-characteristics" in retain else ()), *(DATES if dates else ())}
    rules = {}
    for tag, keyword in TAGS.items():
        place = (tag >> 16, tag & 0xFFFF)
        if place in _profile():
            rules[place] = keep if keyword in kept else _profile()[place]
    return rules


def attributes(header: Dataset, retain: Iterable[str] = (), dates: bool = False) -> dict[str, Any]:
    """What a header gives, by DICOM keyword: str, number or list of str.

    `retain`: `patient-characteristics`, or nothing. `dates`: whether days are given (ISO 8601, of the source, not shifted).
    """
    rules = _rules(tuple(retain), dates)
    chosen = Dataset()
    for tag in TAGS:
        if tag in header:
            try:
                chosen[tag] = header[tag]
            except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):
                continue  # an element whose bytes make no value has nothing to give
    given = {(element.tag.group, element.tag.element) for element in chosen}
    kept = {place for place in given if rules.get(place, keep) is keep}
    profiled = {place: rules[place] for place in given if place in rules}
    anonymize_dataset(chosen, base_rules_gen=lambda: profiled)
    found = {}
    for element in chosen:
        # What the profile replaces by a dummy has nothing to say either.
        if (element.tag.group, element.tag.element) in kept and element.value not in (None, "", []):
            found |= _read(TAGS[element.tag], element.value)
    return found


def _read(keyword: str, value: Any) -> dict[str, Any]:
    try:
        if keyword in PAIRS:
            row, column = (_numbers(part) for part in value)
            return {f"{keyword}.row": row, f"{keyword}.column": column}
        read = READERS[keyword](value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return {}
    return {} if read is None else {keyword: read}
