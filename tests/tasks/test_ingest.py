"""Ingest accounts for every record, splits by patient for good, and lets no word of the source through."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from schema.errors import SynthmillError, UsageError
from schema.params import ImageFormat, Ingest, Split
from schema.record import Record, Rejected, decode_png
from tasks import ingest, scan
from tasks.ingest import Register, assign_split, fit_image
from tests.conftest import CHECKOUT


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace whose dataset `small` comes from a few phantoms."""
    written = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    small = written["datasets"]["phantom-cxr"]
    small["ingest"]["source"] = {"kind": "phantom", "n": 60, "seed": 1}
    small["ingest"]["image"] = {"height": 16, "width": 16, "channels": 1}
    written.update(build=["small"], datasets={"small": small})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(written))
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    return tmp_path


def params(**changes) -> Ingest:
    fields = {"source": {"kind": "phantom"}, "image": {"height": 8, "width": 8}, "labels": ["a", "b"]}
    return Ingest(**{**fields, **changes})


def record(identity: str, patient: str, label: str = "a", split: str | None = None) -> Record:
    return Record(identity, patient, np.zeros((8, 8), dtype=np.uint8), label, {}, split)


def test_a_run_accounts_for_every_image_and_gives_the_same_bytes_again(workspace):
    scan.run("small")
    ingest.run("small")
    out = workspace / "data" / "ingest" / "small"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    said = json.loads(before["manifest.json"])
    assert said["counts"] == {"in": 60, "out": 60, "quarantined": {}}
    assert sum(split["images"] for split in said["splits"].values()) == 60
    assert said["checks"]["success"]
    table = pq.read_table(out / "train-00000.parquet")
    assert decode_png(table["image"][0].as_py()["bytes"]).shape == (16, 16, 1)
    assert b"image-0000" not in b"".join(before.values()), "an id of the source is in an output"
    ingest.run("small")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not (workspace / "data" / "scratch" / "ingest" / "small").exists()


def test_a_patient_stays_where_it_was_whoever_else_comes():
    split = Split()
    shares = np.array([assign_split(str(k), split) for k in range(4000)])
    assert (shares == "train").mean() == pytest.approx(0.7, abs=0.03)
    assert (shares == "holdout").mean() == pytest.approx(0.15, abs=0.02)
    few = Register("d", params())
    many = Register("d", params())
    rows = [few.row(record("1", "anna"))]
    for k in range(50):
        many.row(record(f"x{k}", f"p{k}"))
    assert many.row(record("1", "anna")) == rows[0]


def test_images_of_a_patient_share_a_split_and_no_name_is_kept():
    register = Register("d", params())
    rows = [register.row(record(str(k), "Doe^Jane")) for k in range(5)]
    assert len({row["split"] for row in rows}) == 1
    assert len({row["patient"] for row in rows}) == 1
    assert "Doe" not in str(rows)


@pytest.mark.parametrize(
    ("records", "changes", "error", "words"),
    [
        ([record("1", "p"), record("1", "q")], {}, SynthmillError, "two records with the id '1'"),
        ([record("1", "p", "c")], {}, UsageError, "does not declare"),
        ([record("1", "p", split="train"), record("2", "p", split="test")], {"split": {"by": "source"}}, SynthmillError, "in two splits"),
        ([record("1", "p")], {"split": {"by": "source"}}, SynthmillError, "without one of the splits"),
    ],
)
def test_what_cannot_be_is_refused(records, changes, error, words):
    register = Register("d", params(**changes))
    for fine in records[:-1]:
        register.row(fine)
    with pytest.raises(error, match=words):
        register.row(records[-1])


def test_a_rejected_image_is_counted_by_its_reason():
    register = Register("d", params())
    register.reject(Rejected("file-of-jane.png", "truncated image"))
    assert [entry["reason"] for entry in register.quarantined] == ["truncated image"]
    assert "jane" not in str(register.quarantined)


def test_a_label_nobody_declared_is_refused_before_any_image_is_read(workspace):
    written = yaml.safe_load((workspace / "params.yaml").read_text())
    written["datasets"]["small"]["ingest"]["labels"] = ["normal"]
    (workspace / "params.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(UsageError, match="lacks 'opacity'"):
        scan.run("small")


@pytest.mark.parametrize(("fit", "corner"), [("pad", 0), ("crop", 200), ("stretch", 200)])
def test_an_image_of_another_shape_is_made_to_fit(fit, corner):
    wide = np.full((10, 40, 3), 200, dtype=np.uint8)
    image = fit_image(wide, ImageFormat(height=16, width=16, channels=1, fit=fit))
    assert image.shape == (16, 16, 1)
    assert image[0, 0, 0] == corner
    assert image[8, 8, 0] == 200
