"""Numbers of the public edition: what was measured, to two significant digits, in its fields and in its sentences alike."""

import re
from collections.abc import Iterator
from typing import Any

from schema import binning

SET = frozenset({"threshold", "delta", "max_grad_norm", "noise_multiplier", "sample_rate", "share_asked"})
"""Set beforehand, or needed to compute a claim of differential privacy again; none is a score of an image."""
BOUNDS = frozenset({"epsilon_claimed", "epsilon_recomputed"})
"""Upper bounds: never told smaller than they are."""

DECIMAL = re.compile(r"(?<![\w.])([+-]?)(\d+\.\d+(?:e[+-]?\d+)?)(%?)(?!\.?\w)")
LEADING = ("config", "threshold", "interval", "value", "null", "measured")
"""In what order a number of a sentence is looked for: what may stand as it is first."""


def verdict(gate: dict[str, Any]) -> dict[str, Any]:
    """The fields of a gate, `evidence` included, with what was measured binned, and its `reason` in the same numbers."""
    found = _judged(gate, gate["direction"])
    found["evidence"] = evidence(gate["evidence"], gate["direction"])
    if gate["null"] is not None:
        found["null"] = {**gate["null"], **_numbers({key: gate["null"][key] for key in ("value", "interval")}, None)}
    return {**found, "means": _numbers(gate["means"], None), "reason": words(gate["reason"], gate, found)}


def evidence(parts: dict[str, Any], direction: str | None) -> dict[str, Any]:
    """Evidence with every number binned but those of SET and whole ones; claims keep on their side of their thresholds."""
    return {key: _under(key, value, direction) for key, value in parts.items()}


def words(text: str, exact: dict[str, Any], public: dict[str, Any]) -> str:
    """The text with each decimal of more than two significant digits as the public facts have it; one that is not there is rounded."""
    pairs = [pair for key in (*LEADING, "evidence") if key in public for pair in _pairs(exact[key], public[key])]

    def change(found: re.Match) -> str:
        sign, digits, percent = found.groups()
        mantissa = digits.split("e")[0]
        if len(mantissa.replace(".", "").lstrip("0")) <= binning.DIGITS:
            return found[0]
        scale = 100 if percent else 1
        value = float(sign + digits) / scale
        half = 0.5000001 * 10.0 ** (-len(mantissa.split(".")[1]) + (int(digits.split("e")[1]) if "e" in digits else 0)) / scale
        told = next((there for here, there in pairs if abs(here - value) <= half), binning.nearest(value))
        return f"{scale * told:{'+' if sign == '+' else ''}.6g}{percent}"

    return DECIMAL.sub(change, text)


def _judged(row: dict[str, Any], direction: str | None) -> dict[str, Any]:
    """A verdict or a claim: its value and interval, judged as before, and the number that was measured."""
    interval = row["interval"] if row["interval"] is None or None not in row["interval"] else None
    value, interval = binning.judged(row["value"], interval, row["threshold"], direction or "at_most")
    measured = row["measured"] if row["measured"] is None else binning.nearest(row["measured"])
    return {**row, "value": value, "interval": interval and list(interval), "measured": measured}


def _under(key: str, value: Any, direction: str | None) -> Any:
    """What stands under a name."""
    if key in SET or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return binning.above(value) if key in BOUNDS else binning.nearest(value)
    if isinstance(value, list) and key.endswith("interval") and len(value) == 2:
        return list(binning.outwards(value))
    return _numbers(value, direction, intervals=key.endswith("intervals"))


def _numbers(value: Any, direction: str | None, intervals: bool = False) -> Any:
    if isinstance(value, dict):
        if {"claim", "value", "interval", "threshold"} <= value.keys() and value["threshold"] is not None:
            value = _judged(value, direction)
            done = {"value", "interval", "measured"}
        else:
            done = {"ratio"} if "added" in value else set()
        return {key: one if key in done else _within(key, one, direction, intervals) for key, one in value.items()}
    if isinstance(value, list):
        return [_under("", one, direction) for one in value]
    return value


def _within(key: str, value: Any, direction: str | None, intervals: bool) -> Any:
    """Intervals by name of a metric or an arm are not called so themselves."""
    if not intervals:
        return _under(key, value, direction)
    return _numbers(value, direction, True) if isinstance(value, dict) else _under("interval", value, direction)


def _pairs(exact: Any, public: Any) -> Iterator[tuple[float, float]]:
    """Each number beside what it became."""
    if isinstance(exact, dict) and isinstance(public, dict):
        # In the order of the facts: that of a set changes from run to run, and with it which of two numbers a sentence takes.
        for key in exact:
            if key in public:
                yield from _pairs(exact[key], public[key])
    elif isinstance(exact, list | tuple) and isinstance(public, list | tuple):
        for one, other in zip(exact, public, strict=True):
            yield from _pairs(one, other)
    elif isinstance(exact, float) and isinstance(public, float):
        yield exact, public
