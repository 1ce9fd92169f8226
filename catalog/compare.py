"""What changed from one release to another: images by class, digests, gates, params, and what they were made from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from catalog.elsewhere import cache, where
from catalog.reader import said_of
from catalog.versions import find
from schema.release import Release

MADE_FROM = {
    "source": ("source", "digest"),
    "ingest": ("ingest",),
    "model": ("model", "digest"),
    "samples": ("samples",),
    "code": ("code", "commit"),
}
"""Where provenance.json says what a release was made from."""


def compare(a: str, b: str, repo: Path | str | None = None) -> dict[str, Any]:
    """`differences` of two releases named as `find` takes them, from `a` to `b`; of their bytes only provenance.json is fetched.

    Raises UsageError for an unknown release, SynthmillError where its provenance cannot be had.
    """
    place = where(repo)
    first, second = find(a, place), find(b, place)
    return differences(first, second, *(said_of(release, cache() / "provenance", place) for release in (first, second)))


def differences(a: Release, b: Release, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """`before`, `after`: what provenance.json of `a` and of `b` says. Each change is {"from", "to"}.

    `images`, `labels`: all counts, changed or not. `digests`, `made_from`, `params` (by dotted path): only what differs. `gates`: every
    gate of either, with `verdict` (better, worse, same, other measure, new, gone) relative to its threshold, and `words`.
    """
    gates = [{gate["gate"]: gate for gate in release.gates} for release in (a, b)]
    return {
        "from": a.tag,
        "to": b.tag,
        "images": change(a.images, b.images),
        "labels": {name: change(a.labels.get(name, 0), b.labels.get(name, 0)) for name in {**a.labels, **b.labels}},
        "digests": changed({**a.digests.model_dump(), "sums": a.sums}, {**b.digests.model_dump(), "sums": b.sums}),
        "made_from": changed(*({name: _at(said, path) for name, path in MADE_FROM.items()} for said in (before, after))),
        "gates": [gate_change(gates[0].get(name), gates[1].get(name)) for name in {**gates[0], **gates[1]}],
        "params": changed(dict(flat(before.get("params", {}))), dict(flat(after.get("params", {})))),
    }


def change(old: Any, new: Any) -> dict[str, Any]:
    return {"from": old, "to": new}


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{key: {"from", "to"}} of what differs; None stands for what one of them has not."""
    return {key: change(old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by dotted path; a list is a leaf."""
    if not isinstance(value, Mapping) or (not value and path):
        yield path, value
        return
    for key, inner in value.items():
        yield from flat(inner, f"{path}.{key}" if path else str(key))


def gate_change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, Any]:
    """One gate in both releases, None where it was not in the panel."""
    fields = ("status", "value", "interval", "threshold", "required")
    verdict, words = judged(old, new)
    return {
        "gate": (new or old)["gate"],
        **{field: change((old or {}).get(field), (new or {}).get(field)) for field in fields},
        "margin": change(margin(old), margin(new)),
        "verdict": verdict,
        "words": words,
    }


def margin(gate: Mapping[str, Any] | None) -> float | None:
    """By how much a gate's value is on the good side of its threshold, in the unit of its value; below 0: on the bad side. None where
    nothing was measured."""
    if gate is None or gate.get("value") is None:
        return None
    distance = gate["threshold"] - gate["value"]
    return distance if gate["direction"] == "at_most" else -distance


def judged(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> tuple[str, str]:
    """Better or worse, and in words why: by the margin under one threshold, by the value where the threshold moved."""
    if old is None or new is None:
        return ("new", f"was not in the panel before; {_stands(new)}") if new else ("gone", f"is in the panel no more; {_stands(old)}")
    same = old["threshold"] == new["threshold"]
    tail = "" if same else f"; its threshold was {_bound(old, new)} from {old['threshold']:g} to {new['threshold']:g}"
    if old["value"] is None or new["value"] is None:
        verdict = "same" if old["status"] == new["status"] else "other measure"
        return verdict, f"{old['status']} before, {new['status']} now: there are no two numbers to compare{tail}"
    if old.get("unit") != new.get("unit") or old["direction"] != new["direction"]:
        return "other measure", f"measures {new['unit']} now, and {old['unit']} before{tail}"
    towards = (old["value"] - new["value"]) * (1 if new["direction"] == "at_most" else -1)
    verdict = "better" if towards > 0 else "worse" if towards < 0 else "same"
    moves = f"{old['value']:.4g} to {new['value']:.4g}, {new['direction'].replace('_', ' ')} {new['threshold']:g}"
    passed = f"; {old['status']} before, {new['status']} now" if old["status"] != new["status"] else ""
    doubt = ", within the intervals of both" if verdict != "same" and _overlap(old["interval"], new["interval"]) else ""
    return verdict, f"{verdict}{doubt}: {moves} ({_room(new)}){passed}{tail}"


def _stands(gate: Mapping[str, Any]) -> str:
    value = (
        "nothing was measured"
        if gate["value"] is None
        else f"{gate['value']:.4g}, {gate['direction'].replace('_', ' ')} {gate['threshold']:g}"
    )
    return f"{gate['status']} ({value})"


def _room(gate: Mapping[str, Any]) -> str:
    distance = margin(gate)
    return (
        f"{distance:.4g} to spare"
        if distance >= 0
        else f"over by {-distance:.4g}"
        if gate["direction"] == "at_most"
        else f"short by {-distance:.4g}"
    )


def _bound(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    looser = (new["threshold"] > old["threshold"]) == (new["direction"] == "at_most")
    return "loosened" if looser else "tightened"


def _overlap(one: list[float] | None, other: list[float] | None) -> bool:
    return bool(one and other) and one[0] <= other[1] and other[0] <= one[1]


def _at(said: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for key in path:
        said = said.get(key) if isinstance(said, Mapping) else None
    return said
