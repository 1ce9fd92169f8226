"""How often each gate catches what it is for: the table that `./mill bench gates` measured, as the report cites it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.stats import binomtest

from schema.errors import SynthmillError
from schema.settings import ROOT

TABLE = ROOT / "docs" / "gates.json"
"""It speaks of the gates' code, so it is the checkout's and not the workspace's."""


class Row(BaseModel):
    """One gate on releases of one kind: of `of` seeds it did not pass `caught` and failed `failed`. `bad`: they were bad in a known
    way; else good ones, and what was caught are false alarms. `meant`: the gate is meant to catch that."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    scenario: str = Field(min_length=1, max_length=200)
    bad: bool
    gate: str
    meant: bool = False
    caught: int = Field(ge=0)
    failed: int = Field(ge=0)
    of: int = Field(ge=1)

    @model_validator(mode="after")
    def _counts_fit(self) -> "Row":
        if not self.failed <= self.caught <= self.of:
            raise ValueError(f"failed ({self.failed}) must not exceed caught ({self.caught}), nor that the seeds ({self.of})")
        return self


class Table(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    format: Literal["synthmill-gate-power/1"]
    made: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    seeds: int = Field(ge=1)
    data: str = Field(default="", max_length=400)
    command: str = Field(max_length=200)
    rows: list[Row]

    @model_validator(mode="after")
    def _one_row_each(self) -> "Table":
        if len({(row.scenario, row.gate) for row in self.rows}) < len(self.rows):
            raise ValueError("a gate has two rows of one scenario")
        return self


def read(path: Path | None = None) -> Table | None:
    """None where nobody measured. Raises SynthmillError for a file that is not such a table."""
    path = path or TABLE
    if not path.is_file():
        return None
    try:
        return Table.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise SynthmillError(
            f"{path} is not a table of detection power ({where}: {fault['msg']}): make it with `./mill bench gates`"
        ) from None


def summary(table: Table | None, gates: list[str]) -> dict[str, Any]:
    """The table in JSON, by gate: the defects that it was tried on, those that it is meant for first, and its false alarms. `made` is
    None where nobody measured."""
    rows = table.rows if table else []
    head = {field: getattr(table, field) if table else None for field in ("made", "seeds", "data", "command")}
    return {**head, "gates": [_of_gate(gate, [row for row in rows if row.gate == gate]) for gate in gates]}


def _of_gate(gate: str, rows: list[Row]) -> dict[str, Any]:
    bad, good = ([row for row in rows if row.bad is side] for side in (True, False))
    return {
        "gate": gate,
        "defects": [_counted(row.scenario, [row], row.meant) for row in sorted(bad, key=lambda row: not row.meant)],
        "good": [_counted(row.scenario, [row]) for row in good],
        "false_alarms": _counted("all good releases together", good) if good else None,
    }


def _counted(scenario: str, rows: list[Row], meant: bool = False) -> dict[str, Any]:
    """Counts summed over rows, the share that was caught and its interval (Clopper and Pearson 1934, 95 %)."""
    caught, failed, of = (sum(getattr(row, field) for row in rows) for field in ("caught", "failed", "of"))
    interval = binomtest(caught, of).proportion_ci(0.95, method="exact")
    share = {"share": caught / of, "interval": [float(interval.low), float(interval.high)]}
    return {"scenario": scenario, "meant": meant, "caught": caught, "failed": failed, "of": of, **share}
