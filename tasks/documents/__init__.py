"""Documents for those who judge a release, made from its record alone. A document is one file here: a class `Plugin`.

class Plugin(Document):
    kind, title = "my-document", "What it is called"
    def sections(self, evidence, edition): ...   # a list of _blocks.Section

What the record holds no evidence for prints "not evidenced". No document certifies anything: a named person judges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from catalog import signoff
from catalog.evidence import Entry
from schema.evidence import RECALL, SLSA, TEST_RESULT
from tasks.documents._blocks import NOTHING, Claim, Section
from tasks.documents._edition import Edition

MISSING = object()


@dataclass(frozen=True)
class Source:
    """A statement as documents read it: its digest, and its facts by dotted name (`params.card.title`)."""

    digest: str
    facts: dict[str, Any]

    def get(self, path: str, default: Any = None) -> Any:
        """The fact of that name; `default` where there is none."""
        found: Any = self.facts
        for part in path.split("."):
            if not isinstance(found, dict) or part not in found:
                return default
            found = found[part]
        return found


@dataclass(frozen=True)
class Judged:
    """The newest verdict of a gate, whether it `stands` (is of the newest bytes, under the params of the newest release or report),
    if not why, and the waiver that lets it pass."""

    source: Source
    stands: bool
    why: str
    waiver: dict[str, Any] | None

    @property
    def verdict(self) -> dict[str, Any]:
        return self.source.facts

    @property
    def digest(self) -> str:
        return self.source.digest


@dataclass(frozen=True)
class Evidence:
    """The record of a dataset: the newest statement of each kind, and how they hang together."""

    dataset: str
    entries: list[Entry]

    def run(self, stage: str) -> Source | None:
        """The newest run of a stage: `params`, `said`, `code`, `started`, `finished`."""
        runs = [one for one in self._of(SLSA) if one.statement.about == stage]
        return _run(runs[-1]) if runs else None

    @cached_property
    def checks(self) -> Source | None:
        """The newest checks of the data, as ingest told them."""
        found = [one for one in self._of(TEST_RESULT) if "checks" in _said(one)]
        return Source(found[-1].digest, _said(found[-1])) if found else None

    @cached_property
    def sheet(self) -> Source | None:
        """The newest run that read card, policy and gates: the release's, else the report's."""
        return self.run("release") or self.run("report")

    @cached_property
    def gates(self) -> dict[str, Judged]:
        """The newest verdict of each gate."""
        newest = {_said(one)["gate"]: one for one in self._of(TEST_RESULT) if "gate" in _said(one)}
        return {gate: self._judged(Source(one.digest, _said(one))) for gate, one in newest.items()}

    @cached_property
    def signoffs(self) -> list[signoff.SignOff]:
        """The decisions about the newest release's bytes, the last of each person."""
        release = self.run("release")
        digests = release.get("said.digests") if release else None
        if not digests:
            return []
        together = signoff.ReleaseDigests.model_validate(digests).together
        return list({one.person: one for one in signoff.history(self.entries) if one.digest == together}.values())

    @cached_property
    def recall(self) -> Source | None:
        """The recall of the newest release; None where nobody recalled it."""
        release = self.run("release")
        tag = f"{self.dataset}@{release.get('said.version')}" if release else None
        found = [one for one in self._of(RECALL) if tag in one.statement.predicate["releases"]]
        return Source(found[-1].digest, found[-1].statement.predicate) if found else None

    @cached_property
    def privacy(self) -> tuple[dict[str, Any] | None, str] | None:
        """What differential privacy training claims (None: none) and the statement that says so; None where nothing does."""
        train = self.run("train")
        if train and (said := train.get("said.privacy", MISSING)) is not MISSING:
            return said, train.digest
        return None

    def fact(self, source: Source | None, path: str, shown: Callable[[Any], str] = str) -> Claim:
        """The fact of that name as a claim; not evidenced where the record lacks it."""
        value = source.get(path) if source else None
        return NOTHING if value is None or value == "" else Claim(shown(value), (source.digest,))

    def waivers(self) -> list[dict[str, Any]]:
        """The waivers of the newest release or report, whatever they are for."""
        return (self.sheet.get("params.policy.waivers") or []) if self.sheet else []

    def _of(self, kind: str) -> list[Entry]:
        return [one for one in self.entries if one.statement.predicate_type == kind]

    def _judged(self, verdict: Source) -> Judged:
        why = self._objection(verdict)
        waived = [one for one in self.waivers() if (one["gate"], one["verdict"]) == (verdict.get("gate"), verdict.get("sha256"))]
        return Judged(verdict, not why, why, waived[0] if waived else None)

    def _objection(self, verdict: Source) -> str:
        """Why a verdict says nothing of the newest bytes."""
        newest = {
            "real": self.checks.get("digest") if self.checks else None,
            "model": self._digest("train"),
            "synthetic": self._digest("sample"),
        }
        words = {"real": "real images", "model": "model", "synthetic": "synthetic images"}
        for part, digest in newest.items():
            if digest is None:
                return f"the record does not say which {words[part]} are the newest"
            if verdict.get(f"subject.{part}") != digest:
                return f"the newest verdict is of other {words[part]}"
        told = (self.sheet.get(f"params.gates.{verdict.get('gate')}") if self.sheet else None) or {}
        # A verdict's config has every setting, params those that somebody set.
        if any(verdict.get(f"config.{key}") != value for key, value in told.items()):
            return "its threshold or another of its settings changed after it measured"
        return ""

    def _digest(self, stage: str) -> str | None:
        run = self.run(stage)
        return run.get("said.digest") if run else None


class Document:
    """`judge`: who must judge, in words; `form`: the lines that this person fills in."""

    kind: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    """One sentence: for whom and after which source."""
    judge: ClassVar[str] = "a person named by the institution"
    form: ClassVar[tuple[str, ...]] = ("Judgement", "Reasons", "Name and role", "Date and signature")

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        raise NotImplementedError


def _said(entry: Entry) -> dict[str, Any]:
    return entry.statement.predicate.get("synthmill_said") or {}


def _run(entry: Entry) -> Source:
    built = entry.statement.predicate["buildDefinition"]
    times = entry.statement.predicate["runDetails"]["metadata"]
    facts = {
        "params": built["externalParameters"]["params"],
        "said": _said(entry),
        "code": built["internalParameters"],
        "started": times["startedOn"],
        "finished": times["finishedOn"],
    }
    return Source(entry.digest, facts)
