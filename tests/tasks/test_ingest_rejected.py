"""Images that cannot be used end an ingest with their names, or are set aside within a share that somebody allowed for."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from schema.errors import SynthmillError
from tasks import ingest, scan
from tests.conftest import CHECKOUT

N = 100


def draw(folder: Path) -> None:
    """100 images, each of its own patient: a truncated PNG, a zero-byte file, a 16-bit PNG, a CMYK JPEG and 96 plain ones."""
    rng = np.random.default_rng(3)
    folder.mkdir()
    names = [f"scan-{k:03d}.png" for k in range(N - 1)] + ["scan-cmyk.jpg"]
    for name in names[:-1]:
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / name)
    whole = (folder / names[0]).read_bytes()
    (folder / names[0]).write_bytes(whole[: len(whole) // 2])
    (folder / names[1]).write_bytes(b"")
    Image.fromarray(rng.integers(0, 65536, (32, 32), dtype=np.uint16)).save(folder / names[2])
    Image.fromarray(rng.integers(0, 256, (32, 32, 4), dtype=np.uint8), mode="CMYK").save(folder / names[-1])
    rows = [f"{name},{'ab'[k % 2]},person-{k}" for k, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["image,label,patient", *rows]) + "\n")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A function that writes params.yaml of the dataset `scans` with the keys given added to its ingest, and ingests it."""
    draw(tmp_path / "scans")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    written = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    dataset = written["datasets"]["phantom-cxr"]
    source = {"kind": "image-folder", "folder": str(tmp_path / "scans"), "csv": "labels.csv", "patient": "patient"}
    form = {"height": 16, "width": 16, "channels": 1}

    def go(**keys) -> Path:
        dataset["ingest"] = {"source": source, "image": form, "labels": ["a", "b"], **keys}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({**written, "build": ["scans"], "datasets": {"scans": dataset}}))
        scan.run("scans")
        ingest.run("scans")
        return tmp_path / "data" / "ingest" / "scans"

    return go


def test_unreadable_images_end_the_ingest_with_their_names_and_nothing_is_left(workspace, tmp_path):
    with pytest.raises(SynthmillError) as caught:
        workspace()
    message = str(caught.value)
    assert "2 of 100 images of scans cannot be used" in message
    assert "truncated image 1 (scan-000.png), zero-byte file 1 (scan-001.png)" in message
    assert "raise datasets.scans.ingest.max_rejected (now 0)" in message
    assert "scan-002" not in message, "16-bit grey is converted"
    assert "cmyk" not in message
    assert "\n" not in message
    assert not (tmp_path / "data" / "ingest").exists()
    with pytest.raises(SynthmillError, match=r"2 of 100 .* \(now 0\.019\)"):
        workspace(max_rejected=0.019)


def test_within_the_share_they_are_set_aside_counted_and_not_named_in_any_output(workspace, tmp_path, capsys):
    out = workspace(max_rejected=0.02)  # 2 of 100: the bound itself is allowed
    assert "set aside 2 of 100: truncated image 1 (scan-000.png), zero-byte file 1 (scan-001.png)\n" in capsys.readouterr().err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == {"in": 100, "out": 98, "quarantined": {"truncated image": 1, "zero-byte file": 1}}
    with (out / "quarantine.csv").open() as stream:
        assert sorted(row["reason"] for row in csv.DictReader(stream)) == ["truncated image", "zero-byte file"]
    outputs = [*out.rglob("*"), *(tmp_path / "reports").rglob("*"), tmp_path / "data" / "sources" / "scans.json"]
    written = [path for path in outputs if path.is_file()]
    assert len(written) > 5
    for path in written:
        assert b"scan-" not in path.read_bytes(), path
        assert b"person-" not in path.read_bytes(), path


def test_what_the_params_leave_out_is_no_fault(workspace, tmp_path):
    for name in ("scan-000.png", "scan-001.png"):
        (tmp_path / "scans" / name).write_bytes((tmp_path / "scans" / "scan-003.png").read_bytes())
    table = tmp_path / "scans" / "labels.csv"
    table.write_text(table.read_text().replace("scan-005.png,b", "scan-005.png,c"))
    source = {"kind": "image-folder", "folder": str(tmp_path / "scans"), "csv": "labels.csv", "patient": "patient"}
    out = workspace(source={**source, "classes": {"a": "a", "b": "b"}, "other": "ignore"})
    counts = json.loads((out / "manifest.json").read_text())["counts"]
    assert counts == {"in": 100, "out": 99, "quarantined": {"label not in classes": 1}}
