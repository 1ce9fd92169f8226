"""The house keeps its rules: who imports whom, what DVC must know of each stage, and that the files which name datasets agree."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.conftest import CHECKOUT

MAY_IMPORT = {
    "schema": set(),
    "models": {"schema"},
    "catalog": {"schema"},
    "tasks": {"schema", "models", "catalog"},
    "flows": {"schema", "models", "catalog", "tasks"},
    "app": {"schema", "models", "catalog", "tasks", "flows"},
}
ONE_PLACE = {
    "mlflow": "tasks/tracking.py",
    "great_expectations": "tasks/checks.py",
    "prefect": "flows/",
    "streamlit": "app/",
    "sqlalchemy": "catalog/database/",
    "alembic": "catalog/database/",
}
CANNOT_CHANGE_A_RESULT = {"tasks/evidencing.py", "tasks/progress.py", "tasks/starts.py", "tasks/tracking.py"}
"""What a stage may import without depending on it, and without what these import: how far it is, who is told, what is written
down of the run, and by which way come that training starts from; which ones they are is a dependency, by digest."""

FILES = sorted(path for package in MAY_IMPORT for path in (CHECKOUT / package).rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, at its top or inside a function, by full name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def to_file(module: str) -> Path | None:
    """The file of one of our modules; None for a name that is not one."""
    place = CHECKOUT / module.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def ours(path: Path) -> set[Path]:
    return {file for module in imports(path) if module.split(".")[0] in MAY_IMPORT and (file := to_file(module))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_imports_follow_the_arrows(path):
    here = path.relative_to(CHECKOUT)
    package = here.parts[0]
    tops = {module.split(".")[0] for module in imports(path)}
    assert not (tops & set(MAY_IMPORT)) - MAY_IMPORT[package] - {package}
    for library, place in ONE_PLACE.items():
        assert library not in tops or str(here).startswith(place), f"{library} is imported only in {place}"
    assert not (package in ("flows", "app") and "torch" in tops), "the parent never imports torch"


def stages() -> dict[str, dict]:
    written = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in written.items()}


GENERATORS = [*(CHECKOUT / "models/generators").glob("*.py")]
PLUGINS = {
    "ingest": [*(CHECKOUT / "tasks/sources").glob("*.py")],
    "train": GENERATORS,
    "gate": [*(CHECKOUT / "tasks/gates").glob("*.py")],
}
"""Files that a stage imports by their kind, which no import statement shows."""


@pytest.mark.parametrize("name", [name for name, stage in stages().items() if not stage.get("always_changed")])
def test_dvc_knows_all_the_code_that_a_stage_runs(name):
    stage = stages()[name]
    start = to_file(re.search(r"python -m ([\w.]+)", stage["cmd"]).group(1))
    deps = set(stage["deps"])
    reached, waiting = set(), [start, *PLUGINS.get(name, [])]
    while waiting:
        path = waiting.pop()
        if path not in reached and str(path.relative_to(CHECKOUT)) not in CANNOT_CHANGE_A_RESULT:
            reached.add(path)
            waiting += ours(path)
    unknown = {
        str(path.relative_to(CHECKOUT))
        for path in reached
        if path.read_text().strip().count("\n") > 2
        if not any(path.relative_to(CHECKOUT).is_relative_to(dep) for dep in deps)
    }
    assert unknown == set()
    missing = [dep for dep in deps if "${" not in dep and not dep.startswith(("data/", "reports/")) and not (CHECKOUT / dep).exists()]
    assert not missing


def test_every_out_but_the_release_stays_here():
    for name, stage in stages().items():
        for out in stage["outs"]:
            pushed = isinstance(out, str) or next(iter(out.values())).get("push", True)
            assert pushed == (name == "release")


def test_params_dvc_and_prefect_name_the_same_datasets():
    build = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["build"]
    deployments = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())["deployments"]
    assert sorted(entry["parameters"]["dataset"] for entry in deployments if entry["name"] != "sign-off") == sorted(build)


def test_nothing_names_a_machine_or_a_registry():
    hosts = ["py" + "pi.org", "python" + "hosted", "npm" + "js.", "deb." + "debian", "/wo" + "rk/", "/ro" + "ot/"]
    files = [path for path in CHECKOUT.iterdir() if path.is_file()] + [
        path for folder in (*MAY_IMPORT, "docs", "tests", ".ci", "bench") for path in (CHECKOUT / folder).rglob("*") if path.is_file()
    ]
    texts = {path: path.read_bytes() for path in files if path.suffix not in (".png", ".pyc")}
    assert not [(path, host) for path, text in texts.items() for host in hosts if host.encode() in text]
