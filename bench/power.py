"""From the verdicts of every seed to detection power: rates with their intervals, the demands on them, and the page that says so."""

import math
from collections.abc import Iterable
from datetime import date
from typing import Any

from bench.scenarios import NOT_MEASURED, RELEASE_GATES, Scenario
from schema.errors import SynthmillError
from schema.verdict import Status

FORMAT = "synthmill-gate-power/1"
DEMANDED = {
    "1% copied exactly": ("replica",),
    "overfitted model": ("mia-white-box", "mia-query"),
    "sixteen images": RELEASE_GATES,
}
"""What must be caught, by which gates, in at least LEAST of the seeds."""
LEAST, MOST_FALSE = 0.95, 0.05
"""19 of 20 caught, 1 of 20 false alarms."""


def rows(scenarios: Iterable[Scenario], seeds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row for each gate and scenario. `seeds`: what each seed measured, each with `scenario`, `gate` and `status`.

    `caught`: not PASS, so the release is refused. `failed`: FAIL. Of a good scenario both are false alarms.
    """
    table = []
    for scenario in scenarios:
        for gate in scenario.gates:
            said = [row["status"] for seed in seeds for row in seed if (row["scenario"], row["gate"]) == (scenario.name, gate)]
            if said:
                counts = {"caught": sum(status != Status.PASS for status in said), "failed": said.count(Status.FAIL), "of": len(said)}
                table.append({"scenario": scenario.name, "bad": scenario.bad, "gate": gate, "meant": gate in scenario.meant, **counts})
    return table


def interval(count: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest

    found = binomtest(count, of).proportion_ci(0.95, method="exact")
    return float(found.low), float(found.high)


def unmet(table: list[dict[str, Any]]) -> list[str]:
    """The demands that are not met, in words."""
    found = []
    for scenario, gates in DEMANDED.items():
        tried = {row["gate"]: row for row in table if row["scenario"] == scenario}
        for gate in gates:
            row = tried.get(gate)
            if row is None:
                found.append(f"{scenario}: {gate} was not measured")
            elif row["caught"] < math.ceil(LEAST * row["of"]):
                found.append(f"{scenario}: {gate} caught {row['caught']} of {row['of']}, at least 19 in 20 being demanded")
    for row in table:
        if not row["bad"] and row["caught"] > MOST_FALSE * row["of"]:
            found.append(
                f"{row['scenario']}: {row['gate']} raised {row['caught']} false alarms in {row['of']}, at most 1 in 20 being demanded"
            )
    return found


def document(table: list[dict[str, Any]], seeds: int, data: str, command: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What docs/gates.json holds."""
    head = {"format": FORMAT, "made": date.today().isoformat(), "seeds": seeds, "data": data, "command": command}
    return {**head, "settings": settings, "rows": table}


def updated(before: dict[str, Any], said: dict[str, Any], command: str) -> dict[str, Any]:
    """What docs/gates.json held, with the rows that were measured since. Raises SynthmillError where they would not stand side by side."""
    for key in ("format", "seeds", "data"):
        if before[key] != said[key]:
            raise SynthmillError(f"gates.json was made with {key} {before[key]!r}, not {said[key]!r}: run `./mill bench gates` on all")
    if before["settings"]["sizes"] != said["settings"]["sizes"]:
        raise SynthmillError("gates.json was made with other sizes of sets: run `./mill bench gates` on all")
    measured = {(row["scenario"], row["gate"]): row for row in said["rows"]}
    known = {(row["scenario"], row["gate"]) for row in before["rows"]}
    if measured.keys() - known:
        raise SynthmillError("a scenario is new since gates.json was made: run `./mill bench gates` on all")
    rows = [measured.get((row["scenario"], row["gate"]), row) for row in before["rows"]]
    since = [*before.get("since", []), {"command": command, "made": said["made"]}]
    return {**before, "since": since, "settings": {**before["settings"], **said["settings"]}, "rows": rows}


def page(said: dict[str, Any], scenarios: list[Scenario], absent: dict[str, str]) -> str:
    """docs/gates.md, from what docs/gates.json holds. `absent`: gates and scenarios that were not tried, and why."""
    table, n = said["rows"], said["seeds"]
    words = {scenario.name: scenario.words for scenario in scenarios}
    bad, good = ([row for row in table if row["bad"] is side] for side in (True, False))
    faults = unmet(table)
    verdict = ["**Not met:**", "", *(f"- {fault}" for fault in faults)] if faults else ["All of it is met."]
    lines = [
        "# How the gates are tested",
        "",
        f"Written by `{said['command']}` on {said['made']}; the numbers are also in gates.json."
        + "".join(f" Since then by `{part['command']}` on {part['made']}." for part in said.get("since", [])),
        "",
        f"A gate is worth what it catches. Here releases are made that are bad in a known way, over {n} seeds, and each is put before the "
        "gates that could see it; good ones are put before them too, and whatever is refused of those is a false alarm. "
        "**Caught** means refused: the gate did not say PASS. **FAIL** counts the plain failures among them; the rest are INSUFFICIENT, "
        "which refuses a release as well. Intervals are exact 95 % intervals (Clopper and Pearson). "
        "**Bold** gates are meant to catch the defect; the others were tried too, to show what they see of it.",
        "",
        f"Data: {said['data']}.",
        "",
        "Demanded: exact copies of 1 %, the overfitted model and sixteen images are caught in at least 19 of 20 seeds by each gate that is "
        "meant for them, and no gate raises more than 1 false alarm in 20.",
        *verdict,
        "",
        "## Detection power",
        "",
        *_table(bad, words, "caught"),
        "",
        "## False alarms",
        "",
        *_table(good, words, "false alarms"),
        "",
        "## What is not caught",
        "",
        *_missed(bad),
        "",
        "## What was not measured",
        "",
        *(f"- `{name}`: {why}" for name, why in absent.items()),
        "",
        "## Settings",
        "",
        "Thresholds and all else are those of params.yaml, but for these:",
        "",
        *_settings(said["settings"]),
        "",
    ]
    return "\n".join(lines)


def absences(scenarios: list[Scenario], gates: Iterable[str], skipped: dict[str, str]) -> dict[str, str]:
    """Each gate that no scenario tries, with the reason, and each scenario that was `skipped`."""
    tried = {gate for scenario in scenarios for gate in scenario.gates}
    reasons = {gate: NOT_MEASURED.get(gate, "no scenario tries it yet") for gate in gates if gate not in tried}
    return {**reasons, **skipped}


def _table(table: list[dict[str, Any]], words: dict[str, str], counted: str) -> list[str]:
    lines = [f"| release | gate | {counted} | rate, 95 % interval | FAIL |", "|---|---|---|---|---|"]
    before = None
    for row in table:
        name, before = (f"{row['scenario']}: {words[row['scenario']]}" if row["scenario"] != before else ""), row["scenario"]
        low, high = interval(row["caught"], row["of"])
        rate = f"{row['caught'] / row['of']:.0%} ({low:.0%} to {high:.0%})"
        gate = f"**{row['gate']}**" if row["meant"] else row["gate"]
        lines.append(f"| {name} | {gate} | {row['caught']} of {row['of']} | {rate} | {row['failed']} |")
    return lines


def _missed(bad: list[dict[str, Any]]) -> list[str]:
    """Defects that a gate meant for them lets through in some seeds, and what the other gates do not see."""
    missed = [row for row in bad if row["caught"] < row["of"] * (1 if row["meant"] else LEAST)]
    lines = []
    for row in sorted(missed, key=lambda row: not row["meant"]):
        meant = ", which is meant to catch it," if row["meant"] else ""
        lines.append(f"- {row['scenario']}: `{row['gate']}`{meant} passes it in {row['of'] - row['caught']} of {row['of']} seeds.")
    return lines or ["Every gate that was tried caught every defect in every seed."]


def _settings(settings: dict[str, Any]) -> list[str]:
    lines = ["| what | set to |", "|---|---|"]
    for name, values in settings.items():
        said = ", ".join(f"{key} {value}" for key, value in values.items()) if isinstance(values, dict) else str(values)
        lines.append(f"| {name} | {said} |")
    return lines
