"""What the command line says and where: data on stdout, words on stderr, tables for people, JSON for programs."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = os.environ.get("SYNTHMILL_COMMAND", "synthmill")
"""How the user called us."""
COMMAND = shlex.quote(PROGRAM)
"""The same for a shell, so that the commands that we name can be pasted."""

STYLES = {"PASS": "green", "ok": "green", "FAIL": "red", "fail": "red", "failed": "red", "INSUFFICIENT": "yellow", "warn": "yellow"}


def console(stderr: bool = False) -> "Console":
    """A console that prints text as it is; where nobody looks (a pipe, a log), it never breaks a line to fit."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 1000
    return made


def say(text: str) -> None:
    """A word to the person, on stderr."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def next_step(command: str, why: str = "") -> None:
    """The last line of every verb: what to do next."""
    say(f"next: {COMMAND} {command}{f'   ({why})' if why else ''}")


def examples(*lines: str) -> str:
    """The head of a verb's --help: commands to paste. `\\b` keeps the lines as they are."""
    return "\b\n" + "\n".join(f"  {COMMAND} {line}".rstrip() for line in lines)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; a cell that is a status gets its colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console().print(table)


def number(value: float | None) -> str:
    """Four significant digits; a dash for what was not measured."""
    return "-" if value is None else f"{value:.4g}"


def some(sentences: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    more = len(sentences) - most
    return "; ".join(sentences[:most]) + (f"; and {more} more" if more > 0 else "")


def duration(seconds: float) -> str:
    """`8 s`, `1:05`, `1:02:03`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def verdict_rows(verdicts: Iterable[dict[str, Any]]) -> list[list[str]]:
    """The rows of the verdicts' table: gate, verdict, value, interval, threshold, null."""
    signs = {"at_most": "≤", "at_least": "≥"}
    rows = []
    for verdict in verdicts:
        interval, null = verdict.get("interval"), verdict.get("null")
        rows.append(
            [
                verdict["gate"] if verdict.get("required", True) else f"{verdict['gate']} (informs)",
                verdict["status"],
                number(verdict.get("value")),
                f"{number(interval[0])} to {number(interval[1])}" if interval else "-",
                f"{signs[verdict['direction']]} {number(verdict['threshold'])}",
                number(null["value"]) if null else "-",
            ]
        )
    return rows


VERDICT_COLUMNS = ("gate", "verdict", "value", "interval", "threshold", "null")
