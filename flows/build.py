"""Builds a dataset from its source to its tag: a task run a stage, the verdicts and the report on the run's page.

python -m flows.build pneumonia [--no-publish] [--force-stage train@pneumonia]
"""

import argparse
import itertools
import json
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from catalog.database import index
from catalog.publish import preflight, publish, released
from schema.digest import read_json, write_json
from schema.errors import ApprovalNeeded, GateFailed, IntegrityError, SynthmillError
from schema.params import load
from schema.release import check_name
from schema.settings import events_file, gates_at_once, quieten, root
from schema.verdict import Verdict
from tasks import budget
from tasks.check import check
from tasks.graph import could_now_measure, is_gate, reproduce, stages, stale, title
from tasks.lock import workspace_lock
from tasks.stage import reports_folder

HOURS = 3600
KILLED = (-9, -15, 137, 143)
"""Exit codes of a stage that was ended from outside: worth another try, since stages resume."""


EXIT_CODES = {"refused": GateFailed.exit_code, "waiting": ApprovalNeeded.exit_code, "failed": SynthmillError.exit_code}


class StageFailed(SynthmillError):
    """A stage ended with an error of its own; `code` is its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _was_killed(_task, _run, state: State) -> bool:
    return isinstance(error := state.result(raise_on_failure=False), StageFailed) and error.code in KILLED


def outcome_file(dataset: str) -> Path:
    """Where the outcome of a build is written: beside the events that its starter watches, else among the dataset's logs."""
    events = events_file()
    return (events.parent if events else root() / "data" / "logs" / dataset) / "outcome.json"


class Journal:
    """What the run tells whoever watches it: events as they happen, and the outcome at the end, beside them."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self.events = events_file()
        self.outcome = outcome_file(dataset)
        self.outcome.parent.mkdir(parents=True, exist_ok=True)
        self.log = self.outcome.with_name("build.log")
        self.ran: dict[str, dict[str, Any]] = {}
        self.warnings: list[str] = []
        self.began = time.time()
        # An outcome of an earlier run must not be taken for this one's.
        self.outcome.unlink(missing_ok=True)

    def say(self, stage: str, state: str) -> None:
        now = time.time()
        entry = self.ran.setdefault(stage, {"stage": stage, "state": state, "started": now, "seconds": 0.0})
        if state == "running":
            entry["started"] = now
        entry["state"] = state
        entry["seconds"] = round(now - entry["started"], 1)
        if self.events:
            with self.events.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"time": now, "event": "stage", "stage": stage, "state": state}) + "\n")

    def close(self, status: str, message: str = "", code: int | None = None, **more: Any) -> dict[str, Any]:
        report = reports_folder(self.dataset) / "report" / "internal.html"
        verdicts = self._verdicts()
        outcome = {
            "dataset": self.dataset,
            "status": status,
            "version": None,
            "release": None,
            "report": str(report) if report.is_file() else None,
            "stages": [{key: entry[key] for key in ("stage", "state", "seconds")} for entry in self.ran.values()],
            "verdicts": verdicts,
            "message": "\n".join([*filter(None, [message]), *self.warnings]),
            "code": EXIT_CODES.get(status, 0) if code is None else code,
            "log": str(self.log),
            "seconds": round(time.time() - self.began, 1),
            **more,
        }
        write_json(self.outcome, outcome)
        return outcome

    def _verdicts(self) -> list[dict[str, Any]]:
        try:
            return verdict_rows(self.dataset)
        except (IntegrityError, ValueError) as error:
            # Said beside the outcome, which must be written whatever lies there.
            self.warnings.append(f"the verdicts cannot be shown: {error}")
            return []


def verdict_rows(dataset: str) -> list[dict[str, Any]]:
    """The verdicts as they lie there now, short enough for a table."""
    keys = ("gate", "status", "value", "interval", "threshold", "direction", "required", "reason", "null")
    found = sorted((reports_folder(dataset) / "gates").glob("*/verdict.json"))
    return [{key: said[key] for key in keys} for path in found if path.is_file() for said in [Verdict.load(path).model_dump(mode="json")]]


@task(
    task_run_name="{stage}",
    cache_policy=NO_CACHE,
    persist_result=False,
    timeout_seconds=12 * HOURS,
    retries=2,
    retry_delay_seconds=10,
    retry_condition_fn=_was_killed,
)
def run_stage(stage: str, dataset: str, force: bool, journal: Journal) -> bool:
    """Runs a stage in its own process if DVC finds it changed; whether it ran. Raises StageFailed with the stage's own words."""
    name = title(stage, dataset)
    journal.say(name, "running")
    ran = reproduce(stage, journal.log, force)
    if ran.code:
        journal.say(name, "refused" if ran.code == GateFailed.exit_code else "failed")
        raise StageFailed(ran.message, ran.code)
    journal.say(name, "done" if ran.changed else "unchanged")
    get_run_logger().info("%s: %s", name, "done" if ran.changed else "did not change")
    return ran.changed


