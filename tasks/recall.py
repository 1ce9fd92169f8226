"""Recall: what depends on a patient, from lineage alone, and withdrawing them.

Lineage is what every stage wrote down anyway: who was in which split (data/ingest/<dataset>/persons.csv and splits.csv, data/splits),
what each model was trained on and started from (model.json, the ledger), what was drawn from it, and the tags. Nothing is trained or drawn.
"""

import csv
import re
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catalog import evidence, ledger, publish, recalls, versions
from catalog.ledger import Persons, Row
from schema.digest import read_json
from schema.errors import UsageError
from schema.evidence import RECALL, Statement, described, now
from schema.params import Ingest, load
from schema.record import SPLITS
from schema.release import Release
from schema.settings import root
from schema.withdrawn import Withdrawn
from tasks.ingesting.keys import key_mark, keyed, one_spelling, person, population_of, withdrawal
from tasks.stage import ingest_folder, model_folder, samples_folder


@dataclass(frozen=True)
class Model:
    """A model that learned from the patient. `current`: the one in data/models. `by_start`: only by way of what its training started
    from. `drawn`: images in data/samples that come of it; `released`: images in its releases."""

    digest: str
    dataset: str
    current: bool
    by_start: bool
    releases: list[str]
    drawn: int
    released: int


@dataclass(frozen=True)
class Place:
    """What one dataset has of the patient. `split`: where they were dealt. `trained_on`, `judged_with`: tags of releases, the latter
    those whose gates may have used their images. `withdrawn`: they are out already, or will be with the next ingest.
    """

    dataset: str
    patient: str
    split: str | None
    records: int
    withdrawn: bool
    models: list[Model]
    trained_on: list[str]
    judged_with: list[str]
    recalled: list[str]


@dataclass(frozen=True)
class Found:
    """`given`: the id as it was asked for, which goes no further than the screen."""

    given: str
    places: list[Place]

    @property
    def to_recall(self) -> list[str]:
        """Tags of releases that were trained on the patient and are not recalled yet."""
        return list(dict.fromkeys(tag for place in self.places for tag in place.trained_on if tag not in place.recalled))

    def as_json(self) -> dict[str, Any]:
        return {"datasets": [asdict(place) for place in self.places], "to_recall": self.to_recall}


def find(patient: str | None = None, record: str | None = None, dataset: str | None = None) -> Found:
    """Who an id is of and what depends on them, in one dataset or in all. The id is the source's own, or a keyed one (a record's, a
    patient's, or that of a person over datasets).

    Raises UsageError where nobody has that id under this SYNTHMILL_ID_KEY, IntegrityError where ledger or record were tampered with.
    """
    given = (patient or record or "").strip()
    if not given or (patient and record):
        raise UsageError("say who: --patient ID, or --record ID for the patient of that record")
    params = load()
    if dataset is not None:
        params.dataset(dataset)
    names = [dataset] if dataset else list(params.datasets)
    lineages = {name: Lineage(name, params.dataset(name).ingest) for name in names}
    people = {name: lineage.patients(given, is_record=record is not None) for name, lineage in lineages.items()}
    # Whoever was found in one dataset is in the others as the same person of the population.
    persons = {one for name, lineage in lineages.items() for one in lineage.persons_of(people[name])}
    people = {name: people[name] | lineage.patients_of(persons) for name, lineage in lineages.items()}
    if not any(people.values()):
        raise UsageError(
            f"nobody in {', '.join(names)} has that id under this SYNTHMILL_ID_KEY: it is the source's own id of a "
            f"{'record' if record else 'patient'}, or a keyed one as splits.csv has it; with another key every id is another"
        )
    return Found(given, [lineages[name].place(one) for name, found in people.items() for one in sorted(found)])


