"""All that the source holds, read where it is new or changed and found again where it is not, and what is known of it by then."""

import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from schema.digest import sha256_json
from schema.errors import SynthmillError
from schema.params import Ingest
from schema.record import Rejected
from schema.settings import read_seconds, readers
from tasks.ingesting.keys import keyed
from tasks.ingesting.pool import Answer, answers
from tasks.ingesting.reader import Reader, aside, reading
from tasks.ingesting.rows import Rows
from tasks.ingesting.seen import Seen
from tasks.progress import ticking
from tasks.sources import Source, Unit
from tasks.stage import code_digest

ELSEWHERE = {"approval", "prevalence", "duplicates", "split", "max_rejected", "shard_size"}
"""Params of ingest that do not decide what is read of a unit."""
MARK = 16
"""Bytes of a unit's mark."""
FEW = 2
"""Drawn units up to which no worker is worth its start."""


@dataclass
class Gathered:
    """`facts` of each record that is in, `places` of its images in the store of rows; who is set aside, and why."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: list[bytes] = field(default_factory=list)
    places: list[tuple[bytes, int]] = field(default_factory=list)
    quarantined: list[dict[str, str]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Keyed ids of what nobody asked to leave out, by reason."""
    withdrawn: int = 0
    """Records of patients who were withdrawn."""
    held: set[bytes] = field(default_factory=set)
    """The marks of units with such records."""

    @property
    def total(self) -> int:
        return len(self.facts) + len(self.quarantined) + self.withdrawn

    def take(self, mark: bytes, place: int, facts: dict[str, Any], thumbnail: bytes) -> None:
        if "reason" not in facts:
            self.facts.append(facts)
            self.thumbnails.append(thumbnail)
            self.places.append((mark, place))
        else:
            self.quarantined.append({"id": facts["id"], "reason": facts["reason"]})
            if not facts["asked"]:
                self.faults[facts["reason"]].append(facts["id"])

    def remove(self, reasons: dict[int, str], gone: Container[str] = ()) -> None:
        """Sets the records at these indices aside, as the params ask, and drops those of the keyed patients in `gone`, who are only
        counted; thumbnails are of no more use then."""
        out = {index for index, facts in enumerate(self.facts) if facts["patient"] in gone}
        self.withdrawn = len(out)
        self.held = {self.places[index][0] for index in out}
        for index, reason in sorted(reasons.items()):
            if index not in out:
                self.quarantined.append({"id": self.facts[index]["id"], "reason": reason})
        kept = [index for index in range(len(self.facts)) if index not in reasons and index not in out]
        self.facts, self.places, self.thumbnails = [self.facts[index] for index in kept], [self.places[index] for index in kept], []

    def dropped(self) -> dict[str, Any]:
        """What was left out of the records that are in, or painted over in them: numbers of records, by name."""
        counts: dict[str, Counter[str]] = {key: Counter() for key in ("undeclared", "undeclared_images", "blanked")}
        for facts in self.facts:
            for key, counter in counts.items():
                counter.update(facts[key])
        return {
            "attributes": dict(sorted(counts["undeclared"].items())),
            "images": dict(sorted(counts["undeclared_images"].items())),
            "implausible": dict(sorted(counts["blanked"].items())),
            "letters_painted_over": sum(facts["painted_over"] > 0 for facts in self.facts),
        }

    def spelled_differently(self) -> int:
        """How many patients have ids in more than one spelling."""
        spellings = defaultdict(set)
        for facts in self.facts:
            spellings[facts["patient"]].add(facts["spelling"])
        return sum(len(found) > 1 for found in spellings.values())


def gather(dataset: str, params: Ingest, source: Source, rows: Rows) -> Gathered:
    """Every record of the source. Raises SynthmillError where it is unusable, or changes while it is read; what was read is kept."""
    marks, waiting = _listed(dataset, params, source, rows)
    lost: list[Rejected] = []
    with ticking("ingest", "reading images", len(marks), "image", done=len(marks) - len(waiting)) as ticker:
        for unit in _read(dataset, params, source, rows, waiting, lost):
            ticker.update(note=f"{len(lost)} lost" if lost else "")
            del waiting[unit.key]
    rows.commit()
    gathered = Gathered()
    for mark in marks:
        if rows.has(mark):
            for place, (facts, thumbnail) in enumerate(rows.facts(mark)):
                gathered.take(mark, place, facts, thumbnail)
    for rejected in lost:
        gathered.take(b"", 0, aside(dataset, rejected).facts, b"")
    rows.keep_only(marks)
    return gathered


def marked(dataset: str, params: Ingest, source: Source) -> Iterator[tuple[bytes | None, Unit]]:
    """Every unit with its mark: a digest of all that decides its rows. None where it came after the source was looked at."""
    seen = Seen(dataset)
    decides = params.model_dump(mode="json", exclude=ELSEWHERE)
    base = sha256_json([decides, source.config.model_dump(mode="json"), code_digest()])
    for unit in source.units():
        digests = [seen.digest(file) for file in unit.files]
        mark = keyed(dataset, "unit", sha256_json([base, unit.key, unit.facts, digests]), MARK)
        yield None if None in digests else bytes.fromhex(mark), unit


def _listed(dataset: str, params: Ingest, source: Source, rows: Rows) -> tuple[list[bytes], dict[str, tuple[bytes, Unit]]]:
    """The mark of every unit, in order, and by key the units that have to be read."""
    marks, waiting, late = [], {}, 0
    for mark, unit in marked(dataset, params, source):
        if mark is None:
            late += 1
            continue
        marks.append(mark)
        if not rows.has(mark):
            waiting[unit.key] = mark, unit
    if late:
        print(f"{late} files came after the source was looked at: the next run takes them in", file=sys.stderr)
    return marks, waiting


def _read(
    dataset: str, params: Ingest, source: Source, rows: Rows, waiting: dict[str, tuple[bytes, Unit]], lost: list[Rejected]
) -> Iterator[Unit]:
    """Reads the units and puts their rows into the store; each unit when it is done. What a crash or the clock ended goes to `lost`, and
    is tried again by the next run."""
    seen = Seen(dataset)
    for unit, (how, what) in _answers(dataset, params, source, [unit for _, unit in waiting.values()]):
        if how == "refused":
            raise what
        if any(seen.changed(file) for file in unit.files):
            raise SynthmillError(f"the source of {dataset} changed while it was read: what was read is kept, run again to go on from there")
        if how == "lost":
            lost.append(Rejected(unit.key, what))
        else:
            rows.put(waiting[unit.key][0], what)
        yield unit


def _answers(dataset: str, params: Ingest, source: Source, units: list[Unit]) -> Iterator[tuple[Unit, Answer]]:
    if source.drawn and len(units) <= FEW:
        reader = Reader(dataset, params)
        return ((unit, ("rows", reader.rows(unit))) for unit in units)
    return answers(units, reading, (dataset, params), min(readers(), len(units)), read_seconds())
