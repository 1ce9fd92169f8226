"""How a number or a text of the record is shown: as it is inside, and so that it gives no score away outside."""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Any

from tasks.reporting.scrub import without_paths

MINUS = "\u2212"
DIGITS = 2
SMALL = 10
"""Smaller counts of people could point at them."""

HEX = re.compile(r"\b[0-9a-fA-F]{16,}\b")
"""What an id of a record or a patient looks like."""


class Edition(StrEnum):
    """`internal`: exact. `public`: two significant digits, bounds rounded outward, no id, no path."""

    INTERNAL = "internal"
    PUBLIC = "public"

    def number(self, value: float, rounding: str = ROUND_HALF_EVEN) -> str:
        """Internal: four significant digits. Public: two, rounded as told (`decimal`'s names)."""
        if self is Edition.INTERNAL:
            return _plain(rounded(value, 4, ROUND_HALF_EVEN))
        return _plain(rounded(value, DIGITS, rounding))

    def interval(self, interval: tuple[float, float] | list[float]) -> str:
        return f"{self.lower(interval[0])} to {self.upper(interval[1])}"

    def lower(self, value: float) -> str:
        return self.number(value, ROUND_FLOOR)

    def upper(self, value: float) -> str:
        return self.number(value, ROUND_CEILING)

    def count(self, n: int) -> str:
        """Public: a count of people or of their images, to two digits; below SMALL only that it is."""
        if self is Edition.INTERNAL or n == 0:
            return str(n)
        return f"fewer than {SMALL}" if n < SMALL else f"about {_plain(rounded(n, DIGITS, ROUND_HALF_EVEN))}"

    def words(self, text: Any) -> str:
        """A text of the record. Public: without paths and without what could be an id."""
        if self is Edition.INTERNAL:
            return str(text)
        return HEX.sub("(withheld)", without_paths(str(text)))


def exact(value: Any) -> str:
    """A setting, not a score: what somebody chose is no secret of the data."""
    return f"{value:g}".replace("-", MINUS) if isinstance(value, float) else str(value)


def rounded(value: float, digits: int, rounding: str) -> Decimal:
    """`value` to so many significant digits."""
    number = Decimal(repr(float(value)))
    if not number:
        return Decimal(0)
    return number.quantize(Decimal(1).scaleb(number.adjusted() - digits + 1), rounding)


def _plain(number: Decimal) -> str:
    """Without an exponent, a trailing zero or the hyphen for a minus."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return (text or "0").replace("-", MINUS) if number else "0"
