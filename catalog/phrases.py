"""The plain words of a search that are not searched for: comparisons, what joins words, and what says nothing."""

from collections.abc import Mapping, Sequence

BEFORE = {
    ">=": ("at least", "no fewer than", "not fewer than", "no less than", "not less than", "minimum", "min"),
    "<=": ("at most", "no more than", "not more than", "up to", "not over", "maximum", "max"),
    "<": ("under", "below", "less than", "fewer than", "smaller than", "lower than"),
    ">": ("over", "above", "more than", "greater than", "larger than", "higher than"),
    "=": ("exactly", "equal to", "equals"),
}
"""What stands before a number."""
AFTER = {">=": ("or more", "and more", "and up"), "<=": ("or fewer", "or less", "and below")}
"""What stands after a number."""

NEGATIONS = frozenset(("without", "not", "no", "except", "excluding"))
CONNECTORS = frozenset(("and", "or", "with", "from", "in", "of", "at", "that", "which", "whose", "by", "for"))
LICENSED = frozenset(("licence", "license", "licensed"))
IMAGES = frozenset(("image", "images", "picture", "pictures", "scan", "scans", "slice", "slices"))
FILLERS = frozenset(
    (
        *("a", "an", "the", "and", "of", "for", "in", "on", "is", "are", "was", "be", "has", "have"),
        *("having", "to", "that", "which", "whose", "from", "by", "as", "it", "its", "me", "i", "we", "all"),
        *("any", "some", "please", "show", "find", "give", "get", "need", "want", "looking", "search", "dataset", "datasets", "data"),
        *("set", "sets", "release", "releases", "synthetic", "value"),
    )
)
"""Words that say nothing of a release."""


def match(phrases: Mapping[str, Sequence[str]], ahead: Sequence[str]) -> tuple[str, int] | None:
    """(sign, how many words) of the longest phrase that the words ahead begin with."""
    found = [(len(words), op) for op, each in phrases.items() for phrase in each if list(ahead[: len(words := phrase.split())]) == words]
    return max(found)[::-1] if found else None
