"""The public edition: built from the internal facts by naming what goes out, so that a fact added later stays inside until named here.

Out never go: a real image, an id, a number that belongs to one image, a file's name or folder, evidence of an unknown shape, and no
measured number with more than two significant digits.
"""

from collections.abc import Collection
from typing import Any

from schema import binning
from tasks.reporting import binned, evidence
from tasks.reporting.facts import shares
from tasks.reporting.scrub import without_names, without_paths

SMALL = 10
"""Smaller counts of real images could point at people: a split that has one is rounded as a whole, lest it be got by subtraction."""

VERDICT_FIELDS = (
    *("gate", "group", "status", "measured", "value", "interval", "threshold", "direction", "null", "n", "unit", "method", "reason"),
    *("needs", "required", "config", "subject", "stands", "digest", "waived"),
)


def public(facts: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The facts of the public edition. A plug-in's own words, such as `reason` and `method`, keep no path, and no text that holds one
    of the `names` of real records goes out."""
    exact = [_gate(gate, facts["dataset"]["labels"], names) for gate in facts["gates"]]
    gates = [binned.verdict(gate) for gate in exact]
    of = {before["gate"]: (before, after) for before, after in zip(exact, gates, strict=True)}
    out = {
        "format": facts["format"],
        "edition": "public",
        "dataset": facts["dataset"],
        "decision": {**facts["decision"], "objections": [_objection(one, of) for one in facts["decision"]["objections"]]},
        "sign_off": facts["sign_off"],
        "gates": gates,
        "power": facts["power"],
        "nearest": _nearest(facts["nearest"]),
        "data": _data(facts["data"]),
        "provenance": _provenance(facts["provenance"]),
        "not_measured": [_left_open(entry, list(of.values())) for entry in facts["not_measured"]],
        "limits": facts["limits"],
    }
    return without_names(without_paths(out), names)


def _gate(gate: dict[str, Any], labels: list[str], names: Collection[str]) -> dict[str, Any]:
    """What goes out of a gate, not yet binned."""
    out = evidence.publishable(gate["evidence"], labels, names)
    since = {field: gate["set"][field] for field in ("commit", "date", "why")}
    return {**{field: gate[field] for field in VERDICT_FIELDS}, "set": since, "evidence": out, "means": evidence.means(out)}


def _objection(objection: dict[str, Any], of: dict[str, tuple[dict, dict]]) -> dict[str, Any]:
    exact, public = of.get(objection["gate"], ({}, {}))
    return {**objection, "words": binned.words(objection["words"], exact, public)}


def _left_open(entry: dict[str, str], gates: list[tuple[dict, dict]]) -> dict[str, str]:
    for exact, public in gates:
        entry = {**entry, "why": entry["why"].replace(exact["reason"], public["reason"])}
    return entry


def _nearest(nearest: dict[str, Any]) -> dict[str, Any]:
    """Quantiles that are not a single image's distance, in whole grey levels; how many lie in the tails, not where these begin."""
    arms = ("synthetic", "holdout")
    return {
        "n": nearest["n"],
        "quantiles": [{**row, **{arm: round(row[arm]) for arm in arms}} for row in nearest["quantiles"] if not row["pointwise"]],
        "tails": [{**tail, **_shares(tail), "distance": None} for tail in nearest["tails"]],
        "copies": nearest["copies"],
        "histogram": _coarse(nearest["histogram"]),
        "pairs": [],
        "null_pairs": [],
    }


def _shares(tail: dict[str, Any]) -> dict[str, Any]:
    interval = list(binning.outwards(tail["synthetic_share_interval"]))
    return {**{key: binning.nearest(tail[key]) for key in ("synthetic_share", "holdout_share")}, "synthetic_share_interval": interval}


def _coarse(histogram: dict[str, Any]) -> dict[str, Any]:
    """Half as many bins, shares to a tenth of a percent."""
    edges = histogram["edges"]
    merged = [*edges[:-1:2], edges[-1] if len(edges) % 2 else 2 * edges[-1] - edges[-2]]
    rounded = {arm: [round(sum(histogram[arm][i : i + 2]), 3) for i in range(0, len(edges) - 1, 2)] for arm in ("synthetic", "holdout")}
    return {"width": 2 * histogram["width"], "edges": merged, **rounded}


def _data(data: dict[str, Any]) -> dict[str, Any]:
    columns = {name: column if name == "synthetic" else _without_small(column) for name, column in data["columns"].items()}
    return {"columns": columns, "rounded": columns != data["columns"]}


def _without_small(column: dict[str, Any]) -> dict[str, Any]:
    if not any(0 < count < SMALL for count in column["counts"].values()):
        return column
    counts = {label: _to_ten(count) for label, count in column["counts"].items()}
    return {"images": sum(counts.values()), "patients": _to_ten(column["patients"]), "counts": counts, "shares": shares(counts)}


def _to_ten(count: int) -> int:
    return SMALL * ((count + SMALL // 2) // SMALL)


def _provenance(provenance: dict[str, Any]) -> dict[str, Any]:
    model = provenance["model"]
    real = ("digest", "source_kind", "source_digest", "approval", "checks", "split_params")
    return {
        "real": {field: provenance["real"][field] for field in real},
        "model": {**model, "loss": model["loss"] if model["loss"] is None else binning.nearest(model["loss"])},
        "synthetic": provenance["synthetic"],
    }
