"""metadata.csv: what a format has no room for, a line for each record. UTF-8, commas, a header (RFC 4180)."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schema.digest import canonical_json
from tasks.exports import Folder, Synthetic

NAME = "metadata.csv"


class Lines:
    def __init__(self, stream: Any, columns: Iterable[str]) -> None:
        self.writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
        self.writer.writeheader()

    def add(self, record: Synthetic, **first: str) -> None:
        """A list of words is written as JSON, so that none of its words can be taken for two; None is an empty cell."""
        said = {name: canonical_json(value) if isinstance(value, list) else value for name, value in record.said.items()}
        self.writer.writerow({**first, **said})


@contextmanager
def lines(folder: Path, release: Folder, *first: str) -> Iterator[Lines]:
    """Opens `folder`/metadata.csv with the columns `first` and those of a record."""
    words = dict.fromkeys(condition.attribute for condition in release.conditions)
    with (folder / NAME).open("w", encoding="utf-8", newline="") as stream:
        yield Lines(stream, (*first, "id", "label", "label_name", *words, "seed", "sha256"))