def carry_out(found: Found, reason: str, by: str) -> dict[str, list[str]]:
    """Withdraws the patient: {"withdrawn": datasets that the next ingest leaves them out of, "recalled": releases}, of what is so now.

    Every step is done once, whoever calls this again, and what a killed run left is finished. The reason and the name become public.
    Raises UsageError for words that would tell who it is.
    """
    reason, by = " ".join(reason.split()), " ".join(by.split())
    if not reason or not by:
        raise UsageError("a recall needs a name and a reason: --by NAME --reason TEXT")
    if not (reason.isprintable() and by.isprintable()):
        raise UsageError("a recall's name and reason are of letters and signs alone: no control characters, no broken ones")
    if len(reason) > 1000 or len(by) > 100:
        raise UsageError("a recall's reason has at most 1000 characters, its name at most 100")
    ids = {found.given, *(place.patient for place in found.places)}
    if any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", f"{reason} {by}", re.IGNORECASE) for one in ids):
        raise UsageError("the reason goes into a public tag, and it names the patient's id: say why without it")
    at, recalled = now(), []
    for place in found.places:
        _withdraw(place)
        recalled += _bury(place, reason, by, at)
        _enter(place, reason, by, at)
    for name in sorted({tag.partition("@")[0] for place in found.places for tag in place.trained_on}):
        publish.push_git(versions.latest(name))
    return {"withdrawn": [place.dataset for place in found.places], "recalled": sorted(set(recalled))}


def _withdraw(place: Place) -> None:
    said = Withdrawn.of(place.dataset)
    if place.patient not in said.patients:
        Withdrawn(key=key_mark(), patients={**said.patients, place.patient: place.split}).save(place.dataset)


def _bury(place: Place, reason: str, by: str, at: str) -> list[str]:
    """Tombstones, and a row in the ledger for each release and for each model that was never released; the tags recalled."""
    known = {release.tag: release for release in versions.releases()}
    models = {row.tag: row.model for row in ledger.rows()}
    for tag in place.trained_on:
        stone = recalls.bury(known[tag], reason, by, at)
        ledger.recall(stone, stone.release.partition("@")[0], models.get(tag), stone.reason, stone.by, stone.at)
    for model in place.models:
        if not model.releases:
            ledger.recall(None, model.dataset, model.digest, reason, by, at)
    return place.trained_on


def _enter(place: Place, reason: str, by: str, at: str) -> None:
    """The withdrawal in the dataset's record, once: who it was stands there only as a keyed mark of the withdrawal."""
    mark = withdrawal(place.dataset, place.patient)
    subject = [described(tag, _digest(tag)) for tag in place.trained_on] or [described(f"{place.dataset}: withdrawal", mark, "keyed")]
    said = {"withdrawal": mark, "split": place.split, "releases": place.trained_on, "models": [one.digest for one in place.models]}
    statement = Statement(subject=subject, predicateType=RECALL, predicate={**said, "reason": reason, "by": by, "at": at})

    def unless_there(entries: Callable[[], list[evidence.Entry]]) -> list[Statement]:
        there = any(one.statement.predicate_type == RECALL and one.statement.predicate["withdrawal"] == mark for one in entries())
        return [] if there else [statement]

    evidence.append_with(evidence.record_file(place.dataset), unless_there)


def _digest(tag: str) -> str:
    return versions.find(tag).digests.together


