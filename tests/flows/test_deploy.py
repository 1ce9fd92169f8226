"""A real Prefect server, started as docs/nightly.md says: what is deployed is also scheduled."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

WAIT = 100


@pytest.fixture
def server(tmp_path) -> Iterator[dict[str, str]]:
    """The environment that names it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", port]
    with Path(tmp_path, "server.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=CHECKOUT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: ask(env, "health") is True)
        yield env
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait()


def ask(env: dict[str, str], what: str, body: dict | None = None):
    """None where it does not answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{env['PREFECT_API_URL']}/{what}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except OSError:
        return None


def until(is_true) -> None:
    deadline = time.monotonic() + WAIT
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(280)
def test_what_is_deployed_is_scheduled(server):
    command = [sys.executable, "-m", "app.cli", "deploy", "pneumonia", "--yes"]
    done = subprocess.run(command, cwd=CHECKOUT, env=server, capture_output=True, text=True, check=False)
    assert (done.returncode, "registered: pneumonia-nightly\n" in done.stderr) == (0, True), done.stderr
    deployments = ask(server, "deployments/filter", {})
    assert [each["name"] for each in deployments] == ["pneumonia-nightly"]
    until(lambda: ask(server, "flow_runs/filter", {}))
    run = ask(server, "flow_runs/filter", {})[0]
    assert (run["state_type"], run["deployment_id"], run["parameters"]) == ("SCHEDULED", deployments[0]["id"], {"dataset": "pneumonia"})
    assert run["expected_start_time"][11:16] == "02:30"
