"""Where a build is, by the events that its stages write: read as they come, kept a row a stage."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUNNING = "running"
ENDED = ("done", "unchanged", "refused", "failed")


class Events:
    """The events file, read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """The events that were added since the last call. A line that is still being written is left for later; one that a
        killed stage left torn costs a picture of its progress, never the build."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as stream:
            stream.seek(self._read)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return [event for event in map(_parse, whole.splitlines()) if event]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


@dataclass
class Row:
    """A stage: its state, and the step it is in (`done` of `total` units, begun at `since` with `already` of them done)."""

    title: str
    state: str = "waiting"
    what: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    note: str = ""
    began: float | None = None
    ended: float | None = None
    since: float = 0.0
    already: int = 0

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0

    def left(self, now: float) -> float | None:
        """Seconds left of the step, at its mean pace so far; None before there is a pace."""
        worked, passed = self.done - self.already, now - self.since
        return passed * (self.total - self.done) / worked if worked > 0 and passed > 1 else None

    def elapsed(self, now: float) -> float:
        return (now if self.ended is None else self.ended) - self.began if self.began is not None else 0.0


class Board:
    """A row for each stage, kept up to date by events. A stage that nobody announced gets a row when it first speaks."""

    def __init__(self, dataset: str, titles: Iterable[str]) -> None:
        self.dataset = dataset
        self.rows = {title: Row(title) for title in titles}

    @property
    def waiting_for_first(self) -> bool:
        return all(row.state == "waiting" for row in self.rows.values())

    def apply(self, event: dict[str, Any]) -> Row:
        """The row that the event is about, brought up to date."""
        row = self.rows.setdefault(event["stage"], Row(event["stage"]))
        if event.get("event") == "stage":
            row.state = event["state"]
            if row.state == RUNNING:
                row.began, row.ended, row.total = event["time"], None, 0
            else:
                row.ended, row.note = event["time"], ""
            return row
        if row.state not in ENDED:
            row.state = RUNNING
            row.began = event["time"] if row.began is None else row.began
        if event["what"] != row.what or event["total"] != row.total or event["done"] < row.done:
            row.since, row.already = event["time"], event["done"]
        row.what, row.done, row.total, row.unit = event["what"], event["done"], event["total"], event["unit"]
        row.note = event["note"] or row.note
        return row