class Lineage:
    """What is written down of a dataset."""

    def __init__(self, dataset: str, params: Ingest) -> None:
        self.dataset = dataset
        self.population = population_of(params)
        self.folder = ingest_folder(dataset)
        self.gone = Withdrawn.of(dataset).patients
        self.rows = _known_rows()
        self.trained = Persons(self.rows)

    @cached_property
    def records(self) -> list[dict[str, str]]:
        return _lines(self.folder / "splits.csv")

    @cached_property
    def persons(self) -> list[dict[str, str]]:
        return _lines(self.folder / "persons.csv")

    @cached_property
    def dealt(self) -> dict[str, str | None]:
        """{keyed patient: split} of everybody who ever was in the dataset, those who were withdrawn included."""
        path = root() / "data" / "splits" / f"{self.dataset}.json"
        return {**(read_json(path)["patients"] if path.is_file() else {}), **self.gone}

    @cached_property
    def images(self) -> dict[str, int]:
        return {release.tag: release.images for release in versions.releases()}

    def patients(self, given: str, is_record: bool) -> set[str]:
        """The keyed patients of this dataset whom an id is of."""
        if is_record:
            ids = {given.lower(), keyed(self.dataset, "record", given)}
            return {line["patient"] for line in self.records if line["id"] in ids}
        own = keyed(self.dataset, "patient", one_spelling(given))
        known = self.dealt.keys() | {line["patient"] for line in self.records}
        found = known & {given.lower(), own} | self.patients_of({given.lower(), person(self.population, given)})
        return found or ({own} if self._released_on(own) else set())

    def patients_of(self, persons: Container[str]) -> set[str]:
        return {line["patient"] for line in self.persons if line["person"] in persons}

    def persons_of(self, patients: Container[str]) -> set[str]:
        return {line["person"] for line in self.persons if line["patient"] in patients}

    def place(self, patient: str) -> Place:
        """All that depends on a keyed patient of this dataset."""
        split = self.dealt.get(patient) or next((line["split"] for line in self.records if line["patient"] == patient), None)
        rows = self._rows_on(patient, split)
        models = self._models_on(patient, split, rows)
        trained = [tag for model in models for tag in model.releases]
        judged = [one.tag for one in versions.releases(self.dataset) if one.tag not in trained] if split in SPLITS[1:] else []
        stones = versions.tombstones()
        return Place(
            dataset=self.dataset,
            patient=patient,
            split=split,
            records=sum(line["patient"] == patient for line in self.records),
            withdrawn=patient in self.gone,
            models=models,
            trained_on=list(dict.fromkeys(trained)),
            judged_with=judged,
            recalled=[tag for tag in trained if tag in stones],
        )

    def _released_on(self, patient: str) -> bool:
        """Whether a release of this dataset was trained on a patient, who may long be gone from the source."""
        return any(patient in (self.trained.own(row) or ()) for row in self.rows if row.dataset == self.dataset)

    def _rows_on(self, patient: str, split: str | None) -> list[Row]:
        """The releases of this dataset whose own training a patient was in. Where its persons are not known under this key, the patient's
        split decides: it is for good, so nobody who was dealt to another is among them."""
        found = []
        for row in self.rows:
            people = self.trained.own(row) if row.key == key_mark() else None
            if row.dataset == self.dataset and (split == "train" if people is None else patient in people):
                found.append(row)
        return found

    def _models_on(self, patient: str, split: str | None, rows: list[Row]) -> list[Model]:
        """Every model that learned from the patient: the dataset's own, released or not, and those of any dataset that started from one."""
        current = {name: said for name in load().datasets if (said := _said(model_folder(name) / "model.json"))}
        own = {row.model for row in rows}
        mine = current.get(self.dataset)
        if mine and split == "train" and patient not in self._left_out_of(mine):
            own.add(mine["digest"])
        reached = set(own)
        started = [(row.model, row.init) for row in self.rows] + [(said["digest"], said.get("init")) for said in current.values()]
        while more := {model for model, init in started if init and init["digest"] in reached} - reached:
            reached |= more
        return [self._model(digest, digest not in own, current) for digest in sorted(reached)]

    def _left_out_of(self, model: dict[str, Any]) -> set[str]:
        """The patients whom the current model cannot have learned from: it was trained on the ingest that is here, without them."""
        manifest = _said(self.folder / "manifest.json")
        if not manifest or model.get("dataset_digest") != manifest["digest"]:
            return set()
        return self.dealt.keys() - {line["patient"] for line in self.records}

    def _model(self, digest: str, by_start: bool, current: dict[str, dict[str, Any]]) -> Model:
        here = [name for name, said in current.items() if said["digest"] == digest]
        rows = [row for row in self.rows if row.model == digest]
        drawn = [said for name in here if (said := _said(samples_folder(name) / "manifest.json")) and said["model"] == digest]
        name = rows[0].dataset if rows else here[0]
        released = sum(self.images.get(row.tag, 0) for row in rows)
        return Model(digest, name, bool(here), by_start, [row.tag for row in rows], sum(said["n"] for said in drawn), released)


def _known_rows() -> list[Row]:
    """The ledger's rows, and for tags that have none, those of releases whose model and persons are not known."""
    rows = ledger.rows()
    entered = {(row.tag, row.digest) for row in rows}
    return rows + [_unknown(one) for one in versions.releases() if (one.tag, one.digests.together) not in entered]


def _unknown(release: Release) -> Row:
    nothing = {"source": "", "ingest": "", "init": None, "account": None, "attacks": [], "patients": None, "persons": None, "key": None}
    digest = release.digests.together
    return Row(tag=release.tag, dataset=release.dataset, digest=digest, model=f"unknown:{release.tag}", at="", evidence=None, **nothing)


def _lines(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _said(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None
