"""What must be so before a release may go out, beside the gates: for what use, who signs, what may be waived, what may be spent."""

from datetime import UTC, date, datetime
from typing import Self

from pydantic import Field, field_validator, model_validator

from schema.section import Day, Section


class Waiver(Section):
    """Lets one verdict pass that does not. It is for the verdict of that digest alone, and stands on the first page of every edition
    for ever."""

    gate: str
    verdict: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256 of the verdict, as the report and its file have it")
    reason: str = Field(min_length=10, max_length=500, description="why, in words; stands on the first page")
    by: list[str] = Field(min_length=2, max_length=5, description="at least two people, by name")
    until: Day | None = Field(default=None, description="the last day that it holds, in quotes; none: as long as the verdict stands")

    @field_validator("by")
    @classmethod
    def _are_different_people(cls, by: list[str]) -> list[str]:
        if any(not name.strip() for name in by) or len({" ".join(name.split()).casefold() for name in by}) != len(by):
            raise ValueError("a waiver needs the names of two different people")
        return by

    def holds(self, today: date) -> bool:
        return self.until is None or today <= self.until


class Budget(Section):
    """What all releases made from the same patients may spend together."""

    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1)


class Policy(Section):
    """`datasets.<name>.policy`."""

    use: str = Field(
        default="Research and teaching. Not for diagnosis, and not for any attempt to recognise a person.",
        min_length=1,
        max_length=500,
        description="for what use it is released; stands on the first page",
    )
    approvals: int = Field(default=0, ge=0, le=10, description="people who must approve before it is published; 0: none")
    roles: list[str] = Field(default=[], description="each of these must be the role of one of them")
    days: int = Field(default=30, ge=1, le=3650, description="after how many days an approval that was not used expires")
    signed: bool = Field(default=False, description="refuse to publish unless every record is signed (SYNTHMILL_SIGNING_KEY)")
    budget: Budget | None = Field(default=None, description="most that may be spent of the same patients' privacy, over all releases")
    waivers: list[Waiver] = Field(default=[], description="verdicts that pass though they are none; two names each")

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if len({role.casefold() for role in self.roles}) != len(self.roles):
            raise ValueError("roles names one twice")
        if len(self.roles) > self.approvals:
            raise ValueError(f"{len(self.roles)} roles are asked for and only {self.approvals} approvals: one person gives one approval")
        return self

    def waiver(self, gate: str, verdict: str) -> Waiver | None:
        """The waiver for the verdict of that digest, if one holds today (UTC)."""
        today = datetime.now(UTC).date()
        return next((one for one in self.waivers if (one.gate, one.verdict) == (gate, verdict) and one.holds(today)), None)
