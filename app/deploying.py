"""`deploy`: what prefect.yaml would have a server run, and the program that registers it."""

import os
import subprocess
import sys
from collections.abc import Sequence

import yaml

from schema.errors import SynthmillError, UsageError
from schema.params import nearest
from schema.settings import root


def deployments(dataset: str | None = None) -> tuple[str | None, list[tuple[str, str, str]]]:
    """The server's address, None where the environment names none, and rows of (name, dataset, when), of one dataset if it is given.

    Raises UsageError for a dataset that has none.
    """
    path = root() / "prefect.yaml"
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: run this in a checkout of synthmill, or set SYNTHMILL_ROOT")
    found = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
    rows = [
        (
            each["name"],
            each["parameters"].get("dataset", "(asked for)"),
            ", ".join(when(s) for s in each.get("schedules", [])) or "on demand",
        )
        for each in found
    ]
    known = sorted({of for _, of, _ in rows})
    rows = [row for row in rows if dataset in (None, row[1])]
    if not rows:
        raise UsageError(f"prefect.yaml has no deployment for {dataset!r}{nearest(dataset, known)}; it has for: {', '.join(known)}")
    return os.environ.get("PREFECT_API_URL"), rows


def when(schedule: dict) -> str:
    return f"{schedule['cron']} {schedule.get('timezone', '')}".strip() if "cron" in schedule else str(schedule)


def register(names: Sequence[str]) -> int:
    """Runs the program that registers these deployments, its words on stderr; its exit code."""
    from tasks.graph import environment

    command = [sys.executable, "-m", "flows.deploy", *names]
    return subprocess.run(command, cwd=root(), env=environment(), stdout=sys.stderr, check=False).returncode
