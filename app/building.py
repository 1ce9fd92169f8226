"""`run`: checks all that can be known beforehand, then builds in a process of its own and draws how far it is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from app import child
from app.outcome import OUTCOME, Outcome, logs_folder, write_failure
from app.progress import Board, Events
from app.reading import full_name
from app.words import console, say
from schema.settings import root

FLOW = [sys.executable, "-m", "flows.build"]
POLL = 0.1
"""Seconds between two looks at the events of a build."""


def build(dataset: str, publish: bool = True, force: str | None = None) -> Outcome:
    """Builds, gates and publishes the dataset, or tells that nothing changed. Raises SynthmillError before any long work."""
    from schema.params import load
    from tasks import check, graph
    from tasks.lock import workspace_lock

    source = check.check(dataset)
    params = load()
    stages = graph.stages(dataset, params)
    forced = full_name(force, dataset, stages) if force else None
    if publish:
        from catalog.publish import preflight

        preflight(dataset)
    with workspace_lock(say) as lock:
        # Another run may have been waited for, and much can have changed meanwhile.
        source, params = check.check(dataset), load()
        if not forced and not graph.stale(dataset, params, source):
            outcome = nothing_changed(dataset, params.panel, publish)
            if outcome:
                return outcome
        command = [*FLOW, dataset, *([] if publish else ["--no-publish"]), *(["--force-stage", forced] if forced else [])]
        titles = [*(graph.title(stage, dataset) for stage in stages), *(["publish"] if publish else [])]
        return watch(dataset, command, titles, lock)


def nothing_changed(dataset: str, panel: list[str], publish: bool) -> Outcome | None:
    """The outcome of a build that has nothing to do; None if what is built has yet to be published."""
    from catalog import publish as publishing
    from catalog import signoff
    from schema.params import load
    from schema.verdict import Verdict
    from tasks import budget
    from tasks.stage import reports_folder, verdict_file

    if publish and publishing.released(dataset) is None:
        return None
    # Publishing what is released only finishes what was cut short, such as a push to the git remote.
    release = publishing.publish(dataset, budget.demand) if publish else None
    standing = signoff.standing(dataset, release.digests, load().dataset(dataset).policy) if release else None
    refused = f"refused after it was released: {'; '.join(standing.lacking)}" if standing and standing.state == "refused" else ""
    written = filter(Path.is_file, (verdict_file(dataset, gate) for gate in panel))
    return Outcome(
        dataset=dataset,
        status="unchanged",
        message=refused,
        version=release.version if release else None,
        release=str(root() / "data" / "releases" / dataset),
        report=str(reports_folder(dataset) / "report" / "internal.html"),
        verdicts=[Verdict.load(path).model_dump(mode="json") for path in written],
    )


def watch(dataset: str, command: list[str], titles: list[str], lock: int) -> Outcome:
    """Runs the build and draws it until it ends. A signal to stop ends it with all that it started, then raises Stopped."""
    from app.drawing import drawing
    from tasks.graph import environment

    folder = logs_folder(dataset) / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True)
    log, events = folder / "build.log", Events(folder / "events.jsonl")
    board = Board(dataset, titles)
    with child.stop_signals():
        settings = environment() | {"SYNTHMILL_EVENTS": str(events.path), "PYTHONUNBUFFERED": "1"}
        process = child.start(command, root(), log, settings, keep=(lock,))
        try:
            with drawing(board, console(stderr=True)) as picture:
                _follow(process, lambda: [picture.event(board.apply(event)) for event in events.new()])
        except child.Stopped:
            say(f"stopping the build of {dataset} (once more to stop it at once)")
            child.end(process)
            write_failure(folder, Outcome(dataset, "stopped", message="by the person or the machine that ran it", log=str(log)))
            say(f"stopped; what is whole is kept, and the same command goes on from there. The log: {log}")
            raise
        finally:
            child.end(process)
    return _outcome(dataset, process.returncode, folder, log)


def _follow(process: subprocess.Popen, draw: Callable[[], object]) -> None:
    while process.poll() is None:
        draw()
        time.sleep(POLL)
    draw()


def _outcome(dataset: str, returncode: int, folder: Path, log: Path) -> Outcome:
    how = f"was ended by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"
    write_failure(folder, Outcome(dataset, "failed", message=f"the build {how} without saying why", log=str(log)))
    return Outcome.read(folder / OUTCOME)
