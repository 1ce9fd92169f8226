"""The plots of one gate, from the evidence of its verdict: attacks, classifiers, what synthetic images add, distances."""

from typing import Any

from matplotlib.axes import Axes

from tasks.reporting.evidence import ARMS, METRICS, known
from tasks.reporting.plots import NARROW, REAL, SYNTHETIC, WIDE, Plot, plot, threshold

MARKERS = {"real": ("s", "#123f6d"), "synthetic": ("o", "#d9730d"), "real_again": ("D", "#ffffff")}
"""Of the arms that are tested on real images."""
MOST_POINTS = 200


def of_gate(gate: dict[str, Any], at: int) -> list[Plot]:
    """The plots that a verdict's numbers and evidence allow; none for evidence of an unknown shape."""
    evidence = known(gate["evidence"])
    drawn = [
        threshold(gate, f"g{at}t"),
        *_attack(evidence, f"g{at}a"),
        *_classifiers(evidence, f"g{at}c"),
        *_hybrid(evidence, f"g{at}h"),
        *_distances(evidence, f"g{at}d"),
    ]
    return [drawing for drawing in drawn if drawing is not None]


def _attack(evidence: dict[str, Any], name: str) -> list[Plot]:
    drawn = []
    if "roc" in evidence:
        fine = len(evidence["roc"]) > 30
        alt = "ROC curve of the attack" + (f", AUC {evidence['auc']:.3f}" if "auc" in evidence else "") + "; the diagonal is guessing."
        with plot(f"{name}r", alt, WIDE if fine else NARROW) as drawing:
            panels = drawing.figure.subplots(1, 2 if fine else 1, squeeze=False)[0]
            _roc(panels[0], evidence, "ROC of the attack")
            if fine:
                _roc(panels[1], evidence, "The same, few false accusations")
                panels[1].set(xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1))
                for axis in (panels[1].xaxis, panels[1].yaxis):
                    axis.set_major_formatter("{x:g}")  # the usual 10^-2 is mathematical text, which no browser sets
                panels[1].axvline(0.01, color="#777777", linewidth=0.8, linestyle=":")
        drawn.append(drawing)
    if "auc_by_timestep" in evidence:
        steps = sorted(
            evidence["auc_by_timestep"].items(), key=lambda step: (not step[0].isdigit(), int(step[0]) if step[0].isdigit() else 0, step[0])
        )
        alt = "AUC of the attack at each diffusion timestep: " + ", ".join(f"{step}: {auc:.3f}" for step, auc in steps) + "."
        with plot(f"{name}t", alt, NARROW) as drawing:
            axes = drawing.figure.subplots()
            values = [auc for _, auc in steps]
            axes.plot([step for step, _ in steps], values, marker="o", **SYNTHETIC)
            axes.axhline(0.5, color="#555555", linewidth=0.9, linestyle=":", label="guessing")
            axes.set(title="AUC by timestep of the loss", xlabel="diffusion timestep", ylabel="AUC")
            axes.set_ylim(min(0.45, *values) - 0.01, max(0.55, *values) + 0.02)
            axes.legend(loc="upper right")
        drawn.append(drawing)
    return drawn


