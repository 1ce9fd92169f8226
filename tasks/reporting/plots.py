"""Plots as inline SVG: text stays text, no script, no metadata, the same bytes for the same numbers."""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

# A dark and a light colour that stay apart in grey and for every kind of colour vision; the line style tells them apart again.
REAL = {"color": "#123f6d", "linestyle": (0, (5, 2))}
SYNTHETIC = {"color": "#d9730d", "linestyle": "-"}

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
    unit = textwrap.wrap(gate["unit"], 90)
    with plot(name, alt, (6.8, 0.7 + 0.15 * len(unit))) as drawing:
        axes = drawing.figure.subplots()
        axes.set(xlim=(low - margin, high + margin), ylim=(-1, 1), yticks=[], xlabel="\n".join(unit))
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
