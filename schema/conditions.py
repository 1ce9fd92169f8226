"""What a generator is told of an image besides its class: declared attributes, each cut into a few words that it can learn."""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

WITHHELD = -1
"""The code of what is not said."""

MOST = 256
"""Words of one condition. More of them and each would stand for next to nobody."""


class Condition(BaseModel):
    """One thing that is said of an image, by a word of `values`.

    An attribute of several words that exclude each other, or a number cut at `edges`, is one condition; of a multi-label attribute
    each `label` is one, said by no or yes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    attribute: str
    values: list[str] = Field(min_length=1, max_length=MOST)
    label: str | None = None
    edges: list[float] = []

    @property
    def name(self) -> str:
        return f"{self.attribute}: {self.label}" if self.label else self.attribute

    def code(self, value: Any) -> int:
        """The index of the word for an attribute's value, `WITHHELD` where there is none."""
        if value is None or value != value:
            return WITHHELD
        if self.label is not None:
            return int(self.label in value)
        if self.edges:
            return bisect.bisect_right(self.edges, value)
        return self.values.index(value)


def conditions_of(asked: Mapping[str, Sequence[float]], declared: Mapping[str, Mapping[str, Any]]) -> list[Condition]:
    """The conditions for the attributes asked for, with the edges to cut each number at (none: its `strata` equal ranges).

    `declared` is what an ingest manifest says of the attributes. Raises ValueError for one that cannot be a condition.
    """
    found = []
    for name, edges in asked.items():
        if name not in declared:
            raise ValueError(f"{name!r} is no attribute of ingest: declared are {', '.join(declared) or 'none'}")
        found += _conditions(name, sorted(edges), declared[name])
    return found


def _conditions(name: str, edges: list[float], said: Mapping[str, Any]) -> list[Condition]:
    kind = said["kind"]
    if edges and kind != "number":
        raise ValueError(f"{name!r} is of kind {kind}: only a number is cut into bins")
    if kind in ("class", "ordinal"):
        return [Condition(attribute=name, values=said["values"])]
    if kind == "multi-label":
        return [Condition(attribute=name, label=label, values=["no", "yes"]) for label in said["values"]]
    if kind != "number":
        raise ValueError(f"{name!r} is of kind {kind}: it says who an image is of, and no generator is told that")
    low, high = said["min"], said["max"]
    edges = edges or np.linspace(low, high, said["strata"] + 1)[1:-1].tolist()
    if len(set(edges)) != len(edges) or not all(low < edge < high for edge in edges):
        raise ValueError(f"the bins of {name!r} must be cut at different numbers between {low:g} and {high:g}")
    ends = [low, *edges, high]
    return [Condition(attribute=name, edges=edges, values=[f"{a:g} to {b:g}" for a, b in itertools.pairwise(ends)])]


def codes(conditions: Sequence[Condition], columns: Mapping[str, Sequence[Any]], n: int) -> np.ndarray:
    """int64, n x len(conditions): the codes of n records whose attributes stand in columns."""
    said = [[condition.code(value) for value in columns[condition.attribute]] for condition in conditions]
    return np.array(said, dtype=np.int64).reshape(len(conditions), n).T


def attributes(conditions: Sequence[Condition], row: Sequence[int]) -> dict[str, str | list[str] | None]:
    """The attributes that a row of codes says: a word each, of a multi-label one the list of its labels; None where it is withheld."""
    found: dict[str, str | list[str] | None] = {}
    for condition, code in zip(conditions, row, strict=True):
        if condition.label is None:
            found[condition.attribute] = None if code == WITHHELD else condition.values[code]
            continue
        labels = found.setdefault(condition.attribute, None if code == WITHHELD else [])
        if code == 1:
            labels.append(condition.label)
    return found
