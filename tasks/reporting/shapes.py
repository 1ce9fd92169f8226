"""Shapes that a value out of a verdict's evidence may have. What has another is not known, and so neither drawn nor published."""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from schema.verdict import Status

Shape = Callable[[Any], Any]
"""Gives the value back, cut down to what is known of it, or None where it has another shape."""

MOST_ENTRIES, FEW = 48, 8
"""A list longer than this could be one number an image, or an image: no list of a known shape is, so it is not taken for one."""

NAME = re.compile(r"[\w .,:%()<>=+/-]{1,80}")


def number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def name(value: Any) -> str | None:
    """A few words, such as an attack's name."""
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def one_of(pattern: str) -> Shape:
    """A text of which all fits the pattern."""
    return lambda value: value if isinstance(value, str) and re.fullmatch(pattern, value) else None


def text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= 200 else None


def status(value: Any) -> str | None:
    return value if isinstance(value, str) and value in set(Status) else None


def interval(value: Any) -> list[float] | None:
    return value if isinstance(value, list) and len(value) == 2 and all(number(end) is not None for end in value) else None


def curve(value: Any) -> list[list[float]] | None:
    """[[x, y], ...] within the unit square, from x = 0 to x = 1, neither ever falling: a ROC curve."""
    if not (isinstance(value, list) and len(value) > 1 and all(interval(point) for point in value)):
        return None
    points = np.array(value, dtype=float)
    rises = (np.diff(points, axis=0) >= 0).all() and points.min() >= 0 and points.max() <= 1
    return value if rises and points[0, 0] == 0 and points[-1, 0] == 1 else None


def list_of(shape: Shape, most: int = MOST_ENTRIES) -> Shape:
    """A short list of values of one shape."""

    def read(value: Any) -> list | None:
        short = isinstance(value, list) and 0 < len(value) <= most
        return value if short and all(shape(entry) is not None for entry in value) else None

    return read


def by(key: Shape, shape: Shape, most: int = MOST_ENTRIES) -> Shape:
    """A short {key: value} with keys and values of one shape each."""

    def read(value: Any) -> dict | None:
        if not (isinstance(value, dict) and 0 < len(value) <= most):
            return None
        found = {entry: shape(one) for entry, one in value.items()}
        return found if all(key(entry) is not None and one is not None for entry, one in found.items()) else None

    return read


def row(first: str, optional: Collection[str] = (), **shapes: Shape) -> Shape:
    """{field: value} with all the fields named here but the `optional` ones, and cut down to them. Any but the `first` may be None."""
    asked = shapes.keys() - set(optional)

    def read(value: Any) -> dict | None:
        if not (isinstance(value, dict) and asked <= value.keys() and value[first] is not None):
            return None
        given = {field: value.get(field) for field in shapes}
        found = {field: None if given[field] is None else shape(given[field]) for field, shape in shapes.items()}
        return None if any(found[field] is None and given[field] is not None for field in shapes) else found

    return read


def rows_of(first: str, optional: Collection[str] = (), **shapes: Shape) -> Shape:
    """A short list of such rows."""
    one = row(first, optional, **shapes)
    several = list_of(one)

    def read(value: Any) -> list[dict] | None:
        return [one(entry) for entry in value] if several(value) else None

    return read
