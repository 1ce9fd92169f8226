"""Columns of an Arrow table as what records hold: words, numbers, days, lists of words."""

import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa


def values(kind: pa.DataType) -> pa.DataType:
    """The type of the cells, also of a column that is stored by dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_word(kind: pa.DataType) -> bool:
    """Whether each cell is one word: text, a whole number, or true and false."""
    kind = values(kind)
    return pa.types.is_integer(kind) or is_text(kind) or pa.types.is_boolean(kind)


def is_image(kind: pa.DataType) -> bool:
    """Whether the cells are bytes, or struct<bytes, path> as an `Image` feature of Hugging Face datasets is."""
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def is_plain(kind: pa.DataType) -> bool:
    """Whether the cells can be an attribute: words, numbers, days, lists of words."""
    kind = values(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return is_text(values(kind.value_type))
    day = pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind)
    return is_word(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or day


def reader(schema: pa.Schema, column: str) -> Callable[[Any], Any]:
    """A function from a cell of a plain column to str, number, list of str or None. Indices of a ClassLabel become its names; an index
    that is none, such as the -1 of datasets for no label, becomes None."""
    names = class_names(schema, column)
    if names is None:
        return _plain
    return lambda cell: names[cell] if cell is not None and 0 <= cell < len(names) else None


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of a ClassLabel, as Hugging Face datasets writes them into the Arrow metadata; None where there are none."""
    if not pa.types.is_integer(values(schema.field(column).type)):
        return None
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError):
        return None
    return [str(name) for name in names] if isinstance(names, list) and names else None


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list):
        return [word for word in value if word is not None]
    return float(value) if isinstance(value, Decimal) else value
