"""What lies below a source's folder, and which of it a pattern such as `*_t1.nii.gz` names."""

import os
import re
from pathlib import Path

WILDCARD = re.compile(r"\*\*/|\*|\?|\[!?[^]]+\]")


def below(folder: Path) -> dict[str, Path]:
    """Every file below the folder by its path from there, sorted. Linked folders are followed, each real one once."""
    found, seen = {}, set()
    for here, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(here) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(here))
        folders.sort(key=lambda name: (os.path.islink(os.path.join(here, name)), name))
        base = Path(here).relative_to(folder)
        for name in names:
            if os.path.isfile(os.path.join(here, name)):
                found[(base / name).as_posix()] = Path(here, name)
    return dict(sorted(found.items()))


def wildcards(pattern: str) -> list[str]:
    """The parts of a pattern that stand for something else: `*`, `?`, `[ab]` within a name, `**/` for folders of any depth."""
    return WILDCARD.findall(pattern)


def literals(pattern: str) -> int:
    """How many characters of a pattern stand for themselves: the more, the more particular it is."""
    return len(WILDCARD.sub("", pattern))


def translate(pattern: str) -> re.Pattern[str]:
    """A regular expression for a whole path in which each wildcard is a group."""
    parts, end = [], 0
    for match in WILDCARD.finditer(pattern):
        parts.append(re.escape(pattern[end : match.start()]))
        word, end = match.group(), match.end()
        parts.append({"**/": "(?:(.*)/)?", "*": "([^/]*)", "?": "([^/])"}.get(word) or f"({word.replace('[!', '[^', 1)})")
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)
