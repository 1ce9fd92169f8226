"""Sampling: killed and run again, harmed and run again, extended: the same bytes each time."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from schema.conditions import Condition
from schema.digest import read_json, write_json
from schema.errors import UsageError
from schema.params import Sample
from schema.release import record_digest
from tasks import sample, weights
from tasks.shards import tables, write_table
from tests.conftest import CHECKOUT

PLAN = {"n": 40, "batch_size": 8, "shard_size": 8, "steps": 4, "base_seed": 5}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with a trained (a little) model of two classes, ready to sample."""
    written = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    written["build"] = ["tiny"]
    written["datasets"] = {"tiny": {**written["datasets"]["phantom-cxr"], "sample": PLAN}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(written))
    write_json(
        tmp_path / "data/ingest/tiny/manifest.json",
        {
            "labels": ["a", "b"],
            "splits": {"train": {"labels": {"a": 30, "b": 10}}},
            "image": {"height": 16, "width": 16, "channels": 1},
            "shards": [],
        },
    )
    generator = Plugin(Config(channels=[8, 16], steps=1, batch_size=4, timesteps=50), Shape(16, 16, 1, 2), torch.device("cpu"))
    material = Material(np.zeros((8, 16, 16, 1), np.uint8), np.arange(8)[:, None] % 2, np.arange(8))
    generator.fit(material, None, lambda _: None, lambda *_: None)
    weights.save(generator, tmp_path / "data/models/tiny", "digest", 0.1)
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    return tmp_path


def test_a_watermark_on_images_too_small_for_it_is_refused_before_drawing(workspace):
    written = yaml.safe_load((workspace / "params.yaml").read_text())
    written["datasets"]["tiny"]["sample"] = {**PLAN, "watermark": {"detected": 0.9}}
    (workspace / "params.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(UsageError, match=r"datasets\.tiny\.sample\.watermark: images of 16 x 16 are too small"):
        sample.run("tiny")
    assert not (workspace / "data/samples").exists()


def outputs(workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((workspace / "data/samples/tiny").iterdir())}


def start(workspace) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.sample", "tiny"],
        cwd=CHECKOUT,
        env={**os.environ, "SYNTHMILL_ROOT": str(workspace)},
        stderr=subprocess.DEVNULL,
    )


def test_killed_in_the_middle_and_run_again_gives_the_bytes_of_an_undisturbed_run(workspace):
    sample.run("tiny")
    undisturbed = outputs(workspace)
    assert len(undisturbed) == 2 * 5 + 1
    running = start(workspace)
    scratch = workspace / "data/scratch/sample/tiny"
    deadline = time.monotonic() + 120
    while len(list(scratch.glob("*/shard-*.json"))) < 2:
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    survivors = {path: path.stat().st_mtime_ns for path in scratch.glob("*/shard-*.json")}
    assert 2 <= len(survivors) < 5
    sample.run("tiny")
    assert outputs(workspace) == undisturbed
    kept = {path.name: stamp for path, stamp in survivors.items()}
    now = {path.name: path.stat().st_mtime_ns for path in (workspace / "data/samples/tiny").glob("shard-*.json")}
    assert all(now[name] == stamp for name, stamp in kept.items()), "a whole shard was drawn again"


def test_a_shard_with_a_flipped_byte_is_drawn_again(workspace, monkeypatch):
    sample.run("tiny")
    undisturbed = outputs(workspace)
    moved = []
    monkeypatch.setattr(sample.Scratch, "move_to", lambda self, out: moved.append(self.folder))
    sample.run("tiny")
    monkeypatch.undo()
    monkeypatch.setenv("SYNTHMILL_ROOT", str(workspace))
    shard = moved[0] / "shard-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    sample.run("tiny")
    assert outputs(workspace) == undisturbed


def test_more_images_leave_the_earlier_ones_as_they_were(workspace):
    sample.run("tiny")
    before = outputs(workspace)
    written = yaml.safe_load((workspace / "params.yaml").read_text())
    written["datasets"]["tiny"]["sample"]["n"] = 51
    (workspace / "params.yaml").write_text(yaml.safe_dump(written))
    sample.run("tiny")
    after = outputs(workspace)
    assert all(after[name] == before[name] for name in before if name.endswith(".parquet"))
    said = read_json(workspace / "data/samples/tiny/manifest.json")
    assert said["n"] == sum(said["labels"].values()) == 51


