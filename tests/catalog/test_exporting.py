"""`synthmill export` on a release that was really published."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import release_workspace as rw

from app import exporting
from catalog import reader as catalog_reader
from catalog import sums
from schema.errors import UsageError

TAG = f"{rw.NAME}@v1.0.0"


def synthmill(workspace, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-m", "app.cli", *words]
    return subprocess.run(command, cwd=workspace.root, env=workspace.env, capture_output=True, text=True, timeout=120, check=False)


def test_the_verb_writes_the_release_and_names_what_comes_next(reader, tmp_path):
    out = tmp_path / "out"
    done = synthmill(reader, "export", rw.NAME, "--as", "medmnist", "--to", str(out), "--option", "labels=findings", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["release"], said["options"], said["images"]) == (TAG, {"labels": "findings"}, 12)
    assert said["files"] == len(sums.check(out)) + 1
    released = pq.read_table(reader.release / "data")
    arrays = np.load(out / f"{rw.NAME}.npz", allow_pickle=False)
    assert arrays["train_images"].shape == (12, 16, 16)
    words = released["findings"].to_pylist()
    assert arrays["train_labels"].tolist() == [[int(name in each) for name in ("Effusion", "Mass")] for each in words]
    again = synthmill(reader, "export", rw.NAME, "--as", "medmnist", "--to", str(out))
    assert (again.returncode, again.stdout) == (2, "")
    assert "is not empty" in again.stderr


def test_a_dry_run_writes_nothing_and_gives_the_command_without_it(reader, tmp_path):
    done = synthmill(reader, "export", TAG, "--as", "webdataset", "--to", str(tmp_path / "out"), "--option", "shard_mb=5", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"{TAG}, 12 images, would be written as webdataset" in done.stdout
    assert done.stderr.endswith(f"export {TAG} --as webdataset --to {tmp_path / 'out'} --option shard_mb=5\n")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_for_the_hub_shows_files_sizes_and_the_card_without_a_token(reader):
    done = synthmill(reader, "export", TAG, "--as", "huggingface", "--to", "owner/name", "--dry-run")
    assert done.returncode == 0, done.stderr
    size = (reader.release / "data/train-00000-of-00001.parquet").stat().st_size
    assert f"data/train-00000-of-00001.parquet  {size}" in " ".join(done.stdout.split("\n")).replace("   ", "  ")
    assert "license: cc-by-4.0" in done.stdout
    assert "owner/name as v1.0.0, private" in done.stdout


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("webdatset", [], "did you mean 'webdataset'"),
        ("parquet", [], "a release is parquet as it is"),
        ("dicom", ["patient"], "write it as key=value"),
        ("dicom", ["patient=image", "patient=release"], "is said twice"),
        ("dicom", ["patient=nobody"], "option patient: Input should be 'image' or 'release'"),
        ("webdataset", ["shard_mb=0"], "option shard_mb: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_fetched(tmp_path, monkeypatch, kind, words, said):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    with pytest.raises(UsageError, match=said):
        exporting.export(TAG, kind, str(tmp_path / "out"), words, dry_run=False)


def test_a_cache_that_was_harmed_is_fetched_anew_and_not_exported(released, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_CACHE", str(tmp_path / "cache"))
    folder = exporting.fetched(TAG).path
    assert folder == catalog_reader.cached(exporting.fetched(TAG).release, released.root)
    (folder / "README.md").write_text("another card")
    exporting.export(TAG, "image-folder", str(tmp_path / "out"), [], dry_run=False)
    assert (folder / "README.md").read_text() != "another card"
    assert (tmp_path / "out" / "release" / "README.md").read_bytes() == (folder / "README.md").read_bytes()
