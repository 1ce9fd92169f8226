"""Training killed with -9 and started again ends in the very weights of an undisturbed run, in one MLflow run."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from models import canary
from models.generators import Shape
from schema.digest import read_json, write_json
from tasks import train
from tests.conftest import CHECKOUT
from tests.train_workspace import workspace

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


@pytest.mark.parametrize("place", [0, 70, -1])
def test_a_damaged_checkpoint_is_thrown_away_and_said(tmp_path, capsys, place):
    state = {"fit": {"step": 3, "network": {"w": torch.arange(9.0)}}, "losses": [0.5]}
    train._save_checkpoint(tmp_path, state)
    again = train._load_checkpoint(tmp_path)
    assert torch.equal(again["fit"]["network"]["w"], state["fit"]["network"]["w"])
    path = tmp_path / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert train._load_checkpoint(tmp_path) is None
    assert "damaged on the disk" in capsys.readouterr().err
    assert not path.exists()


def test_a_plan_that_would_break_the_promise_of_privacy_stops_the_stage_itself(tmp_path):
    folder = workspace(tmp_path / "w")
    written = yaml.safe_load((folder / "params.yaml").read_text())
    written["datasets"]["tiny"]["train"]["privacy"] = {"epsilon": 8, "delta": 0.01}
    (folder / "params.yaml").write_text(yaml.safe_dump(written))
    running = start(folder)
    assert running.wait() == 2
    assert "sample.prevalence must be uniform with train.privacy" in running.stderr.read()
