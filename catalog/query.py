"""What a search asks for: one typed Filter, whichever way it was said. Knows no database.

    Filter(modality=["chest radiograph"], label=[Count(name="pneumonia", value=500)], gate=[Bound(name="fid", op="<", value=20)])
    catalog.parser.read('modality:"chest radiograph" label:pneumonia>=500 fid<20').filter        # the same

`str(filter)` is the filter in the query language of docs/search.md; reading that gives the filter again.
"""

import re
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from catalog.words import tokens
from schema.errors import UsageError
from schema.release import check_name
from schema.settings import ROOT

Op = Literal["<", "<=", ">", ">=", "="]
NUMBERS = ("images", "size", "epsilon", "delta")
"""Facts of a release that are numbers; size is in bytes."""
FIELDS = ("text", "dataset", "release", "modality", "license", "label", "seed", "latest", "recalled")
"""What stands before a colon, beside gates and `attribute.NAME`."""
STATUSES = ("PASS", "FAIL", "INSUFFICIENT", "MISSING")
RECALLED = ("no", "yes", "any")
MOST = 50
"""Conditions of one kind in a filter: each is a look into an index."""


def _searchable(text: str) -> str:
    if not tokens(text):
        raise ValueError(f"{text!r} has no letter or digit to search for")
    return text


def _written(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(f"{text!r} is no name of anything")
    return text


def _dataset(name: str) -> str:
    return check_name(name.casefold())


def _tag(name: str) -> str:
    dataset, _, version = name.partition("@")
    if not re.fullmatch(r"v\d+\.\d+\.\d+", version):
        raise UsageError(f"{name!r} is no release: write it as pneumonia@v1.0.0")
    return f"{_dataset(dataset)}@{version}"


def _attribute(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(f"{name!r} is no name of an attribute: write it as in attribute.view:PA")
    return name


Words = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_searchable)]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_written)]
Name = Annotated[str, Field(max_length=100), AfterValidator(_attribute)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bound(_Part):
    """A number of a release (one of NUMBERS) or the value that a gate measured, and where it must lie."""

    name: Name
    op: Op
    value: float = Field(allow_inf_nan=False)


class Count(_Part):
    """How many images have a label; at least one unless said otherwise. A release without the label never matches."""

    name: Label
    op: Op = ">="
    value: int = Field(default=1, ge=0, lt=2**31)


class AttributeCount(Count):
    """How many images have the value `name` of an attribute."""

    attribute: Name


class Ruling(_Part):
    """What a gate's verdict must be."""

    gate: Name
    status: Literal["PASS", "FAIL", "INSUFFICIENT", "MISSING"]


class Day(_Part):
    """When a release was published, UTC."""

    op: Op
    day: date


class Filter(_Part):
    """Every condition must hold; of several datasets, releases, modalities or licences one must."""

    text: tuple[Words, ...] = Field(default=(), max_length=MOST, description="words or phrases in title, description, labels, modality")
    dataset: tuple[Annotated[str, AfterValidator(_dataset)], ...] = Field(default=(), max_length=MOST)
    release: tuple[Annotated[str, Field(max_length=128), AfterValidator(_tag)], ...] = Field(
        default=(), max_length=MOST, description="tags: pneumonia@v1.0.0"
    )
    modality: tuple[Words, ...] = Field(default=(), max_length=MOST, description="each a phrase in the release's modality")
    license: tuple[Label, ...] = Field(default=(), max_length=MOST, description="SPDX identifiers, in whatever case")
    label: tuple[Count, ...] = Field(default=(), max_length=MOST)
    attribute: tuple[AttributeCount, ...] = Field(default=(), max_length=MOST)
    number: tuple[Bound, ...] = Field(default=(), max_length=MOST)
    gate: tuple[Bound, ...] = Field(default=(), max_length=MOST)
    verdict: tuple[Ruling, ...] = Field(default=(), max_length=MOST)
    published: tuple[Day, ...] = Field(default=(), max_length=MOST)
    seed: tuple[int, int] | None = Field(default=None, description="of images: first and last seed")
    latest: bool = Field(default=False, description="only the highest version of each dataset")
    recalled: Literal["no", "yes", "any"] = "no"

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        for bound in self.number:
            if bound.name not in NUMBERS:
                raise ValueError(f"{bound.name!r} is no number of a release{nearest(bound.name, NUMBERS)}; there are: {', '.join(NUMBERS)}")
        if self.seed is not None and not 0 <= self.seed[0] <= self.seed[1] < 2**63:
            raise ValueError(f"the seeds {self.seed[0]} to {self.seed[1]} are no range: give the first and then the last")
        return self

    def __str__(self) -> str:
        return " ".join(_parts(self))


def nearest(given: str, known: Collection[str]) -> str:
    """As `schema.params.nearest` says it; that module brings in pyarrow, which a search needs for nothing else."""
    from schema.params import nearest as near

    return near(given, known)


def make(**conditions: Any) -> Filter:
    """A Filter. Raises UsageError, and not a ValidationError, for one that cannot be."""
    try:
        return Filter(**conditions)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"] if not isinstance(part, int))
        words = fault["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {words}" if where else words) from None


def shipped_gates() -> frozenset[str]:
    """The gates of this checkout, by the names of their files: none is imported."""
    files = (ROOT / Path("tasks", "gates")).glob("[!_]*.py")
    return frozenset(path.stem.replace("_", "-") for path in files)


def check_gates(asked: Filter, known: Collection[str]) -> Filter:
    """Raises UsageError for a gate that is neither of this checkout nor of any release."""
    for name in (*(bound.name for bound in asked.gate), *(ruling.gate for ruling in asked.verdict)):
        if name not in known:
            raise UsageError(f"no gate is called {name!r}{nearest(name, known)}; there are: {', '.join(sorted(known))}")
    return asked


def _parts(asked: Filter) -> Iterator[str]:
    yield from (_quoted(text) for text in asked.text)
    for name in ("dataset", "release", "modality", "license"):
        if getattr(asked, name):
            yield f"{name}:{','.join(map(_value, getattr(asked, name)))}"
    yield from (f"label:{_count(count)}" for count in asked.label)
    yield from (f"attribute.{count.attribute}:{_count(count)}" for count in asked.attribute)
    yield from (f"{bound.name}{bound.op}{_number(bound.value)}" for bound in (*asked.number, *asked.gate))
    yield from (f"{ruling.gate}:{ruling.status}" for ruling in asked.verdict)
    yield from (f"published{each.op}{each.day.isoformat()}" for each in asked.published)
    if asked.seed is not None:
        yield f"seed:{asked.seed[0]}..{asked.seed[1]}"
    if asked.latest:
        yield "latest:yes"
    if asked.recalled != "no":
        yield f"recalled:{asked.recalled}"


def _count(count: Count) -> str:
    bound = "" if (count.op, count.value) == (">=", 1) else f"{count.op}{count.value}"
    return f"{_value(count.name)}{bound}"


def _value(text: str) -> str:
    # Digits are quoted: `1,000` reads as one number, and not as two names.
    return text if re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9@._+-]*[A-Za-z0-9])?", text) else _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