def _roc(axes: Axes, evidence: dict[str, Any], title: str) -> None:
    axes.plot([0.001, 1], [0.001, 1], color="#888888", linewidth=0.9, linestyle=":", label="guessing")
    for key, style, label in (("null_roc", REAL, "null"), ("roc", SYNTHETIC, "attack")):
        if key in evidence:
            axes.plot(*zip(*_thinned(evidence[key]), strict=True), label=label, **style)
    axes.set(title=title, xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right")


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most MOST_POINTS of a curve, dense where the first coordinate is small: a log axis needs that."""
    if len(points) <= MOST_POINTS:
        return points
    last = len(points) - 1
    return [points[i] for i in sorted({round(last * (step / MOST_POINTS) ** 2) for step in range(MOST_POINTS + 1)})]


def _classifiers(evidence: dict[str, Any], name: str) -> list[Plot]:
    arms = [arm for arm in MARKERS if arm in evidence]
    metrics = [metric for metric in METRICS if any(metric in evidence[arm] for arm in arms)]
    if not metrics:
        return []
    alt = "Scores of classifiers on real test images, a dot for each seed: " + ", ".join(ARMS[arm] for arm in arms) + "."
    with plot(name, alt, (6.8, 0.7 + 0.55 * len(metrics))) as drawing:
        axes = drawing.figure.subplots()
        for row, metric in enumerate(metrics):
            for place, arm in enumerate(arms):
                values = evidence[arm].get(metric, [])
                marker, face = MARKERS[arm]
                height = [row + (place - (len(arms) - 1) / 2) * 0.25] * len(values)
                axes.plot(
                    values,
                    height,
                    marker,
                    markersize=5,
                    color=face,
                    markeredgecolor="#222222",
                    markeredgewidth=0.6,
                    label=ARMS[arm] if row == 0 else None,
                )
        axes.set(yticks=range(len(metrics)), yticklabels=[METRICS[metric] for metric in metrics], ylim=(len(metrics) - 0.4, -0.6))
        axes.set(xlabel="score on real test images, a mark for each seed")
        drawing.figure.legend(loc="outside upper left", ncols=len(arms), handletextpad=0.1, columnspacing=1.2)
    return [drawing]


def _hybrid(evidence: dict[str, Any], name: str) -> list[Plot]:
    """What synthetic images add to real ones, against duplicates of real ones: both scores, and the gain with its interval."""
    rows = [row for row in evidence.get("hybrid", []) if None not in (row["gain"], row["control"], row["hybrid"], row["interval"])]
    if not rows:
        return []
    alt = "Gain of synthetic images over duplicated real ones, by how many were added: " + ", ".join(
        f"{row['ratio']:g}: {row['gain']:.3f} ({row['interval'][0]:.3f} to {row['interval'][1]:.3f})" for row in rows
    )
    places, labels = range(len(rows)), [f"{row['ratio']:g}" for row in rows]
    with plot(name, f"{alt}.", WIDE) as drawing:
        scores, gains = drawing.figure.subplots(1, 2)
        for key, label, marker, shift in (
            ("control", "and duplicated real", "real", -0.1),
            ("hybrid", "and synthetic", "synthetic", 0.1),
        ):
            shape, face = MARKERS[marker]
            for place, row in zip(places, rows, strict=True):
                seeds = _of_seeds(evidence, f"{key}_{row['ratio']:g}")
                scores.plot([place + shift] * len(seeds), seeds, shape, markersize=3, color=face, alpha=0.4)
            values = [row[key] for row in rows]
            scores.plot([place + shift for place in places], values, shape, color=face, markeredgecolor="#222222", label=label)
        scores.set(title="All real images ...", ylabel="score on real test images")
        scores.legend(loc="best")
        errors = [[max(0, sign * (row["interval"][end] - row["gain"])) for row in rows] for end, sign in ((0, -1), (1, 1))]
        gains.axhline(0, color="#555555", linewidth=0.9, linestyle=":")
        gains.errorbar(places, [row["gain"] for row in rows], yerr=errors, fmt="o", color="#111111", capsize=5)
        gains.set(title="Gain over duplicated real images", ylabel="difference of the scores")
        for axes in (scores, gains):
            axes.set(xticks=list(places), xticklabels=labels, xlim=(-0.6, len(rows) - 0.4), xlabel="images added to each real one")
    return [drawing]


def _of_seeds(evidence: dict[str, Any], arm: str) -> list[float]:
    return evidence.get("hybrid_by_seed", {}).get(arm, {}).get(evidence.get("metric", "accuracy"), [])


def _distances(evidence: dict[str, Any], name: str) -> list[Plot]:
    if "distance" not in evidence or "null_distance" not in evidence:
        return []
    bars = {"synthetic against real": evidence["distance"], "null": evidence["null_distance"]}
    alt = "Distance of " + ", ".join(f"{label}: {value:.4g}" for label, value in bars.items()) + "."
    with plot(name, alt, (6.8, 1.2)) as drawing:
        axes = drawing.figure.subplots()
        drawn = axes.barh(list(bars), list(bars.values()), color=[SYNTHETIC["color"], "#ffffff"], edgecolor="#222222", height=0.6)
        axes.bar_label(drawn, fmt="%.4g", padding=4, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set(xlabel="distance from real test images")
    return [drawing]
