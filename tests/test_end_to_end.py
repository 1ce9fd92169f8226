"""The whole chain, for real, on a few phantoms: released, unchanged, refused, mended, and the same bytes from `dvc repro` alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from catalog import evidence, workspace
from schema.errors import IntegrityError
from schema.evidence import SLSA
from tests.conftest import CHECKOUT

TINY = {
    "ingest": {
        "source": {"kind": "phantom", "n": 600, "seed": 3, "size": 32},
        "image": {"height": 16, "width": 16, "channels": 1},
        "labels": ["normal", "opacity"],
        "split": {"train": 0.6, "holdout": 0.2, "test": 0.2},
    },
    "train": {"kind": "ddpm", "channels": [8, 16], "steps": 20, "batch_size": 16, "warmup": 2, "timesteps": 50},
    "sample": {"n": 96, "batch_size": 32, "shard_size": 64, "steps": 3},
    "report": {"pairs": 4},
    "policy": {},
    "gates": {
        "utility": {"threshold": -0.99, "steps": 60, "ratios": [], "bootstrap": 100},
        "mia-white-box": {"threshold": 0.49, "timesteps": [5, 20], "proximal_timesteps": [10], "bootstrap": 100, "claims": ["auc"]},
        "fd-domain": {"threshold": 1e6, "coverage_threshold": 0.99, "steps": 20, "bootstrap": 20},
        "dp-claim": {"required": False, "threshold": 8.0},
    },
}
"""Four gates of the panel, so that the chain is what takes the time; each gate has tests of its own."""


class Workspace:
    """A clone of the checkout that builds one tiny dataset, with a home folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, check=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (CHECKOUT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CHECKOUT / name, self.folder / name)
        card = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["datasets"]["phantom-cxr"]["card"]
        tiny = {"card": card, **TINY}
        self.params = {"build": ["tiny"], "panel": list(TINY["gates"]), "datasets": {"tiny": tiny}}
        self.write_params()
        self.call("git", "init", "-q", "-b", "main")
        self.call("git", "add", "-A")
        self.call("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "tiny")

    def write_params(self) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False))

    def environment(self) -> dict[str, str]:
        """Only what a person's shell would have, so that nothing of this test run or its user leaks in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SYNTHMILL_", "PREFECT_", "MLFLOW_", "GIT_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
        return {**kept, "PATH": path, "HOME": str(self.home), "PYTHONPATH": str(self.folder)}

    def call(self, *command: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run(command, cwd=cwd or self.folder, env=self.environment(), capture_output=True, text=True, check=False)
        assert not (check and result.returncode), f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
        return result

    def run(self) -> tuple[int, dict]:
        """`synthmill run tiny --json`: its exit code and the outcome."""
        result = self.call(sys.executable, "-m", "app.cli", "run", "tiny", "--json", check=False)
        assert result.stdout.startswith("{"), f"no outcome: {result.stdout[-2000:]} {result.stderr[-4000:]}"
        return result.returncode, json.loads(result.stdout)

    def tags(self) -> list[str]:
        return self.call("git", "tag", "--list").stdout.split()

    def release_files(self, folder: Path | None = None) -> dict[str, bytes]:
        top = (folder or self.folder) / "data" / "releases" / "tiny"
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("end-to-end"))
    code, outcome = made.run()
    assert (code, outcome["status"], outcome["version"]) == (0, "released", "v1.0.0"), outcome
    return made


def ran(outcome: dict) -> list[str]:
    return [entry["stage"] for entry in outcome["stages"] if entry["state"] == "done"]


@pytest.mark.timeout(420)
def test_the_chain_releases_and_what_is_released_can_be_had(built, tmp_path):
    assert built.tags() == ["tiny@v1.0.0"]
    assert built.call("git", "status", "--porcelain").stdout.split() == ["??", "dvc.lock"]
    assert built.call("git", "branch", "--show-current").stdout.strip() == "main"
    clone = tmp_path / "clone"
    built.call("git", "clone", "-q", str(built.folder), str(clone))
    built.call(sys.executable, "-m", "dvc", "get", ".", "data/releases/tiny", "--rev", "tiny@v1.0.0", "-o", "got", cwd=clone)
    got = {path.relative_to(clone / "got").as_posix(): path.read_bytes() for path in sorted((clone / "got").rglob("*")) if path.is_file()}
    assert got == built.release_files()
    built.call("sha256sum", "--quiet", "--check", "SHA256SUMS", cwd=clone / "got")


@pytest.mark.timeout(420)
def test_nothing_changed_nothing_runs_and_no_version_appears(built):
    before = built.release_files()
    code, outcome = built.run()
    assert (code, outcome["status"], outcome["version"]) == (0, "unchanged", "v1.0.0")
    assert ran(outcome) == []
    assert built.tags() == ["tiny@v1.0.0"]
    assert built.release_files() == before


@pytest.mark.timeout(420)
def test_dvc_alone_in_another_clone_gives_the_same_bytes(built, tmp_path):
    clone = tmp_path / "clone"
    built.call("git", "clone", "-q", str(built.folder), str(clone))
    built.call(sys.executable, "-m", "dvc", "repro", "-q", "release@tiny", cwd=clone)
    assert built.release_files(clone) == built.release_files()


TAMPERED = (
    "reports/tiny/gates/utility/verdict.json",
    "reports/tiny/report/public/report.html",
    "data/samples/tiny/shard-00000.parquet",
    "data/evidence/tiny.intoto.jsonl",
    "data/evidence/ledger.intoto.jsonl",
)


@pytest.mark.timeout(420)
def test_verify_names_each_thing_that_was_tampered_with(built, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(built.folder))
    whole = workspace.check("tiny")
    assert (whole.gone, whole.ledger) == (0, 1)
    stages = {"ingest", "train", "sample", "report", "release", *(f"gate {gate}" for gate in built.params["panel"])}
    runs = [entry.statement.predicate for entry in evidence.read(evidence.record_file("tiny")) if entry.statement.predicate_type == SLSA]
    assert {run["buildDefinition"]["externalParameters"]["stage"] for run in runs} == stages
    for name in TAMPERED:
        path = built.folder / name
        before = path.read_bytes()
        bent = bytearray(before)
        bent[len(bent) // 2] ^= 1
        path.unlink()
        path.write_bytes(bent)
        with pytest.raises(IntegrityError, match=path.name):
            workspace.check("tiny")
        if path.suffix == ".html":
            assert built.call(sys.executable, "-m", "app.cli", "verify", "tiny", check=False).returncode == 5
        path.write_bytes(before)
    said = json.loads(built.call(sys.executable, "-m", "app.cli", "verify", "tiny", "--json").stdout)
    assert said["release"]["statements"] == 1 + len(built.params["panel"])


@pytest.mark.timeout(420)
def test_an_impossible_threshold_refuses_and_a_changed_one_runs_that_gate_alone(built):
    gates = built.params["datasets"]["tiny"]["gates"]
    gates["utility"]["threshold"] = 5.0
    built.write_params()
    code, outcome = built.run()
    assert (code, outcome["status"]) == (3, "refused")
    assert "utility" in outcome["message"]
    assert "5" in outcome["message"]
    assert ran(outcome) == ["gate utility", "report"]
    assert built.tags() == ["tiny@v1.0.0"]
    assert Path(outcome["report"]).is_file()
    assert not (built.folder / "data" / "releases" / "tiny").exists()
    gates["utility"]["threshold"] = -0.98
    built.write_params()
    code, outcome = built.run()
    assert (code, outcome["version"]) == (0, "v1.0.1"), "the same records under another threshold are a PATCH"
    assert ran(outcome) == ["gate utility", "report", "release", "publish"]
    assert built.tags() == ["tiny@v1.0.0", "tiny@v1.0.1"]
