"""The forms in which records leave the house. An export is one file here: a class `Plugin` with a `kind` and `write`.

class Plugin(Export):
    kind = "my-format"
    def write(self, release, folder): ...
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from schema.conditions import Condition


@dataclass(frozen=True)
class Draft:
    """What is to be released: `shards`, Parquet files of `schema.record.synthetic_schema(classes, conditions)` whose bytes were checked;
    together they hold `rows` records."""

    dataset: str
    classes: list[str]
    shards: list[Path]
    rows: int
    conditions: list[Condition] = field(default_factory=list)


class Export:
    kind: ClassVar[str]

    def write(self, release: Draft, folder: Path) -> None:
        """Writes every record of the release into files under `folder`. Deterministic: the same records, the same bytes,
        however they are spread over shards. Memory: a few hundred records, never all of them."""
        raise NotImplementedError