@task(task_run_name="publish", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=1 * HOURS)
def publish_release(dataset: str, journal: Journal) -> dict[str, Any]:
    """Pushes the release's bytes, verifies them, tags them, and marks the model as released."""
    from tasks.tracking import mark_released

    journal.say("publish", "running")
    try:
        release = publish(dataset, budget.demand)
    except SynthmillError as error:
        journal.say("publish", "refused" if isinstance(error, (ApprovalNeeded, GateFailed)) else "failed")
        raise
    model = read_json(root() / "data" / "releases" / dataset / "provenance.json")["model"]["digest"]
    try:
        mark_released(dataset, model, release.tag)
    except Exception as error:  # noqa: BLE001  whatever the tracking server's fault is, the release is out and stays out
        journal.warnings.append(f"the model registry was not told of {release.tag}: {error}")
    try:
        index.add(release)
    except Exception as error:  # noqa: BLE001  the index is made from tags, and catches up when it is opened next
        journal.warnings.append(f"the catalog's index lacks {release.tag} until somebody searches it: {error}")
    journal.say("publish", "done")
    return release.model_dump(mode="json")


@flow(
    name="build",
    flow_run_name="build {dataset}",
    persist_result=False,
    timeout_seconds=48 * HOURS,
    validate_parameters=True,
    task_runner=ThreadPoolTaskRunner(max_workers=gates_at_once()),
)
def build(dataset: str, publish: bool = True, force_stage: str | None = None) -> State:
    """Brings a dataset up to date and publishes it if every required gate passed. Refusal is a failed run named `Refused`."""
    quieten()
    check_name(dataset)
    journal = Journal(dataset)
    try:
        # A build that the command line started was handed the lock that it holds.
        with nullcontext() if journal.events else workspace_lock(get_run_logger().info):
            outcome = _build(dataset, publish, force_stage, journal)
    except GateFailed as error:
        outcome = journal.close("refused", str(error))
    except ApprovalNeeded as error:
        outcome = journal.close("waiting", str(error), release=str(root() / "data" / "releases" / dataset))
    except (SynthmillError, OSError) as error:
        journal.close("failed", str(error), code=getattr(error, "code", getattr(error, "exit_code", 1)))
        return Failed(message=str(error))
    _show(dataset, outcome)
    if outcome["status"] == "refused":
        return Failed(name="Refused", message=outcome["message"])
    if outcome["status"] == "waiting":
        return Completed(name="AwaitingApproval", message=outcome["message"])
    return Completed(message=f"{outcome['status']} {outcome['version'] or ''}".strip())


def run_gates(due: list[tuple]) -> None:
    """Runs the gates, which do not read one another, a few at a time. One that ends with an error stops none of the others; the
    first such error is raised when all have ended."""
    ended = [future.result(raise_on_failure=False) for future in [run_stage.submit(*asked) for asked in due]]
    for result in ended:
        if isinstance(result, Exception):
            raise result


def _build(dataset: str, publishing: bool, force: str | None, journal: Journal) -> dict[str, Any]:
    source = check(dataset)
    if publishing:
        preflight(dataset)
    params = load()
    waiting = stale(dataset, params, source, force)
    names = stages(dataset, params)
    for gating, group in itertools.groupby(names, key=is_gate):
        due = []
        for stage in group:
            if stage in waiting:
                due.append((stage, dataset, stage == force or could_now_measure(stage, dataset), journal))
            else:
                journal.say(title(stage, dataset), "unchanged")
        try:
            if gating:
                run_gates(due)
            else:
                for asked in due:
                    run_stage(*asked)
        except StageFailed as error:
            if error.code == GateFailed.exit_code:
                raise GateFailed(str(error)) from error
            raise
    folder = str(root() / "data" / "releases" / dataset)
    if not publishing:
        return journal.close("built", release=folder)
    before = released(dataset)
    release = publish_release(dataset, journal)
    return journal.close("unchanged" if before else "released", version=release["version"], release=folder)


def _show(dataset: str, outcome: dict[str, Any]) -> None:
    """Puts the verdicts, the report and the outcome on the run's page."""
    rows = [
        {
            "gate": row["gate"],
            "verdict": row["status"],
            "required": "yes" if row["required"] else "no",
            "excess": "" if row["value"] is None else f"{row['value']:.4f}",
            "interval": "" if row["interval"] is None else "{:.4f} to {:.4f}".format(*row["interval"]),
            "threshold": f"{row['threshold']:g}",
            "reason": row["reason"],
        }
        for row in outcome["verdicts"]
    ]
    create_table_artifact(table=rows, key=f"{dataset}-verdicts", description=f"Verdicts of {dataset}")
    if outcome["report"]:
        create_link_artifact(link=Path(outcome["report"]).as_uri(), link_text="Privacy and quality report", key=f"{dataset}-report")
    words = f"**{outcome['status']}** {outcome['version'] or ''}\n\n{outcome['message']}"
    create_markdown_artifact(markdown=words, key=f"{dataset}-outcome", description=f"How the build of {dataset} ended")


def main() -> None:
    """Runs the flow here and exits as the outcome says: 0 released, built or unchanged, 3 refused, 4 approval needed, 1 failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--no-publish", action="store_true", help="build and gate, publish nothing")
    parser.add_argument("--force-stage", help="a stage by its name in dvc.yaml, run again though nothing changed")
    asked = parser.parse_args()
    os.chdir(root())
    build(asked.dataset, publish=not asked.no_publish, force_stage=asked.force_stage, return_state=True)
    outcome = outcome_file(asked.dataset)
    sys.exit(read_json(outcome)["code"] if outcome.is_file() else 1)


if __name__ == "__main__":
    main()
