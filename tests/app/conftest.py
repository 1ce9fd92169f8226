"""A workspace of its own for each test, and the command line in this process or one of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import pretend as put_pretence

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with params.yaml and a `.dvc`, but no git repository."""
    (tmp_path / ".dvc").mkdir()
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def environment(workspace: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHMILL_")}
    return {**kept, "SYNTHMILL_ROOT": str(workspace), "PYTHONPATH": str(CHECKOUT)}


@pytest.fixture
def synthmill(workspace: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the command line to its end in a process of its own."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-P", "-m", "app.cli", *words]
        return subprocess.run(command, cwd=workspace, env=environment | more, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def inside(workspace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process, `scenario` being one of driver.py; its exit code, stdout and stderr."""
    from app import cli

    monkeypatch.setenv("SYNTHMILL_ROOT", str(workspace))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(*words: str, scenario: str | None = None) -> tuple[int, str, str]:
        if scenario:
            put_pretence(scenario, monkeypatch.setattr)
        monkeypatch.setattr(sys, "argv", ["synthmill", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capfd.readouterr()

    return run


@pytest.fixture
def pretend(workspace: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen]:
    """Starts driver.py in a process of its own; what is still running at the end of the test is killed."""
    started: list[subprocess.Popen] = []

    def start(scenario: str, *words: str) -> subprocess.Popen:
        command = [sys.executable, str(Path(__file__).with_name("driver.py")), scenario, *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=workspace, env=environment, text=True, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
