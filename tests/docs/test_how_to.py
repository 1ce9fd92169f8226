"""The how-to pages are true: what they show is run as they show it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import bench.scenarios
from tasks import ingest, scan
from tests.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "how-to" / "add-a-gate.md").read_text(encoding="utf-8")
OWN_DATA = (CHECKOUT / "docs" / "how-to" / "bring-your-own-data.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the checkout with the page's gate, its test, and its section in every dataset."""
    root = tmp_path_factory.mktemp("how-to") / "checkout"
    shutil.copytree(
        CHECKOUT, root, ignore=shutil.ignore_patterns(".*", "data", "reports", "__pycache__", "*.png", "params.yaml"), symlinks=True
    )
    gate, test = blocks("python")
    (root / "tasks" / "gates" / "brightness.py").write_text(gate, encoding="utf-8")
    (root / "tests" / "tasks" / "gates" / "test_brightness.py").write_text(test, encoding="utf-8")
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text(encoding="utf-8"))
    params["panel"].append("brightness")
    for dataset in params["datasets"].values():
        dataset["gates"] |= yaml.safe_load(blocks("yaml")[0])["datasets"]["pneumonia"]["gates"]
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return root


def python(root: Path, *words: str) -> str:
    result = subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_gate_of_the_page_passes_the_contract_and_its_own_test(checkout):
    tests = ["tests/contracts/test_gates.py", "tests/test_house.py", "tests/tasks/gates/test_brightness.py"]
    said = python(checkout, "-m", "pytest", "-p", "no:cacheprovider", "-k", "brightness", "-rA", *tests)
    for name in ("does_not_load_torch", "needs_a_threshold", "says_the_same_twice", "do_not_fail", "follow_the_arrows", "too_bright_fails"):
        assert re.search(rf"PASSED .*{name}", said), name


def test_its_section_is_read_and_it_is_in_the_panel(checkout):
    code = (
        "from schema.params import load; from tasks.configs import gate_config; everything = load();"
        "print([gate_config(name, section, 'brightness').threshold for name, section in everything.datasets.items()])"
    )
    datasets = yaml.safe_load((checkout / "params.yaml").read_text())["datasets"]
    assert python(checkout, "-c", code).strip() == str([2.0] * len(datasets))


def test_its_code_is_as_ours(checkout):
    files = ["tasks/gates/brightness.py", "tests/tasks/gates/test_brightness.py"]
    python(checkout, "-m", "ruff", "check", *files)
    python(checkout, "-m", "ruff", "format", "--check", *files)


def test_what_the_page_names_is_there():
    names = re.findall(r"`((?:tasks|tests|bench|docs|models|schema)/[\w/.-]+\.\w+)`", PAGE)
    missing = {name for name in names if not (CHECKOUT / name).exists()}
    assert missing == {"tasks/gates/brightness.py", "tests/tasks/gates/test_brightness.py"}
    assert {"RELEASE_GATES", "Scenario", "changed", "defects"} <= set(dir(bench.scenarios))


def test_own_data_come_in_as_the_page_says(tmp_path, monkeypatch):
    """The table of the page, made longer, with images of noise, and its section of params.yaml."""
    head, *rows = blocks("csv", OWN_DATA)[0].splitlines()
    rows += [f"scans/{k:04d}.png,{('nv', 'mel')[k % 2]},P-{k},{20 + k % 60},{'FM'[k // 2 % 2]}," for k in range(100, 140)]
    folder = tmp_path / "data" / "skin"
    (folder / "scans").mkdir(parents=True)
    for number, row in enumerate(rows):
        pixels = np.random.default_rng(number).integers(0, 256, (70, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / row.split(",")[0])
    (folder / "table.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text(encoding="utf-8"))
    section = yaml.safe_load(blocks("yaml", OWN_DATA)[0])["skin"]
    section |= {key: params["datasets"]["ham10000"][key] for key in ("train", "sample", "gates")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**params, "build": ["skin"], "datasets": {"skin": section}}), encoding="utf-8")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    monkeypatch.setenv("SYNTHMILL_DATA", str(tmp_path / "data"))
    scan.run("skin")
    ingest.run("skin")
    said = json.loads((tmp_path / "data" / "ingest" / "skin" / "manifest.json").read_text())
    assert said["counts"] == {"in": 43, "out": 43, "quarantined": {}, "withdrawn": 0}
    assert said["dropped"]["attributes"]["remarks"] == 43 - 41, "empty cells are no attribute"
    assert said["approval"]["reference"] == "IRB 2026-113"
    assert sum(split["patients"] for split in said["splits"].values()) == 42
    assert all(min(split["labels"].values()) > 0 for split in said["splits"].values())
