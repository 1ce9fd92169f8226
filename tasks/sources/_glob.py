"""Patterns of paths such as `*_t1.nii.gz`."""

import re

WILDCARD = re.compile(r"\*\*/|\*|\?|\[!?[^]]+\]")


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
