"""Attributes of a record: what params.yaml declares of them, and how the source's words become values.

Everything that is not declared here is dropped. A value that cannot be is never written: it may be a name in the wrong column.
"""

import re
from abc import abstractmethod
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

FIRST_YEAR = 1800
"""No examination is older."""


class Implausible(ValueError):
    """A value that the declaration does not allow. The message is a category: it never holds the value."""


class Attribute(BaseModel):
    """`from` is the source's word: a column of the CSV, a DICOM keyword, a fact of a phantom; the attribute's own name unless given."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, coerce_numbers_to_str=True)
    arrow: ClassVar[pa.DataType]
    source: str | None = Field(default=None, alias="from", description="the source's word for it, where that is another")
    required: bool = Field(default=False, description="whether a record without it is quarantined")

    def value(self, given: Any, key: Callable[[str], str]) -> Any:
        """The value to write, None where the source has none; `key` replaces an id by its keyed digest. Raises Implausible."""
        if given is None or given != given or (isinstance(given, str) and not given.strip()):
            if self.required:
                raise Implausible("missing")
            return None
        return self._value(given, key)

    @abstractmethod
    def _value(self, given: Any, key: Callable[[str], str]) -> Any: ...

    def declared(self) -> dict[str, Any]:
        """What may be written down of the declaration: all but the source's own words."""
        return self.model_dump(mode="json", exclude={"source", "values", "none"})

    def tags(self, value: Any) -> list[str]:
        """What a value counts as when splits are stratified by it; none where it is missing."""
        return [] if value is None else [str(value)]


class _Worded(Attribute):
    values: list[str] | dict[str, str] = Field(
        min_length=1, description="the words allowed: a list, or {word of the source: word to write}"
    )

    @property
    def words(self) -> list[str]:
        """The words that may be written, each once, in the order declared."""
        return list(dict.fromkeys(self.values.values() if isinstance(self.values, dict) else self.values))

    def declared(self) -> dict[str, Any]:
        return {**super().declared(), "values": self.words}

    def _word(self, given: Any) -> str:
        word = str(given).strip()
        if isinstance(self.values, dict) and word in self.values:
            return self.values[word]
        if word not in self.words:
            raise Implausible("not among its values")
        return word


class Class(_Worded):
    """One word of several."""

    kind: Literal["class"]
    arrow = pa.string()

    def _value(self, given, key):
        return self._word(given)


class Ordinal(_Worded):
    """One word of several that have an order: that of `values`, lowest first."""

    kind: Literal["ordinal"]
    arrow = pa.string()

    def _value(self, given, key):
        return self._word(given)


class MultiLabel(_Worded):
    """Any number of the words: a list, or one text with `separator` between them."""

    kind: Literal["multi-label"]
    separator: str = Field(default="|", min_length=1)
    none: str | None = Field(default=None, description="the source's word for none of them, such as No Finding")
    arrow = pa.list_(pa.string())

    def _value(self, given, key):
        parts = given.split(self.separator) if isinstance(given, str) else list(given)
        found = {self._word(part) for part in parts if str(part).strip() and str(part).strip() != self.none}
        return [word for word in self.words if word in found]

    def tags(self, value):
        return [] if value is None else list(value)


class Number(Attribute):
    """A number of a plausible range, ends included. `strata`: into how many equal ranges it is cut when splits are stratified by it."""

    kind: Literal["number"]
    min: float = Field(allow_inf_nan=False)
    max: float = Field(allow_inf_nan=False)
    strata: int = Field(default=5, ge=1, le=100)
    arrow = pa.float64()

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"min ({self.min:g}) must be under max ({self.max:g})")
        return self

    def _value(self, given, key):
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise Implausible("not a number") from None
        if not self.min <= number <= self.max:
            raise Implausible("out of its range")
        return number

    def tags(self, value):
        if value is None:
            return []
        return [str(min(self.strata - 1, int((value - self.min) / (self.max - self.min) * self.strata)))]


class Identifier(Attribute):
    """Something that records have in common and that names somebody or something: written as a keyed digest alone."""

    kind: Literal["id"]
    arrow = pa.string()

    def _value(self, given, key):
        return key(str(given).strip())


class Date(Attribute):
    """A day. Declared only where `ingest.dates` is `shift`: written moved by a number of days that is the patient's own."""

    kind: Literal["date"]
    arrow = pa.date32()

    def _value(self, given, key):
        text = str(given).strip()
        match = re.fullmatch(r"(\d{4})[-/]?(\d{2})[-/]?(\d{2})(?:[T ].*)?", text)
        try:
            day = date(*map(int, match.groups()))
        except (AttributeError, ValueError):
            raise Implausible("not a date") from None
        if day.year < FIRST_YEAR:
            raise Implausible("out of its range")
        return day

    def tags(self, value):
        return []


AnyAttribute = Annotated[Class | Ordinal | MultiLabel | Number | Identifier | Date, Field(discriminator="kind")]
