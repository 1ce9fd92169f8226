"""What a text-to-image model is told of an image: a template of params.yaml, filled with words of params.yaml.

Nothing else can get into a prompt. What a source says in its own words may be a name or a date, and captions that stand with few images
are what diffusion models repeat first (Somepalli et al., "Understanding and mitigating copying in diffusion models", NeurIPS 2023,
arXiv:2305.20086, sections 4 and 5); so a prompt is made of a template, the names of classes, and the words of declared attributes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schema.conditions import WITHHELD, Condition, attributes
from schema.params import nearest

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
NAMING = ("token", "label")
"""The placeholders that say which class it is."""


def spoken(word: str) -> str:
    """A word of params.yaml as it is said: `seborrhoeic-keratosis` is two words."""
    return re.sub(r"[_\-\s]+", " ", word).strip()


@dataclass(frozen=True)
class Prompts:
    """The prompt of each row of conditions. Clauses of `template` are parted by commas; one whose attribute is not said is left out."""

    template: str
    class_prompt: str
    class_noun: str
    labels: Sequence[str]
    tokens: Sequence[str]
    conditions: Sequence[Condition] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a template that cannot be filled, naming what can stand in it."""
        words = list(dict.fromkeys(condition.attribute for condition in self.conditions))
        known = _check("train.prompt", self.template, [*NAMING, "class_noun", *words])
        _check("train.class_prompt", self.class_prompt, ["class_noun"])
        if len(self.labels) > 1 and not known & {*NAMING}:
            raise ValueError(f"train.prompt {self.template!r} must hold {{token}} or {{label}}: nothing else in it tells the classes apart")
        for clause in self.template.split(","):
            held = PLACEHOLDER.findall(clause)
            if {*held} & {*NAMING} and {*held} & {*words}:
                raise ValueError(
                    f"train.prompt: part {clause.strip()!r} by commas, so that what is not said can be left out and the class stays"
                )

    @property
    def silent(self) -> list[int]:
        """The row that says nothing: its prompt is the empty one."""
        return [WITHHELD] * (1 + len(self.conditions))

    @property
    def prior(self) -> list[int]:
        """The row that says the kind of thing alone: its prompt is `class_prompt`."""
        return [len(self.labels), *self.silent[1:]]

    def of(self, row: Sequence[int]) -> str:
        if list(row) == self.silent:
            return ""
        if row[0] == len(self.labels):
            return PLACEHOLDER.sub(self.class_noun, self.class_prompt)
        said: dict[str, str | None] = {"class_noun": self.class_noun, "token": None, "label": None}
        if row[0] != WITHHELD:
            said |= {"token": self.tokens[row[0]] if self.tokens else None, "label": spoken(self.labels[row[0]])}
        for name, value in attributes(self.conditions, row[1:]).items():
            said[name] = _listed(name, value) if isinstance(value, list) else value and spoken(value)
        clauses = [clause.strip() for clause in self.template.split(",")]
        filled = [PLACEHOLDER.sub(lambda found: said[found[1]], clause) for clause in clauses if _all_said(clause, said)]
        return ", ".join(filled)

    def longest(self) -> list[str]:
        """For each class the prompt that says all it can, each attribute by its longest word and every label of several."""
        most = [
            len(one.values) - 1 if one.label else max(range(len(one.values)), key=lambda at: len(one.values[at])) for one in self.conditions
        ]
        return [self.of([label, *most]) for label in range(len(self.labels))]

    def words(self) -> Iterable[str]:
        """Every word that a prompt can hold."""
        values = [value for condition in self.conditions for value in condition.values]
        values += [text for condition in self.conditions if condition.label for text in (condition.label, condition.attribute, "and no")]
        texts = [PLACEHOLDER.sub(" ", self.template), PLACEHOLDER.sub(" ", self.class_prompt), self.class_noun, *self.labels, *values]
        return dict.fromkeys(word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower()))


def _all_said(clause: str, said: dict[str, str | None]) -> bool:
    return all(said[name] is not None for name in PLACEHOLDER.findall(clause))


def _listed(name: str, labels: list[str]) -> str:
    return " and ".join(map(spoken, labels)) or f"no {spoken(name)}"


def _check(path: str, template: str, known: list[str]) -> set[str]:
    """The placeholders of a template. Raises ValueError for an unknown one and for braces that hold nothing."""
    found = PLACEHOLDER.findall(template)
    if "{" in PLACEHOLDER.sub("", template) or "}" in PLACEHOLDER.sub("", template):
        raise ValueError(f"{path} {template!r} has a brace that stands alone: placeholders look like {{token}}")
    for name in found:
        if name not in known:
            raise ValueError(
                f"{path} has {{{name}}}{nearest(name, known)}, which nothing fills: known are "
                f"{', '.join(f'{{{one}}}' for one in known)}; attributes are known once train.conditions names them"
            )
    return {*found}
