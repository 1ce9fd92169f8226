"""How a build ended: what the flow wrote in outcome.json beside its events, and what is printed of it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.words import VERDICT_COLUMNS, duration, next_step, print_table, say, verdict_rows
from schema.digest import read_json, write_json
from schema.settings import root

EXIT_CODES = {"released": 0, "unchanged": 0, "built": 0, "refused": 3, "waiting": 4, "failed": 1, "stopped": 130}
OUTCOME = "outcome.json"
LOG_LINES = 12
COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUNNER = re.compile(r"\d\d:\d\d:\d\d\.\d+ \| ")
"""How Prefect's own lines begin: they repeat what a stage said."""


@dataclass(frozen=True)
class Outcome:
    """`status` is one of EXIT_CODES; `release` the folder of the built release; `verdicts` hold the fields of a Verdict;
    `code` is the exit code where the status alone does not say it (damaged bytes); `seconds`: how long it took, gates side by side."""

    dataset: str
    status: str
    version: str | None = None
    release: str | None = None
    report: str | None = None
    stages: Sequence[dict[str, Any]] = ()
    verdicts: Sequence[dict[str, Any]] = ()
    message: str = ""
    log: str | None = None
    code: int | None = None
    seconds: float | None = None

    @classmethod
    def read(cls, path: Path) -> "Outcome":
        return cls(**read_json(path))

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.status, 1) if self.code is None else self.code

    @property
    def tag(self) -> str | None:
        return f"{self.dataset}@{self.version}" if self.version and self.status in ("released", "unchanged") else None


def logs_folder(dataset: str) -> Path:
    return root() / "data" / "logs" / dataset


def last_outcome(dataset: str) -> Outcome | None:
    """The outcome of the newest run that wrote one, whoever started it."""
    written = [*logs_folder(dataset).glob(f"*/{OUTCOME}"), *logs_folder(dataset).glob(OUTCOME)]
    for path in sorted(written, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            return Outcome.read(path)
        except (ValueError, TypeError):
            say(f"warning: {path} is damaged and passed over")
    return None


def relevant_lines(log: Path) -> list[str]:
    """The end of a log that tells why: from the last line that begins with `error:`, else its last lines. Without colours
    and, after an error, without the runner's lines."""
    if not log.is_file():
        return []
    lines = [COLOUR.sub("", line).rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if line]
    errors = [position for position, line in enumerate(lines) if line.lstrip().lower().startswith("error:")]
    if not errors:
        return lines[-LOG_LINES:]
    return [line for line in lines[errors[-1] :] if not RUNNER.match(line)][:LOG_LINES]


HEADS = {
    "released": "released {tag}",
    "unchanged": "nothing changed",
    "built": "built, not published",
    "refused": "refused: nothing was published",
    "waiting": "built, and nothing was published",
    "failed": "failed",
    "stopped": "stopped",
}


def print_summary(outcome: Outcome) -> None:
    """The closing summary on stdout, and the next command."""
    head = HEADS.get(outcome.status, outcome.status).format(tag=outcome.tag)
    print(f"\n{outcome.dataset}: {head}{f' · {outcome.message}' if outcome.message else ''}")
    facts = {
        "version": outcome.version,
        "tag": outcome.tag,
        "release": outcome.release,
        "report": outcome.report,
        "log": outcome.log,
        "took": duration(outcome.seconds) if outcome.seconds else None,
    }
    for name, value in facts.items():
        if value:
            print(f"  {name:8} {value}")
    if outcome.verdicts:
        print()
        print_table(VERDICT_COLUMNS, verdict_rows(outcome.verdicts))
    if outcome.status == "failed" and outcome.log:
        print(f"\nthe end of {outcome.log}:")
        print("\n".join(f"  {line}" for line in relevant_lines(Path(outcome.log))))
    print()
    next_step(*what_next(outcome))


def what_next(outcome: Outcome) -> tuple[str, str]:
    if outcome.tag:
        return f"get {outcome.tag} --to FOLDER", "the released files; `verify` checks them"
    return {
        "refused": (f"report {outcome.dataset} --open", "why, with the images"),
        "waiting": (f"approve {outcome.dataset} --by NAME --role ROLE --reason TEXT", "or `refuse`; `run` then publishes"),
        "failed": (f"run {outcome.dataset}", "after mending it: what is whole is kept"),
        "stopped": (f"run {outcome.dataset}", "goes on from there: what is whole is kept"),
    }.get(outcome.status, (f"run {outcome.dataset}", "publishes what was built"))


def write_failure(folder: Path, outcome: Outcome) -> None:
    """Writes, for `status` to find, what the flow did not live to write; what it wrote itself stays."""
    if not (folder / OUTCOME).exists():
        write_json(folder / OUTCOME, asdict(outcome))
