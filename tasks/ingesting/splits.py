"""The deal of patients to splits: stratified, and for good.

Whoever was dealt once stays where they are, whoever else comes: the deals are written down by keyed id, and are an out of the stage, so
that each version of the data carries its own.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from schema.digest import read_json
from schema.errors import SynthmillError
from schema.params import Split
from schema.record import SPLITS
from schema.settings import root
from tasks.ingesting.keys import key_mark


def ledger_file(dataset: str) -> Path:
    return root() / "data" / "splits" / f"{dataset}.json"


def read_ledger(dataset: str, split: Split) -> dict[str, str]:
    """{keyed patient: split} of every earlier ingest; empty before the first, and where the params ask for another deal, by another salt or
    by another rule.

    Raises SynthmillError where the ids were keyed with another key: nobody would be known again.
    """
    path = ledger_file(dataset)
    if not path.is_file():
        return {}
    try:
        said = read_json(path)
        whole = {*said} == {"by", "salt", "key", "patients"} and {*said["patients"].values()} <= {*SPLITS}
    except (ValueError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise SynthmillError(
            f"{path} is damaged: put it back from a copy or by `dvc checkout`, for it says who was held out; without it all "
            "patients are dealt anew, and one who was held out may be trained on"
        )
    if (said["by"], said["salt"]) != (split.by, split.salt):
        return {}
    if said["key"] != key_mark():
        raise SynthmillError(
            f"SYNTHMILL_ID_KEY is not the key under which the patients of {dataset} were dealt to splits: export that key, or delete "
            f"{path} and know that patients who were held out may be trained on"
        )
    return said["patients"]


def ledger(patients: Mapping[str, str], split: Split) -> dict:
    """What is written down of the deals."""
    return {"by": split.by, "salt": split.salt, "key": key_mark(), "patients": dict(sorted(patients.items()))}


def deal(tags: Mapping[str, Iterable[str]], known: Mapping[str, str], split: Split) -> dict[str, str]:
    """{patient: split} for the patients of `tags`, which gives the strata that each belongs to; those in `known` stay where they are.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, algorithm 1): the
    stratum with the fewest patients left is dealt first, each patient to the split that lacks most of that stratum, ties to the one that
    lacks most patients, patients in the order of a salted hash of their keyed ids.
    """
    shares = {name: getattr(split, name) for name in SPLITS}
    of = {patient: frozenset(found) for patient, found in tags.items()}
    total = Counter(tag for found in of.values() for tag in found)
    lacks = {tag: {name: share * count for name, share in shares.items()} for tag, count in total.items()}
    lacks_patients = {name: share * len(of) for name, share in shares.items()}
    dealt: dict[str, str] = {}

    def give(patient: str, name: str) -> None:
        dealt[patient] = name
        lacks_patients[name] -= 1
        for tag in of[patient]:
            lacks[tag][name] -= 1

    for patient in sorted(of):
        if patient in known:
            give(patient, known[patient])
    order = sorted(of.keys() - dealt.keys(), key=lambda patient: hashlib.sha256(f"{split.salt}:{patient}".encode()).digest())
    waiting: dict[str, list[str]] = {}
    for patient in order:
        for tag in of[patient] or {""}:
            waiting.setdefault(tag, []).append(patient)
    while waiting:
        tag = min(waiting, key=lambda name: (len(waiting[name]), name))
        for patient in waiting.pop(tag):
            want = lacks.get(tag, lacks_patients)
            give(patient, max(SPLITS, key=lambda name: (round(want[name], 9), round(lacks_patients[name], 9), -SPLITS.index(name))))
        waiting = {name: left for name, found in waiting.items() if (left := [patient for patient in found if patient not in dealt])}
    return dealt
