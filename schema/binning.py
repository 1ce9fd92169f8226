"""Numbers as they may leave: to two significant digits, so that no exact score of a measurement on real images goes out.

Intervals are rounded outwards, so that they still cover what they covered, and nothing moves to the other side of a threshold: binned
numbers are judged (`schema.verdict.judge`) as the exact ones were.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

DIGITS = 2


def nearest(value: float) -> float:
    """The nearest number of two significant digits; what is not finite comes back as it is."""
    return _to(value, ROUND_HALF_EVEN)


def below(value: float) -> float:
    """The largest number of two significant digits that is not above."""
    return _to(value, ROUND_FLOOR)


def above(value: float) -> float:
    """The smallest number of two significant digits that is not below."""
    return _to(value, ROUND_CEILING)


def outwards(interval: tuple[float, float]) -> tuple[float, float]:
    return below(interval[0]), above(interval[1])


def judged(
    value: float | None, interval: tuple[float, float] | None, threshold: float, direction: str
) -> tuple[float | None, tuple[float, float] | None]:
    """A verdict's value and interval, binned on the side of the threshold where they are. An end of the interval that would be rounded
    over the threshold becomes the threshold. A value that is itself the end by which it is judged (a proven bound) stays that end."""
    if value is None or interval is None or not all(map(math.isfinite, (value, *interval))):
        return (None if value is None else nearest(value)), (None if interval is None else outwards(interval))
    if direction == "at_least":
        mirrored, (high, low) = judged(-value, (-interval[1], -interval[0]), -threshold, "at_most")
        return -mirrored + 0.0, (-low + 0.0, -high + 0.0)
    low, high = outwards(interval)
    if interval[1] <= threshold:
        high = min(high, threshold)
    if value == interval[1]:
        return high, (low, high)
    binned = nearest(value)
    if value <= threshold:
        return min(binned, threshold), (low, high)
    return (binned if binned > threshold else above(value)), (low, high)


def _to(value: float, rounding: str) -> float:
    if not math.isfinite(value) or value == 0:
        return value
    exact = Decimal(repr(float(value)))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - DIGITS + 1), rounding))
