"""Training killed with -9 and started again ends in the very weights of an undisturbed run, in one MLflow run."""

import os
import signal
import subprocess
import sys
import time

import pytest
from train_workspace import workspace

from models import canary
from models.generators import Shape
from schema.digest import read_json, write_json
from tests.conftest import CHECKOUT

CANARIES = {"n": 8, "seed": 2}


def start(folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.train", "tiny"],
        cwd=CHECKOUT,
        env={**os.environ, "SYNTHMILL_ROOT": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(280)
def test_killed_and_started_again_gives_the_same_weights_in_one_run(tmp_path):
    undisturbed, disturbed = (workspace(tmp_path / name, canaries=CANARIES) for name in ("undisturbed", "disturbed"))
    running = start(undisturbed)
    assert running.wait() == 0, running.stderr.read()
    running = start(disturbed)
    deadline = time.monotonic() + 120
    while not list((disturbed / "data/scratch/train").glob("*/*/checkpoint.pt")):
        assert running.poll() is None, f"it ended before it could be killed: {running.stderr.read()}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (disturbed / "data/models/tiny").exists()
    running = start(disturbed)
    assert running.wait() == 0, running.stderr.read()
    said = [read_json(folder / "data/models/tiny/model.json") for folder in (undisturbed, disturbed)]
    assert said[0] == said[1]
    assert said[0]["canaries"] == canary.draw(**CANARIES, shape=Shape(16, 16, 1, 2)).record(CANARIES["seed"])
    assert 0 < said[0]["canaries"]["included"] < 8
    assert not (disturbed / "data/scratch/train/tiny").exists()

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{disturbed}/data/mlflow/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "tiny"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["synthmill.members"] == "24", "canaries are no members"
    assert run.data.tags["synthmill.canaries"] == str(said[0]["canaries"]["included"])
    assert {metric.step for metric in client.get_metric_history(run.info.run_id, "loss")} == set(range(1, 61))
    assert client.get_model_version_by_alias("synthmill-tiny", "candidate").tags["synthmill.model_digest"] == said[0]["digest"]


def test_a_class_that_a_split_lacks_is_refused_before_any_training(tmp_path):
    folder = workspace(tmp_path / "w")
    path = folder / "data/ingest/tiny/manifest.json"
    said = read_json(path)
    said["splits"]["holdout"] = {"images": 12, "patients": 1, "labels": {"a": 12, "b": 0}}
    write_json(path, said)
    running = start(folder)
    assert running.wait() == 1
    assert "error: tiny has no image of 'b' in the split 'holdout'" in running.stderr.read()
