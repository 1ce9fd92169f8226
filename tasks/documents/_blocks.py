"""What a document is made of: sections of paragraphs, tables, forms to sign, and claims, each of which names what it stands on."""

from dataclasses import dataclass, field
from typing import Any

NOT_EVIDENCED = "not evidenced"


@dataclass(frozen=True)
class Claim:
    """`words` stand on the statements `on`, by digest; None: the record has nothing for it, and `why` may say more.

    Raises ValueError for words that stand on nothing.
    """

    words: str | None
    on: tuple[str, ...] = ()
    why: str = ""
    status: str = ""

    def __post_init__(self) -> None:
        if self.words is not None and not self.on:
            raise ValueError(f"a claim without evidence: {self.words!r}")

    @property
    def evidenced(self) -> bool:
        return self.words is not None


NOTHING = Claim(None)


@dataclass(frozen=True)
class Words:
    """A paragraph of the document's own: it explains, and claims nothing of the dataset."""

    text: str
    kind: str = "words"


@dataclass(frozen=True)
class Table:
    """`rows`: a header and then cells, each a text or a Claim."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    kind: str = "table"


@dataclass(frozen=True)
class Form:
    """Lines that a person fills in."""

    caption: str
    lines: tuple[str, ...]
    kind: str = "form"


@dataclass(frozen=True)
class Code:
    """A text to copy, as it is."""

    caption: str
    text: str
    on: tuple[str, ...] = ()
    kind: str = "code"


@dataclass(frozen=True)
class Section:
    title: str
    blocks: list[Any] = field(default_factory=list)


def claims(sections: list[Section]) -> list[Claim]:
    """Every claim that the sections make, in order."""
    tables = [block for section in sections for block in section.blocks if isinstance(block, Table)]
    return [cell for table in tables for row in table.rows for cell in row if isinstance(cell, Claim)]
