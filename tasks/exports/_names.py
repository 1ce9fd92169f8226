"""Class names as names of folders."""

import re

from schema.errors import UsageError


def folder_names(classes: list[str]) -> dict[str, str]:
    """{class: folder}: what is no letter, digit, `.`, `_`, `-` or space becomes `_`. Raises UsageError where two classes would share one,
    also where only capitals tell them apart: not every file system does."""
    names = {label: re.sub(r"[^\w.\- ]", "_", label).strip(". ") or "_" for label in classes}
    if len({name.casefold() for name in names.values()}) < len(names):
        raise UsageError(f"the classes {', '.join(map(repr, classes))} cannot be told apart as names of folders: export to webdataset")
    return names
