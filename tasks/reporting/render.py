"""Facts and pictures to one self-contained page. A number reaches the page only by its JSON Pointer (RFC 6901) into report.json."""

import re
from decimal import Decimal
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.reporting import gate_plots, layout
from tasks.reporting.attackers import COLUMNS, attackers
from tasks.reporting.evidence import ARMS, METRICS, arm_words, known, lines
from tasks.reporting.glossary import GLOSSARY
from tasks.reporting.pictures import Pictures
from tasks.reporting.plots import nearest_distances
from tasks.reporting.sentences import sentence
from tasks.reporting.wording import NOTHING_CLAIMED, question

THIN_SPACE = "\u202f"
MINUS = "\u2212"


def html(facts: dict[str, Any], pictures: Pictures) -> str:
    """The page of one edition. Raises jinja2.UndefinedError for a fact that the template asks for and nobody gave."""
    environment = Environment(
        loader=PackageLoader("tasks.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        num=lambda at, form="number": cited(facts, at, form),
        sentence=lambda gate, at: sentence(gate, at, partial(cited, facts)),
        span=lambda at, form="number": Markup("{} to {}").format(cited(facts, f"{at}/0", form), cited(facts, f"{at}/1", form)),
        join=join,
        look_up=lambda at: look_up(facts, at),
        leaves=leaves,
        lines=lines,
        known=known,
        arm_words=arm_words,
        question=question,
        is_short=layout.is_short,
        short_claims=layout.short_claims,
        plots_of=gate_plots.of_gate,
    )
    environment.filters.update(words=lambda name: name.replace("_", " ").replace("non ", "non-"))
    page = environment.get_template("report.html.j2").render(
        facts=facts,
        pictures=pictures,
        internal=facts["edition"] == "internal",
        distances=nearest_distances(facts["nearest"]["histogram"]),
        order=layout.order(facts["gates"]),
        blocks=layout.blocks(facts["gates"]),
        attackers=attackers(facts),
        attacker_columns=COLUMNS,
        claims_privacy=layout.claims_privacy(facts["gates"]),
        nothing_claimed=NOTHING_CLAIMED,
        metrics=METRICS,
        arms=ARMS,
        glossary=GLOSSARY,
    )
    return re.sub(r"\n\s*\n+", "\n", page)


def join(at: str, key: Any) -> str:
    """The JSON Pointer of the member `key` of what `at` points to."""
    return f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}"


def look_up(facts: Any, at: str) -> Any:
    """What a JSON Pointer points to. Raises KeyError or IndexError where there is nothing."""
    for part in at.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        facts = facts[int(key)] if isinstance(facts, list) else facts[key]
    return facts


def cited(facts: Any, at: str, form: str) -> Markup:
    """A fact as HTML that says where in report.json it stands and what it is there."""
    value = look_up(facts, at)
    if value is None:
        return Markup('<span class="none">none</span>')
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape({True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value)
    return Markup('<data value="{}" data-at="{}" data-form="{}">{}</data>').format(
        repr(value), at, form, shown(value, form, facts["edition"] == "public")
    )


def shown(value: float, form: str, binned: bool = False) -> str:
    """A number as a reader wants it: `number` (some three digits), `count`, `percent`, `share` (a round percentage), `whole` (a
    percentage without its sign), `set` (a bound with all its digits), `plain` (as is). `binned`: numbers and percentages that have few
    digits stand with these."""
    digits = _digits(value, 100 if form == "percent" else 1) if binned and form in ("number", "percent") else None
    if digits is not None:
        text = f"{digits}{THIN_SPACE}%" if form == "percent" else digits
    elif form == "percent":
        text = f"{100 * value:.1f}{THIN_SPACE}%"
    elif form == "share":
        text = f"{100 * value:g}{THIN_SPACE}%"
    elif form == "whole":
        text = f"{100 * value:.0f}"
    elif form == "set":
        text = f"{value:.12g}"
    elif form == "plain":
        text = repr(value)
    elif form == "count" or isinstance(value, int) or value == 0:
        text = f"{value:,.0f}".replace(",", THIN_SPACE)
    else:
        size = abs(value)
        decimals = 0 if size >= 1000 else 1 if size >= 10 else 2 if size >= 1.5 else 3 if size >= 0.005 else 4
        text = f"{value:.1e}" if 0 < size < 0.00005 else f"{value:,.{decimals}f}".replace(",", THIN_SPACE)
    return text.replace("-", MINUS)


def _digits(value: float, scale: int) -> str | None:
    """The number times `scale` with at least two significant digits and all that it has; None where it has more than four."""
    number = (Decimal(repr(value)) * scale).normalize()
    if not number:
        return "0"
    if isinstance(value, int) or abs(number) < Decimal("0.00005") or len(number.as_tuple().digits) > 4:
        return None
    decimals = max(-number.as_tuple().exponent, 1 - number.adjusted(), 0)
    return f"{number:,.{decimals}f}".replace(",", THIN_SPACE)


def leaves(value: Any, at: str) -> list[tuple[str, str | None, str]]:
    """A nested section as lines (name, JSON Pointer, words): a pointer for a leaf, words in its place for a list."""
    if isinstance(value, dict):
        return [
            (f"{key}.{name}" if name else str(key), pointer, words)
            for key, entry in value.items()
            for name, pointer, words in leaves(entry, join(at, key))
        ]
    if isinstance(value, list):
        return [("", None, ", ".join(map(str, value)))]
    return [("", at, "")]