def test_more_images_keep_every_earlier_record_wherever_the_batches_and_shards_ended(workspace):
    """37 images end amid a batch and amid a shard; of 51, the first 37 are those records, pixels, ids, classes and all."""

    def drawn(n: int) -> list[dict]:
        written = yaml.safe_load((workspace / "params.yaml").read_text())
        written["datasets"]["tiny"]["sample"]["n"] = n
        (workspace / "params.yaml").write_text(yaml.safe_dump(written))
        sample.run("tiny")
        folder = workspace / "data/samples/tiny"
        return [row for _, table in tables(folder, read_json(folder / "manifest.json")) for row in table.to_pylist()]

    fewer, more = drawn(37), drawn(51)
    assert (len(fewer), len(more)) == (37, 51)
    assert more[:37] == fewer
    digests = [Counter(record_digest(row, row["sha256"]) for row in rows) for rows in (fewer, more)]
    assert digests[0] < digests[1]


def test_a_full_disk_ends_in_one_message_and_leaves_no_half_shard(workspace, monkeypatch, capsys):
    from tasks import stage

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr(sys, "argv", ["sample", "tiny"])
    with pytest.raises(SystemExit) as ended:
        stage.main(sample.run)
    assert ended.value.code == 1
    assert "the disk is full" in capsys.readouterr().err
    assert not list((workspace / "data").rglob("shard-*"))
    assert not list((workspace / "data").rglob("*.tmp"))


@pytest.mark.parametrize(("first", "last"), [(0, 1000), (137, 1137)])
def test_labels_keep_the_shares_and_depend_on_the_number_alone(first, last):
    labels = sample.labels_of(first, last, np.array([3.0, 1.0, 0.0]))
    assert np.array_equal(labels, sample.labels_of(0, 2000, np.array([3.0, 1.0, 0.0]))[first:last])
    assert np.bincount(labels, minlength=3) == pytest.approx([750, 250, 0], abs=4)


AGE = Condition(attribute="age", edges=[50], values=["0 to 50", "50 to 100"])
MASS = Condition(attribute="findings", label="Mass", values=["no", "yes"])


def test_what_is_said_of_an_image_has_the_shares_of_its_class_and_depends_on_its_number_alone():
    plan = Sample(n=4000, base_seed=9)
    shares = sample.Shares(np.array([1.0, 1.0]), [np.array([[3.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 4.0]])])
    told = shares.conditions(0, 4000, plan, [False, False])
    assert np.array_equal(told[700:1300], shares.conditions(700, 1300, plan, [False, False]))
    first, second = told[told[:, 0] == 0], told[told[:, 0] == 1]
    assert first[:, 1].mean() == pytest.approx(0.25, abs=0.04)
    assert (second[:, 1] == 1).all()
    assert second[:, 2].mean() == pytest.approx(0.8, abs=0.04)
    # Apart from one another: no pair of words is taken from a patient.
    assert abs(np.corrcoef(first[:, 1], first[:, 2])[0, 1]) < 0.06
    assert (shares.conditions(0, 9, plan, [True, False])[:, 1] == -1).all()


def test_shares_are_those_of_patients_and_a_class_of_few_says_nothing_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    # Class a: 12 patients, 3 of them old, of whom one has 50 images. Class b: one patient, old, with a mass.
    said_of = [(f"a{k}", "a", 70 if k < 3 else 20, []) for k in range(12)] + [("a0", "a", 70, [])] * 49 + [("b0", "b", 80, ["Mass"])] * 2
    rows = [{"patient": patient, "label": label, "age": age, "findings": found} for patient, label, age, found in said_of]
    path = tmp_path / "data/ingest/tiny/train-00000.parquet"
    digest = write_table(path, pa.Table.from_pylist(rows))
    entry = {"file": path.name, "split": "train", "rows": len(rows), "sha256": digest}
    said = {"labels": ["a", "b"], "splits": {"train": {"labels": {"a": 61, "b": 2}}}, "shards": [entry]}
    shares = sample.shares_of("tiny", Sample(n=1), said, [AGE, MASS])
    assert shares.classes.tolist() == [61, 2]
    assert [words.tolist() for words in shares.words] == [[[9, 3], [9, 4]], [[12, 0], [12, 1]]]
    equal = sample.shares_of("tiny", Sample(n=1, prevalence="uniform"), said, [AGE, MASS])
    assert [part.tolist() for part in (equal.classes, *equal.words)] == [[1, 1], [[1, 1], [1, 1]], [[1, 1], [1, 1]]]


def test_rows_hold_the_words_that_were_said_and_no_column_of_what_was_left_out():
    told = np.array([[1, 0, 1], [0, 1, 0]])
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    table = sample.to_table("d", 0, pixels, told, ["a", "b"], Sample(n=2), [AGE, MASS])
    assert table.select(["label_name", "age", "findings"]).to_pylist() == [
        {"label_name": "b", "age": "0 to 50", "findings": ["Mass"]},
        {"label_name": "a", "age": "50 to 100", "findings": []},
    ]
    assert "age" not in sample.to_table("d", 0, pixels, told, ["a", "b"], Sample(n=2, leave_out=["age"]), [AGE, MASS]).column_names
