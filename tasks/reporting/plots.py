"""Plots as inline SVG: text stays text, no script, no metadata, the same bytes for the same numbers."""

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.reporting.evidence import ARMS, METRICS, known

# A dark and a light colour that stay apart in grey and for every kind of colour vision; the line style tells them apart again.
REAL = {"color": "#123f6d", "linestyle": (0, (5, 2))}
SYNTHETIC = {"color": "#d9730d", "linestyle": "-"}
MARKERS = {"real": ("s", "#123f6d"), "synthetic": ("o", "#d9730d"), "real_again": ("D", "#ffffff")}

STYLE = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
}
MOST_POINTS = 200
NARROW, WIDE = (3.5, 2.9), (6.8, 2.8)


class Plot:
    """A figure being drawn; `svg` holds its markup once the `with` block is over. `narrow`: two fit beside each other."""

    def __init__(self, figure: Figure, narrow: bool) -> None:
        self.figure = figure
        self.narrow = narrow
        self.svg = Markup("")


@contextmanager
def plot(name: str, alt: str, size: tuple[float, float]) -> Iterator[Plot]:
    """`name` makes the ids of this figure differ from those of the others on the page."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE, "svg.hashsalt": name, "backend": "agg"}):
        drawing = Plot(Figure(figsize=size, layout="constrained"), size == NARROW)
        yield drawing
        stream = io.StringIO()
        drawing.figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawing.svg = Markup(_inline(stream.getvalue(), name, alt))


def _inline(svg: str, name: str, alt: str) -> str:
    """The SVG element alone, its ids made unique on the page, with its text alternative, coordinates to a hundredth of a point."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", path[0]), svg)
    svg = re.sub(
        r'^<svg[^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{escape(alt)}">',
        svg,
    )
    return re.sub(r"\n\s*", "\n", svg).strip()


def of_gate(gate: dict[str, Any], at: int) -> list[Plot]:
    """The plots that a verdict's numbers and evidence allow; none for evidence of an unknown shape."""
    evidence = known(gate["evidence"])
    drawn = [
        threshold(gate, f"g{at}t"),
        *_attack(evidence, f"g{at}a"),
        *_classifiers(evidence, f"g{at}c"),
        *_distances(evidence, f"g{at}d"),
    ]
    return [drawing for drawing in drawn if drawing is not None]


def threshold(gate: dict[str, Any], name: str) -> Plot | None:
    """Where the value and its interval lie from the threshold; the side that is not allowed is hatched."""
    value, interval, bound = gate["value"], gate["interval"], gate["threshold"]
    if value is None or interval is None or None in interval:
        return None
    low, high = min(*interval, value, bound), max(*interval, value, bound)
    margin = 0.3 * ((high - low) or abs(bound) or 1.0)
    at_most = gate["direction"] == "at_most"
    alt = f"Value {value:.3g} with interval {interval[0]:.3g} to {interval[1]:.3g}; allowed: {gate['direction']} {bound:.3g}.".replace(
        "_", " "
    )
    with plot(name, alt, (6.8, 0.85)) as drawing:
        axes = drawing.figure.subplots()
        axes.set(xlim=(low - margin, high + margin), ylim=(-1, 1), yticks=[], xlabel=gate["unit"])
        axes.spines["left"].set_visible(False)
        beyond = (bound, high + margin) if at_most else (low - margin, bound)
        axes.axvspan(*beyond, facecolor="#f3e3dc", edgecolor="#c98b74", hatch="////", linewidth=0)
        axes.axvline(bound, color="#8a2b0c", linewidth=1.6)
        axes.errorbar(
            [value], [0], xerr=[[max(value - interval[0], 0)], [max(interval[1] - value, 0)]], fmt="o", color="#111111", capsize=5
        )
        where = {"xytext": (4 if at_most else -4, 0), "textcoords": "offset points", "va": "center", "ha": "left" if at_most else "right"}
        box = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 1.5}
        axes.annotate(
            f"not allowed: {'above' if at_most else 'below'} {bound:g}".replace("-", "\u2212"),
            (bound, 0.62),
            fontsize=8,
            color="#8a2b0c",
            bbox=box,
            **where,
        )
    return drawing


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
    arms = [arm for arm in ARMS if arm in evidence]
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
        axes.set(xlabel="Fréchet distance")
    return [drawing]


def nearest_distances(histogram: dict[str, Any]) -> Plot:
    """Share of images by distance to the nearest training image: synthetic filled, holdout (the null) dashed."""
    alt = "Distances to the nearest training image, synthetic images and holdout images, as shares by bins of the distance."
    with plot("nn", alt, WIDE) as drawing:
        axes = drawing.figure.subplots()
        axes.stairs(
            _percent(histogram["synthetic"]),
            histogram["edges"],
            fill=True,
            facecolor="#f6d3b0",
            edgecolor=SYNTHETIC["color"],
            label="synthetic",
        )
        axes.stairs(_percent(histogram["holdout"]), histogram["edges"], linewidth=1.6, label="holdout (null)", **REAL)
        axes.set(xlabel="pixel RMSE to the nearest training image (grey levels)", ylabel="% of images", xlim=(0, None), ylim=(0, None))
        axes.legend(loc="upper left")
    return drawing


def _percent(shares: Iterable[float]) -> list[float]:
    return [100 * share for share in shares]
