"""From the words that a table or a path has for an image to its one label, by the rules of the config."""

from collections.abc import Callable, Mapping, Sequence

from schema.errors import SynthmillError
from schema.params import nearest

REST = "*"
"""The key of `classes` that stands for every word without one of its own."""

NO_CLASS = "label not in classes"
SEVERAL = "several labels"

ASKED = {NO_CLASS, SEVERAL}
"""Reasons that are no fault: `other: ignore` and `multi_label: skip` ask for them."""


class Labels:
    """`place` says where the words stand (column 'dx'), and `refuse` makes the error of what is wrong there.

    No message has a word of the source: a column named by mistake may hold people.
    """

    def __init__(
        self,
        classes: Mapping[str, str] | None,
        ignore_others: bool,
        priority: Sequence[str],
        skip_several: bool,
        place: str,
        refuse: Callable[[str], SynthmillError],
    ) -> None:
        self.classes = classes
        self.ignore_others = ignore_others
        self.priority = priority
        self.skip_several = skip_several
        self.place = place
        self.refuse = refuse

    def of(self, words: Sequence[str], where: str) -> tuple[str | None, str | None]:
        """The label, or the reason why there is none. Raises SynthmillError for a word or a choice that nobody declared."""
        words = [word.strip() for word in words if word.strip()]
        labels = list(words) if self.classes is None else self._mapped(words, where)
        if not labels:
            return None, NO_CLASS if words else "no label"
        if len(set(labels)) == 1:
            return labels[0], None
        for label in self.priority:
            if label in labels:
                return label, None
        if self.skip_several:
            return None, SEVERAL
        raise self.refuse(
            f"{where} has {len(set(labels))} labels in {self.place}: say which one counts with ingest.source.priority, "
            "or leave such images out with `multi_label: skip`"
        )

    def _mapped(self, words: list[str], where: str) -> list[str]:
        strange = [word for word in words if word not in self.classes]
        if REST in self.classes:
            return [self.classes.get(word, self.classes[REST]) for word in words]
        if strange and not self.ignore_others:
            raise self.refuse(
                f"{where}, {self.place}: a word is not in ingest.source.classes{nearest(strange[0], self.classes)}: "
                f'add it, add "{REST}" for all others, or set `other: ignore`'
            )
        return [self.classes[word] for word in words if word in self.classes]


def chosen(cells: Mapping[str, str], where: str, refuse: Callable[[str], SynthmillError]) -> list[str]:
    """The columns that hold 1, of columns of one class each. Raises SynthmillError where one is neither 0 nor 1."""
    words = []
    for name, cell in cells.items():
        try:
            value = float(cell or 0)
        except ValueError:
            value = -1.0
        if value not in (0, 1):
            raise refuse(f"{where}, column {name!r} is neither 0 nor 1: name the columns that are classes in ingest.source.classes")
        if value:
            words.append(name)
    return words
