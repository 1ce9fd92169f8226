"""The how-to pages are true: what they show is run as they show it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import bench.scenarios
from tests.conftest import CHECKOUT

PAGE = (CHECKOUT / "docs" / "how-to" / "add-a-gate.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


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
