"""What a gate says, and how a number becomes PASS, FAIL or INSUFFICIENT.

A verdict judges the *excess* of a number over its null (the same number where there is nothing to find), by the whole
confidence interval and not by the point: PASS only if the interval lies inside the threshold.
"""

import json
import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schema.digest import sha256_json, write_json
from schema.errors import IntegrityError


class Status(StrEnum):
    PASS = "PASS"
    FAIL = "FAIL"
    INSUFFICIENT = "INSUFFICIENT"


class Null(BaseModel):
    """The same number measured where there is nothing to find."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    value: float
    interval: tuple[float, float] | None = None
    what: str = Field(description="what was compared with what, such as 'real against real'")


class Subject(BaseModel):
    """The bytes that a verdict speaks of, by digest. A verdict never holds for others."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    real: str
    synthetic: str
    model: str


class Verdict(BaseModel):
    """One gate's finding on one set of bytes. `value`, `interval` and `threshold` have the same unit: the excess over the null."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    gate: str
    status: Status
    value: float | None
    interval: tuple[float, float] | None
    threshold: float
    direction: Literal["at_most", "at_least"]
    null: Null | None
    n: dict[str, int]
    unit: str = Field(description="what `value` is, in words: 'AUC minus null AUC'")
    method: str
    reason: str = Field(description="one sentence a compliance officer can read")
    evidence: dict[str, Any] = {}
    needs: list[str] = Field(default=[], description="settings whose absence made the verdict INSUFFICIENT")
    required: bool
    config: dict[str, Any] = Field(description="the gate's whole section of params.yaml when it measured")
    subject: Subject

    @property
    def digest(self) -> str:
        """sha256 of all that the verdict says, as its file has it."""
        return sha256_json(self.model_dump(mode="json"))

    def save(self, path: Path) -> None:
        """Writes the verdict with the digest of all that it says."""
        said = self.model_dump(mode="json")
        write_json(path, {**said, "sha256": sha256_json(said)})

    @classmethod
    def load(cls, path: Path) -> "Verdict":
        """Raises ValidationError for what is no verdict, IntegrityError for one that was edited after it was written.

        The digest shows an edit, not a forgery: whoever can compute it can replace it.
        """
        try:
            said = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
        except ValueError:
            said = None
        digest = said.pop("sha256", None) if isinstance(said, dict) else None
        verdict = cls.model_validate(said)
        if digest != sha256_json(said):
            raise IntegrityError(f"{path} was edited after the gate wrote it: delete it and run again, so that the gate measures anew")
        return verdict


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def judge(value: float | None, interval: tuple[float, float] | None, threshold: float, direction: str) -> Status:
    """PASS if the whole interval is within the threshold, FAIL if the point is beyond it, else INSUFFICIENT.

    A point inside with an interval that reaches over the threshold means too few images for the claim.
    A missing or non-finite number is INSUFFICIENT: it never passes.
    """
    if value is None or interval is None or not all(map(math.isfinite, (value, *interval))):
        return Status.INSUFFICIENT
    low, high = interval
    if direction == "at_most":
        inside, wholly = value <= threshold, high <= threshold
    elif direction == "at_least":
        inside, wholly = value >= threshold, low >= threshold
    else:
        raise ValueError(f"direction must be at_most or at_least, not {direction!r}")
    if not inside:
        return Status.FAIL
    return Status.PASS if wholly else Status.INSUFFICIENT


def objections(
    verdict: Verdict | None, gate: str, config: dict[str, Any], subject: Subject, waived: Callable[[str, str], Any] | None = None
) -> str | None:
    """Why this verdict does not let these bytes out; None where it does. Fails closed.

    Refuses a missing verdict, one that is not PASS, one with a number that is not finite, one for other bytes, and one
    measured under another configuration (a threshold changed after measuring). `waived`, given a gate and the digest of a verdict, says
    whether that one may pass though its status is not PASS; nothing else can be waived.
    """
    if not config.get("required", True):
        return None
    if verdict is None:
        return f"{gate}: no verdict was written"
    if verdict.gate != gate:
        return f"{gate}: the verdict is of another gate ({verdict.gate})"
    if verdict.subject != subject:
        return f"{gate}: the verdict is for other bytes than those being released"
    if verdict.config != config or verdict.threshold != config["threshold"]:
        return f"{gate}: its threshold or another knob of its section of params.yaml changed after it measured"
    if verdict.status is not Status.PASS and waived is not None and waived(gate, verdict.digest):
        return None
    if verdict.status is not Status.PASS:
        return f"{gate}: {verdict.status} · {verdict.reason}"
    if judge(verdict.value, verdict.interval, verdict.threshold, verdict.direction) is not Status.PASS:
        return f"{gate}: says PASS but its own numbers do not (value {verdict.value}, interval {verdict.interval})"
    return None
