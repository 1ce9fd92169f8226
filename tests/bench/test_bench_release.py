"""The benchmark of a release measures the product's own work, and compares like with like."""

import re

import pytest

from bench import release
from bench.release_data import SIDE, build, image
from schema.digest import read_json
from schema.record import decode_png


@pytest.fixture
def made(tmp_path, monkeypatch):
    for name in ("SYNTHMILL_ROOT", "SYNTHMILL_EVENTS", "SYNTHMILL_CATALOG_URL"):
        monkeypatch.setenv(name, "")
    build(tmp_path / "workspace", 300)
    return tmp_path / "workspace"


def test_every_image_goes_through_every_step_and_to_dvc(made, tmp_path):
    found = release.measure(made, 1, release.timed)
    said = read_json(release.released(made) / "provenance.json")
    assert said["images"] == found["steps"]["catalogue"]["rows"] == found["steps"]["verify"]["images"] == 300
    times = {name: step["seconds"] for name, step in found["steps"].items()}
    assert found["ratios"]["assemble_seconds"] == pytest.approx(times["bare"] / times["assemble"])
    whole = sum(time for name, time in times.items() if name != "bare")
    assert found["ratios"]["whole_seconds"] == pytest.approx(times["bare"] / whole)
    found["dvc"] = release.added(made, tmp_path / "dvc")
    assert found["dvc"]["files"] == 300
    assert "nfiles: 300\n" in (tmp_path / "dvc/images.dvc").read_text()
    lines = release.table({"cores": 2, "turns": 1, "runs": [{"images": 300, **found}]}).splitlines()
    steps = [match[1] for line in lines if (match := re.fullmatch(r"([a-z ]+?)  +[\d. ]+", line))]
    assert steps == ["check", "assemble", "catalogue", "verify", "bare", "reading the shards", "dvc add release", "dvc add images"]


def test_bytes_that_bare_pyarrow_would_not_write_end_the_benchmark(made, monkeypatch):
    release.timed(release.check, made)
    monkeypatch.setattr("tasks.exports.parquet.GROUP_ROWS", 100)
    release.timed(release.assemble, made)
    with pytest.raises(AssertionError, match=r"train-00000-of-00001\.parquet is not what pyarrow writes"):
        release.timed(release.bare, made)


def test_no_two_images_are_the_same_and_each_is_its_png():
    drawn = [image(k) for k in (0, 1, 2048, 2049, 4096)]
    assert len({pixels.tobytes() for pixels, _ in drawn}) == 5
    assert all((decode_png(png)[:, :, 0] == pixels).all() and pixels.shape == (SIDE, SIDE) for pixels, png in drawn)
