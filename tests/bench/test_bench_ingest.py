"""The benchmark of reading compares like with like: whole images of one size, on both sides, from files as hard to pack as real ones."""

import numpy as np
import pytest

from bench import ingest
from bench.ingest_data import SIDE


@pytest.mark.parametrize("name", ["png", "jpeg"])
def test_our_images_are_those_of_the_plain_loop_by_another_filter(data_root, monkeypatch, tmp_path, name):
    monkeypatch.setenv("SYNTHMILL_DATA", str(data_root))
    kind = ingest.KINDS[name]
    found = ingest.read(tmp_path / name, kind, 4, turns=1)
    assert 45 < found["psnr_min"] <= found["psnr_mean"] < 70
    # Real files of 1024 x 1024 take 350 to 450 kB as PNG; a quality of 90 takes 0.1 to 0.3 bytes a pixel of colour.
    low, high = {"png": (0.33, 0.45), "jpeg": (0.1, 0.3)}[name]
    assert low < found["bytes_a_file"] / SIDE**2 < high
    assert found["one_times_as_fast"] == pytest.approx(found["one_images_a_second"] / found["plain_images_a_second"])


def test_the_plain_window_of_a_dicom_is_the_one_in_its_header(data_root, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHMILL_DATA", str(data_root))
    kind = ingest.KINDS["dicom"]
    kind.write(tmp_path / "dicom", 1)
    ingest.write_pngs(tmp_path / "png", 1)
    of = {form: ingest.plain(next((tmp_path / form).glob(f"*.{suffix}")), kind.form) for form, suffix in (("dicom", "dcm"), ("png", "png"))}
    # 16 stored values a grey level, the lower four bits noise: a mean of half a level more.
    assert np.abs(of["dicom"].astype(float) - of["png"]).max() <= 1


def test_the_table_has_a_line_for_each_kind():
    numbers = ("images_a_second", "cpu_ms_an_image", "times_as_fast")
    run = {f"{name}_{what}": 2.0 for name in ("plain", "one", "two") for what in numbers}
    run |= {"kind": "png", "asked": 1.8, "psnr_min": 40.0, "psnr_mean": 50.0, "bytes_a_file": 4e5}
    lines = ingest.table({"images": 4, "cores": 2, "turns": 1, "runs": [run]}).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines[1:]}) == 1
