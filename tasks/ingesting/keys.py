"""Ids that say nothing of the source's own, and dates that say nothing of the calendar."""

import hashlib
import unicodedata
from datetime import date, timedelta

from schema.digest import sha256_json
from schema.params import Ingest
from schema.settings import id_key

DAYS = 365
"""Dates are moved back by 1 to this many days."""


def keyed(dataset: str, kind: str, value: str, size: int = 8) -> str:
    """An id that says nothing of the source's own: `size` bytes, in hexadecimal, of a BLAKE2b keyed with `SYNTHMILL_ID_KEY` (RFC 7693)."""
    return _digest(dataset, kind, value, size).hex()


def person(population: str, patient: str) -> str:
    """A patient's second keyed id, the same in every dataset of one population (decision 13)."""
    return keyed(population, "person", one_spelling(patient))


def population_of(params: Ingest) -> str:
    """What numbers the patients: `ingest.population`, else the source's own section. Never written anywhere."""
    return params.population or sha256_json(params.source.options())


def withdrawal(dataset: str, patient: str) -> str:
    """What stands for the withdrawal of a (keyed) patient in a record that others may see: no id of theirs."""
    return keyed(dataset, "withdrawal", patient)


def one_spelling(patient: str) -> str:
    """A patient's id without what people write differently: case, spaces at the ends, composed letters. Two spellings are one patient,
    since images of one person must never lie on both sides of a split."""
    return unicodedata.normalize("NFC", patient).strip().casefold()


def shifted(dataset: str, patient: str, day: date) -> date:
    """The day moved back by 1 to DAYS days: as many for all dates of a (keyed) patient, so that the time between them stays
    (DICOM PS3.15 section E.3.6, Retain Longitudinal Temporal Information with Modified Dates)."""
    return day - timedelta(days=1 + int.from_bytes(_digest(dataset, "days", patient, 8), "big") % DAYS)


def key_mark() -> str:
    """What tells one key from another without telling anything of it."""
    return _digest("", "key", "", 16).hex()


def _digest(dataset: str, kind: str, value: str, size: int) -> bytes:
    key = hashlib.sha256(id_key()).digest()
    return hashlib.blake2b(f"{dataset}\0{kind}\0{value}".encode("utf-8", "surrogateescape"), key=key, digest_size=size).digest()
