"""How far a stage is: JSON lines for the command line to draw when it runs the stage, else a bar of its own on stderr."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schema.settings import events_file


class Ticker:
    """Says how many units of a stage's step are done. Cheap enough to call on each one."""

    def __init__(self, stage: str, what: str, total: int, unit: str, report) -> None:
        self.event = {"stage": stage, "what": what, "total": total, "unit": unit}
        self.done = 0
        self._report = report
        self._last = 0.0
        self.update(0)

    def update(self, advance: int = 1, note: str = "") -> None:
        """`advance` more units are done; `note` is a short figure to show, such as the loss."""
        self.done += advance
        now = time.monotonic()
        if now - self._last > 0.2 or self.done >= self.event["total"] or self.done == 0:
            self._last = now
            self._report({**self.event, "done": self.done, "note": note})


@contextmanager
def ticking(stage: str, what: str, total: int, unit: str, done: int = 0) -> Iterator[Ticker]:
    """A step of a stage that has `total` units of work, `done` of them by an earlier run."""
    path = events_file()
    if path is not None:
        with path.open("a", encoding="utf-8") as stream:

            def report(event: dict) -> None:
                stream.write(json.dumps({"time": time.time(), **event}) + "\n")
                stream.flush()

            ticker = Ticker(stage, what, total, unit, report)
            ticker.update(done)
            yield ticker
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr)) as bars:
        bar = bars.add_task(f"{stage}: {what}", total=total, note="")
        ticker = Ticker(stage, what, total, unit, lambda event: bars.update(bar, completed=event["done"], note=event["note"]))
        ticker.update(done)
        yield ticker
