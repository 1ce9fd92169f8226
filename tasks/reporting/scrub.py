"""What no report may hold, taken out of any value: local paths, names of real records, and numbers that JSON does not know."""

import math
import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

LOCAL = "(a local path)"
WITHHELD = "(withheld: it named a real record)"

PATH = re.compile(
    r"""
    (?P<web>https?://[^\s<>"']+)                                                  # stays
    | (?P<quote>["'`])(?!\./mill[`\s])(?:~[\w.-]*|\.{1,2}|[A-Za-z]:)?[/\\](?!\s)[^"'`\n]+(?P=quote)  # '/srv/Anna M/x.png', but no command
    | [A-Za-z][\w+.-]+://[^\s<>"'`]+                                              # file:///srv/x.png, s3://ward-7/x
    | (?<![\w.~/\\<])(?!\./mill[`\s])(?:~[\w.-]*|\.{1,2})?/[\w.~%@+-][^\s<>"'`,;:()\[\]]*  # /srv/x.png, ~/x.png
    | (?<!\w)(?:[A-Za-z]:[\\/]|\\\\)[^\s<>"'`,;()\[\]]+                            # C:\x.png, \\server\x.png
    """,
    re.VERBOSE,
)
"""What looks like a path of this machine, anywhere in a text."""

ID = re.compile(r"(?=([0-9a-f]{16}))")
"""Every place where a keyed digest, as ingest gives to records and patients, could begin."""


def without_paths(value: Any) -> Any:
    """The same value with every local path taken out: it means nothing elsewhere, and a folder may be named after a person.

    A text that begins with a path is taken for one as a whole, since paths may hold blanks; within a text only quoted ones may.
    """
    return _each_text(value, _without_path)


def _without_path(text: str) -> str:
    if text.startswith("~") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute():
        return LOCAL
    return PATH.sub(lambda found: found["web"] or LOCAL, text)


def without_names(value: Any, names: Collection[str]) -> Any:
    """The same value without any text, key of a dictionary or not, that holds one of the `names` of real records or patients."""
    return _each_text(value, lambda text: WITHHELD if _named(text, names) else text, keys=True)


def holds(value: Any, names: Collection[str]) -> bool:
    """Whether one of the `names` stands anywhere in the value."""
    if isinstance(value, dict):
        return any(holds(entry, names) for pair in value.items() for entry in pair)
    if isinstance(value, list | tuple):
        return any(holds(entry, names) for entry in value)
    return isinstance(value, str) and _named(value, names)


def _named(text: str, names: Collection[str]) -> bool:
    return any(found in names for found in ID.findall(text))


def _each_text(value: Any, change: Callable[[str], str], keys: bool = False) -> Any:
    if isinstance(value, dict):
        return {change(key) if keys else key: _each_text(entry, change, keys) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_each_text(entry, change, keys) for entry in value]
    return change(value) if isinstance(value, str) else value


def finite(value: Any) -> Any:
    """The same value with None for what is not a finite number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
