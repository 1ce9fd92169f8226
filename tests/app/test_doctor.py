"""What the doctor finds, and what it says to do."""

import re
from pathlib import Path

import pytest

from app import doctor

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("schema", "models", "tasks", "catalog", "flows", "app")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    for name in doctor.SETTINGS:
        monkeypatch.delenv(f"SYNTHMILL_{name}", raising=False)
    monkeypatch.setenv("SYNTHMILL_ROOT", str(workspace))


def by_name(findings: list[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


def test_it_knows_every_setting_that_the_code_reads():
    files = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]
    read = {name for path in files for name in re.findall(r"""["'`]SYNTHMILL_([A-Z_]+)["'`=]""", path.read_text())}
    assert read == set(doctor.SETTINGS)


def test_a_setting_that_nobody_reads_is_answered_with_the_nearest(monkeypatch):
    monkeypatch.setenv("SYNTHMILL_DEVCIE", "cuda")
    found = by_name(doctor.settings())["SYNTHMILL_DEVCIE"]
    assert (found.status, found.remedy) == ("warn", "unset it (did you mean 'DEVICE'?)")


def test_telemetry_that_somebody_turned_on_is_pointed_out(monkeypatch):
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    assert by_name(doctor.settings())["DO_NOT_TRACK"].status == "warn"


def test_data_that_is_not_there_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHMILL_DATA", str(tmp_path / "gone"))
    assert "fail" in [finding.status for finding in doctor.settings() if finding.name == "SYNTHMILL_DATA"]


def test_no_git_repository_fails_and_says_what_to_do():
    (found,) = doctor.git()
    assert found.status == "fail"
    assert "git init" in found.detail


def test_a_remote_on_this_machine_is_reached_if_it_could_be_written(workspace):
    (workspace / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = ../store\n")
    (found,) = doctor.remote()
    assert (found.status, found.detail) == ("ok", f"store at {workspace / 'store'}, made by the first release")
    (workspace / "store").touch()
    assert doctor.remote()[0].status == "fail"


def test_weights_of_another_digest_are_not_taken_for_the_official_ones(monkeypatch, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    monkeypatch.setenv("SYNTHMILL_INCEPTION_WEIGHTS", str(path))
    (found,) = doctor.weights()
    assert found.status == "warn"
    assert "ba7816bf" in found.detail  # FIPS 180-2, appendix B.1: the sha256 of "abc"


def test_a_full_disk_fails(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2**30})())
    (found,) = doctor.disk()
    assert (found.status, found.detail.split(" under")[0]) == ("fail", "1.0 GiB free")
