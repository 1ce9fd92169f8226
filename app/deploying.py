"""`deploy`: what prefect.yaml would have a server run, and the program that registers it."""

import os
import subprocess
import sys

import yaml

from schema.errors import SynthmillError
from schema.settings import root


def deployments() -> tuple[str | None, list[tuple[str, str, str]]]:
    """The server's address, None where the environment names none, and rows of (name, dataset, when)."""
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
    return os.environ.get("PREFECT_API_URL"), rows


def when(schedule: dict) -> str:
    return f"{schedule['cron']} {schedule.get('timezone', '')}".strip() if "cron" in schedule else str(schedule)


def register() -> int:
    """Runs the program that registers them, its words on stderr; its exit code."""
    from tasks.graph import environment

    return subprocess.run([sys.executable, "-m", "flows.deploy"], cwd=root(), env=environment(), stdout=sys.stderr, check=False).returncode
