"""The `mill` script over a stand-in for Python that notes what it was asked and installs nothing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MILL = Path(__file__).resolve().parents[2] / "mill"
STAND_IN = """#!/bin/sh
# python, as far as mill uses it: `-m venv` makes an environment whose python is this file again.
case "$*" in
    *_base_executable*) echo "$FAKE"; exit ;;
    -c*) exec "{python}" "$@" ;;
    "-P -m app.cli"*) echo "ran: $*"; exit ;;
esac
echo "$2" >>"$ASKED"
case "$2" in
    venv) mkdir -p "$4/bin" && ln -s "$FAKE" "$4/bin/python" ;;
    ensurepip) mkdir -p "${{0%/bin/python}}/lib/python3.11/site-packages/pip" ;;
    uv) sleep "${{UV_TAKES:-0}}"; [ -z "${{UV_SAYS:-}}" ] || {{ echo "$UV_SAYS" >&2; exit 2; }} ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a path with a space, with a lock file of one package, and the stand-in as the only Python on PATH."""
    folder = tmp_path / "a checkout"
    (folder / "bin").mkdir(parents=True)
    shutil.copy(MILL, folder)
    (folder / "requirements.lock").write_text("six==1.17.0\n")
    python = folder / "bin" / "python3.11"
    python.write_text(STAND_IN.format(python=sys.executable))
    python.chmod(0o755)
    return folder


@pytest.fixture
def environment(checkout: Path) -> dict[str, str]:
    path = f"{checkout / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return {"PATH": path, "FAKE": str(checkout / "bin" / "python3.11"), "ASKED": str(checkout / "asked")}


@pytest.fixture
def mill(checkout: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess]:
    def run(*words: str, script: Path | None = None, **more: str) -> subprocess.CompletedProcess:
        command = [str(script or checkout / "mill"), *words]
        return subprocess.run(command, cwd="/", env=environment | more, capture_output=True, text=True, timeout=60, check=False)

    return run


def asked(checkout: Path) -> list[str]:
    """The modules that were run since the last time that this was asked."""
    note = checkout / "asked"
    said = note.read_text().split() if note.exists() else []
    note.unlink(missing_ok=True)
    return said


def test_the_first_start_sets_up_and_the_second_goes_straight_on(mill, checkout):
    first = mill("run", "two words")
    assert first.stdout == "ran: -P -m app.cli run two words\n"
    assert "setting up: 1 packages" in first.stderr
    assert asked(checkout) == ["venv", "ensurepip", "pip", "uv"]
    second = mill("list")
    assert (second.stdout, second.stderr) == ("ran: -P -m app.cli list\n", "")
    assert asked(checkout) == []


def test_a_benchmark_that_is_not_there_is_named_with_those_that_are(mill, checkout):
    (checkout / "bench").mkdir()
    (checkout / "bench" / "gates.py").write_text("")
    asked_for = mill("bench", "gate")
    assert asked_for.returncode == 1
    assert "one of: gates" in asked_for.stderr


def test_it_works_through_symbolic_links(mill, checkout, tmp_path):
    (tmp_path / "first").symlink_to("a checkout/mill")
    (tmp_path / "second").symlink_to(tmp_path / "first")
    assert mill("list", script=tmp_path / "second").returncode == 0
    assert (checkout / ".venv" / "made-from").is_file()


def test_a_changed_lock_file_is_installed_over_what_is_there(mill, checkout):
    mill("list")
    asked(checkout)
    (checkout / "requirements.lock").write_text("six==1.18.0\n")
    assert mill("list").returncode == 0
    assert asked(checkout) == ["pip", "uv"]


def test_an_environment_that_lost_pip_gets_it_again(mill, checkout):
    mill("list")
    asked(checkout)
    shutil.rmtree(checkout / ".venv" / "lib")
    (checkout / "requirements.lock").write_text("six==1.18.0\n")
    assert mill("list").returncode == 0
    assert asked(checkout) == ["ensurepip", "pip", "uv"]


def test_a_checkout_that_moved_gets_a_new_environment(mill, checkout, environment):
    mill("list")
    asked(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    here = environment | {
        "PATH": f"{moved / 'bin'}:/usr/bin:/bin",
        "FAKE": str(moved / "bin" / "python3.11"),
        "ASKED": str(moved / "asked"),
    }
    assert mill("list", script=moved / "mill", **here).returncode == 0
    assert asked(moved) == ["venv", "ensurepip", "pip", "uv"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("OSError: [Errno 28] No space left on device", "a disk is full"),
        ("error: Failed to fetch: dns error: failed to lookup address information", "the package index could not be reached"),
        ("Hash mismatch for `six==1.17.0`", "do not use it"),
        ("something else", "the lines above say why"),
    ],
)
def test_a_set_up_that_fails_says_why_and_the_next_start_begins_anew(mill, checkout, words, told):
    failed = mill("list", UV_SAYS=words)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert words in failed.stderr
    assert told in failed.stderr.splitlines()[-1]
    asked(checkout)
    assert mill("list").returncode == 0
    assert asked(checkout) == ["venv", "ensurepip", "pip", "uv"]


def test_of_two_first_starts_one_sets_up_and_the_other_waits(checkout, environment):
    def start() -> subprocess.Popen:
        command = [str(checkout / "mill"), "list"]
        return subprocess.Popen(command, env=environment | {"UV_TAKES": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    both = [start(), start()]
    said = [process.communicate(timeout=60) for process in both]
    assert [out for out, _ in said] == ["ran: -P -m app.cli list\n"] * 2
    assert sorted("waiting for another start" in err for _, err in said) == [False, True]
    assert asked(checkout) == ["venv", "ensurepip", "pip", "uv"]


def test_a_set_up_that_was_killed_is_done_again(mill, checkout, environment):
    process = subprocess.Popen([str(checkout / "mill"), "list"], env=environment | {"UV_TAKES": "1"}, stderr=subprocess.PIPE, text=True)
    note = checkout / "asked"
    deadline = time.monotonic() + 30
    while not note.exists() or "uv" not in note.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stderr.close()
    # Its uv is still at work, so the next start waits for that to end.
    done = mill("list")
    assert done.returncode == 0
    assert "waiting for another start" in done.stderr
    assert asked(checkout) == ["venv", "ensurepip", "pip", "uv", "venv", "ensurepip", "pip", "uv"]


def test_a_machine_without_the_right_python_is_told_which(mill, checkout):
    python = checkout / "bin" / "python3.11"
    python.write_text("#!/bin/sh\nexit 1\n")
    for name in ("python3.12", "python3"):
        shutil.copy(python, checkout / "bin" / name)
    done = mill("list")
    assert done.returncode == 1
    assert done.stderr.startswith("error: synthmill needs Python 3.11 or 3.12")
