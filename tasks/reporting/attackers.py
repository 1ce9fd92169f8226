"""The membership attackers of a panel in one table: which fact stands in which cell. The page looks the numbers up."""

from dataclasses import dataclass, field
from typing import Any

from tasks.reporting.evidence import known
from tasks.reporting.layout import is_short, order
from tasks.reporting.left_open import ATTACKERS

COLUMNS = {"AUC": "auc", "AUC per patient": None, "TPR at 1 % FPR": "tpr_at_1_fpr", "TPR at 0.1 % FPR": "tpr_at_01_fpr"}
"""Claim of a membership gate: the field that says the same of one attack."""

BLIND = "AUC without the model (the split itself)"


@dataclass(frozen=True)
class Cell:
    """JSON Pointers of a number and its interval; of the claim that it belongs to, where the cell speaks of that. `short`: pointer of
    the claim that has fewer images than it needs. `words` stand alone. `rows`: how many rows it is high."""

    at: str | None = None
    interval: str | None = None
    claim: str | None = None
    short: str | None = None
    words: str = ""
    form: str = "number"
    rows: int = 1


@dataclass(frozen=True)
class Row:
    """`kind`: attack, judged (the best of all attacks) or apart (what the gate does not judge)."""

    kind: str
    words: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class Attacker:
    """A gate by its place in the facts, and its rows; none where it could not be judged."""

    at: int
    rows: list[Row] = field(default_factory=list)


def attackers(facts: dict[str, Any]) -> list[Attacker]:
    """The gates that tried attacks, and those of the three attackers that could not."""
    return [
        Attacker(at, _rows(evidence, f"/gates/{at}/evidence") if {"attacks", "claims"} <= evidence.keys() else [])
        for at in order(facts["gates"])
        for evidence in [known(facts["gates"][at]["evidence"])]
        if "attacks" in evidence or facts["gates"][at]["gate"] in ATTACKERS
    ]


def _rows(evidence: dict[str, Any], at: str) -> list[Row]:
    claims = {claim["claim"]: (claim, f"{at}/claims/{place}") for place, claim in enumerate(evidence["claims"])}
    columns = [claims.get(column) for column in COLUMNS]
    rows = [
        Row("attack", attack["attack"], [_of_attack(f"{at}/attacks/{place}", attack, *column) for column in COLUMNS.items()])
        for place, attack in enumerate(evidence["attacks"])
    ]
    for words, value, interval in (
        ("best of them", "measured", None),
        ("null of the best", "null", "null_interval"),
        ("excess", "value", "interval"),
        ("allowed", None, None),
        ("n", "n", None),
    ):
        cells = [_of_claim(column, name, value, interval) for name, column in zip(COLUMNS, columns, strict=True)]
        rows.append(Row("judged", words, cells))
    for place, (name, column) in enumerate(zip(COLUMNS, columns, strict=True)):
        _stand_in(rows, place, name, column)
    return rows + _beside(evidence, claims, at)


def _of_attack(at: str, attack: dict[str, Any], column: str, key: str | None) -> Cell | None:
    if key is None or attack[key] is None:
        return None
    return Cell(f"{at}/{key}", f"{at}/{key}_interval" if attack.get(f"{key}_interval") else None, form=_form(column))


def _of_claim(column: tuple[dict, str] | None, name: str, value: str | None, interval: str | None) -> Cell | None:
    if column is None:
        return None
    claim, at = column
    if value is None:
        return Cell(f"{at}/threshold", claim=at, form=_form(name))
    if claim[value] is None:
        return None
    form = "count" if value == "n" else _form(name)
    return Cell(f"{at}/{value}", f"{at}/{interval}" if interval and claim[interval] else None, form=form)


def _form(column: str) -> str:
    return "percent" if column.startswith("TPR") else "number"


def _stand_in(rows: list[Row], place: int, name: str, column: tuple[dict, str] | None) -> None:
    """One cell for a whole column that has nothing to show: too few images for the claim, or no patient with two images."""
    stand_in = None
    if column is not None and is_short(column[0]):
        stand_in = Cell(short=column[1], rows=len(rows))
    elif column is None and name == "AUC per patient":
        stand_in = Cell(words="the same: every patient has one image", rows=len(rows))
    if stand_in is not None:
        for row in rows:
            row.cells[place] = Cell(rows=0)
        rows[0].cells[place] = stand_in


def _beside(evidence: dict[str, Any], claims: dict[str, tuple[dict, str]], at: str) -> list[Row]:
    """The worst subgroup, and what is told apart without the model."""
    rows, empty = [], [None] * (len(COLUMNS) - 1)
    worst = evidence.get("worst_class")
    if worst is not None and worst["auc"] is not None:
        interval = f"{at}/worst_class/interval" if worst["interval"] else None
        rows.append(Row("apart", f"worst class: {worst['label']}", [Cell(f"{at}/worst_class/auc", interval), *empty]))
    if BLIND in claims:
        claim = claims[BLIND][1]
        rows.append(Row("apart", "without the model (the split itself)", [Cell(f"{claim}/measured", claim=claim), *empty]))
    return rows
