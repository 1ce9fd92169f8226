"""Draws a build's board on stderr: rows that move on a terminal, a few plain lines where there is none."""

import time
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from app.progress import ENDED, RUNNING, Board, Row
from app.words import duration

STYLES = {"running": "bold", "done": "green", "unchanged": "dim", "refused": "bold red", "failed": "bold red", "waiting": "dim"}
PLAIN_EVERY = 5.0
"""Seconds at least between two plain lines of one stage."""


class Drawing(Protocol):
    def __enter__(self) -> "Drawing": ...

    def __exit__(self, *exception: object) -> None: ...

    def event(self, row: Row) -> None:
        """Called after the row changed."""


def drawing(board: Board, console: Console) -> Drawing:
    return Bars(board, console) if console.is_terminal else Lines(board, console)


class Bars:
    """A table that is drawn anew four times a second."""

    def __init__(self, board: Board, console: Console) -> None:
        self.board = board
        self._spinner = Spinner("line", f"starting the build of {board.dataset}, about 10 seconds")
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> "Bars":
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)

    def event(self, row: Row) -> None:
        pass  # the next refresh draws it

    def _draw(self) -> Group | Table:
        now = time.time()
        table = Table.grid(padding=(0, 2))
        for row in self.board.rows.values():
            style = STYLES.get(row.state, "")
            words = (Text(row.title, style), Text(row.state, style))
            table.add_row(*words, _bar(row), Text(_count(row)), Text(_clock(row, now)), Text(_note(row), "dim"))
        return Group(self._spinner, table) if self.board.waiting_for_first else table


class Lines:
    """A line when a stage starts or ends, and in a long step one for each tenth of it."""

    def __init__(self, board: Board, console: Console) -> None:
        self.board = board
        self.console = console
        self._said: dict[str, tuple[str, str, int, float]] = {}

    def __enter__(self) -> "Lines":
        self.console.print(f"starting the build of {self.board.dataset}")
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def event(self, row: Row) -> None:
        now = time.time()
        state, what, tenth, when = self._said.get(row.title, ("", "", 0, 0.0))
        here = int(row.share * 10)
        if row.state != state:
            took = f" in {duration(row.elapsed(now))}" if row.state == "done" else ""
            self.console.print(f"{row.title}: {row.state}{took}")
        elif row.state != RUNNING or (row.what, here) == (what, tenth) or now - when < PLAIN_EVERY:
            return
        else:
            share = f"{int(row.share * 100)} %" if row.total else ""
            self.console.print(f"{row.title}: " + ", ".join(filter(None, (share, _count(row), _clock(row, now), _note(row)))))
        self._said[row.title] = (row.state, row.what, here, now)


def _bar(row: Row) -> ProgressBar:
    if row.state in ENDED:
        return ProgressBar(total=1, completed=0 if row.state in ("refused", "failed") else 1, width=24)
    pulse = row.state == RUNNING and not row.total
    return ProgressBar(total=row.total or 1, completed=row.done, width=24, pulse=pulse)


def _count(row: Row) -> str:
    return f"{row.done}/{row.total} {row.unit}{'' if row.total == 1 else 's'}" if row.state == RUNNING and row.total else ""


def _clock(row: Row, now: float) -> str:
    if row.state == RUNNING:
        left = row.left(now) if row.total else None
        return f"{duration(left)} left" if left is not None else duration(row.elapsed(now))
    return "" if row.began is None else duration(row.elapsed(now))


def _note(row: Row) -> str:
    return "  ".join(filter(None, (row.what, row.note))) if row.state == RUNNING else ""
