"""`run` over a build that pretends: how it ends, what it says, who waits for whom, and what is left when it is stopped."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


def wait_for(condition: Callable[[], object], seconds: float = 30) -> object:
    """The first true value of `condition`; fails the test if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    return pytest.fail(f"waited {seconds} s in vain")


def ends(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def only(workspace: Path, name: str) -> Path:
    (found,) = workspace.glob(f"data/logs/phantom-cxr/*/{name}")
    return found


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_release_ends_with_its_version_its_verdicts_and_the_next_command(inside):
    code, out, err = inside("run", scenario="released")
    assert code == 0
    assert "phantom-cxr@v1.2.0" in out
    assert out.split("mia")[1].split()[:5] == ["PASS", "0.0123", "-0.01", "to", "0.03"]
    assert next(line for line in err.splitlines() if line.startswith("train: ")) == "train: running"
    assert "train: done" in err
    assert err.splitlines()[-1].startswith("next: synthmill get phantom-cxr@v1.2.0")


def test_a_refusal_exits_with_3_and_names_gate_number_and_threshold(inside):
    code, out, _ = inside("run", scenario="refused")
    assert code == 3
    assert "refused: nothing was published" in out
    assert "  mia: FAIL · told apart\n" in out
    assert "0.0917" in out
    assert "≤ 0.05" in out


def test_a_failure_shows_the_words_of_the_log_that_tell_why(inside):
    code, out, _ = inside("run", scenario="failed")
    assert code == 1
    assert "  error: image 7 is torn: mend it\n" in out
    assert "noise" not in out
    assert "22:03:09" not in out


def test_a_build_that_dies_without_a_word_is_a_failure_with_its_exit_code(inside, workspace):
    code, out, _ = inside("run", scenario="dies")
    assert code == 1
    assert "ended with exit code 9 without saying why" in out
    assert json.loads(only(workspace, "outcome.json").read_text())["status"] == "failed"


def test_json_is_the_outcome_and_all_of_stdout(inside, workspace):
    code, out, _ = inside("run", "--json", scenario="refused")
    assert code == 3
    assert json.loads(out) == {**json.loads(only(workspace, "outcome.json").read_text()), "code": None}


def test_where_nothing_changed_no_build_starts_and_prefect_and_torch_stay_out(pretend, workspace):
    code, out, _ = ends(pretend("current", "run"))
    assert code == 0
    assert "nothing changed" in out
    assert "phantom-cxr@v1.2.0" in out
    assert not (workspace / "data").exists()
    assert not {"prefect", "torch", "mlflow", "great_expectations"} & set((workspace / "modules").read_text().split())


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_it_ends_the_build_and_all_that_the_build_started(pretend, workspace, signum, code):
    process = pretend("hangs", "run")
    wait_for(lambda: list(workspace.glob("data/logs/phantom-cxr/*/stray")) and only(workspace, "stray").read_text())
    flow, stray = int(only(workspace, "pid").read_text()), int(only(workspace, "stray").read_text())
    process.send_signal(signum)
    returned, _, err = ends(process)
    assert returned == code
    assert "stopped; what is whole is kept" in err
    assert "Traceback" not in err
    assert json.loads(only(workspace, "outcome.json").read_text())["status"] == "stopped"
    assert is_gone(flow)
    assert is_gone(stray)


def test_a_second_run_waits_for_the_first_and_says_for_whom(pretend, workspace):
    first = pretend("held", "run")
    wait_for(lambda: list(workspace.glob("data/logs/*/*/pid")))
    second = pretend("released", "run")
    assert second.stderr.readline() == f"waiting for another run (pid {first.pid})\n"
    (workspace / "go").touch()
    assert ends(first)[0] == 0
    assert ends(second)[0] == 0
    times = [[json.loads(line)["time"] for line in path.read_text().splitlines()] for path in workspace.glob("data/logs/*/*/events.jsonl")]
    one, two = sorted(times)
    assert one[-1] <= two[0]


def test_a_build_keeps_the_workspace_when_its_command_line_is_killed(pretend, workspace):
    first = pretend("held", "run")
    flow = int(wait_for(lambda: list(workspace.glob("data/logs/*/*/pid")) and only(workspace, "pid").read_text()))
    os.kill(first.pid, signal.SIGKILL)
    second = pretend("released", "run")
    assert second.stderr.readline().startswith("waiting for another run")
    assert not is_gone(flow)
    (workspace / "go").touch()
    assert ends(second)[0] == 0
    assert is_gone(flow)


def test_while_a_run_goes_on_who_asks_is_told_how_far_it_is(workspace, monkeypatch):
    from app import reading
    from schema.errors import SynthmillError
    from tasks.lock import workspace_lock

    monkeypatch.setenv("SYNTHMILL_ROOT", str(workspace))
    assert reading.running() is None
    log = workspace / "data/logs/pneumonia/20260101-000000-1/build.log"
    log.parent.mkdir(parents=True)
    log.write_text("")
    events = [
        {"time": 1.0, "event": "stage", "stage": "train", "state": "running"},
        {"time": 2.0, "stage": "train", "what": "training", "total": 10, "unit": "step", "done": 3, "note": ""},
    ]
    (log.parent / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    with workspace_lock():
        assert reading.running() == {"pid": os.getpid(), "dataset": "pneumonia", "stages": {"train": 0.3}, "log": str(log)}
        with pytest.raises(SynthmillError, match=r"a run of pneumonia goes on \(pid \d+\): train 30%"):
            reading.planned("pneumonia")
    assert reading.running() is None
