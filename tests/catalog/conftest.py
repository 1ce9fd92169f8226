"""Real git and real DVC in a workspace of its own, with a home of its own; DVC takes a second a call, so what can be shared is."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import release_workspace as rw

from tests.catalog import postgres


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> rw.Workspace:
    """Built by DVC up to the release, not published. Copied, never used."""
    top = tmp_path_factory.mktemp("template")
    workspace = rw.build(top / "checkout", top / "home")
    rw.commit(workspace)
    workspace.dvc("repro", "--quiet")
    return workspace


@pytest.fixture(scope="session")
def published(template, tmp_path_factory) -> rw.Workspace:
    """The template, published as v1.0.0. Shared: only to be read."""
    workspace = copy(template, tmp_path_factory.mktemp("published"))
    workspace.publish()
    return workspace


@pytest.fixture(scope="session")
def extended(published, tmp_path_factory) -> rw.Workspace:
    """The published workspace with two images more, a worse attack and a looser gate, published as v1.1.0, which is `prod`. Only to be
    read."""
    workspace = copy(published, tmp_path_factory.mktemp("extended"))

    def change(section: dict) -> None:
        section["sample"]["n"] = 14
        section["gates"]["fid"]["threshold"] = 25.0

    workspace.edit_params(change)
    rw.write_samples(workspace.root, range(14))
    rw.judge(workspace, value=0.02, interval=(0.0, 0.04))
    workspace.dvc("repro", "--quiet")
    workspace.publish()
    code = f"from catalog import promote\npromote({f'{rw.NAME}@latest'!r}, 'prod')"
    subprocess.run([sys.executable, "-c", code], cwd=workspace.root, env=workspace.env, check=True)
    return workspace


@pytest.fixture
def workspace(template, tmp_path, monkeypatch) -> rw.Workspace:
    """A copy of the template that this process works in."""
    return copy(template, tmp_path).adopt(monkeypatch)


@pytest.fixture
def released(published, tmp_path, monkeypatch) -> rw.Workspace:
    """A copy of the published workspace that this process works in."""
    return copy(published, tmp_path).adopt(monkeypatch)


@pytest.fixture
def reader(published, monkeypatch) -> rw.Workspace:
    """The published workspace itself, for tests that only read."""
    return published.adopt(monkeypatch)


def copy(workspace: rw.Workspace, top: Path) -> rw.Workspace:
    for name in ("checkout", "home"):
        shutil.copytree(workspace.root.parent / name, top / name, symlinks=True)
    return rw.Workspace(top / "checkout", top / "home")


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL server; where none can be had, the tests fail and say how to get one."""
    with postgres.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path) -> Callable[[str], str]:
    """Gives the address of a new and empty database of a name, once of each kind."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.db"
    cluster = request.getfixturevalue("cluster")
    return lambda name: postgres.database(cluster, name)


@pytest.fixture
def database(empty, monkeypatch) -> str:
    """The address of an empty database that is the catalog's."""
    address = empty("catalog")
    monkeypatch.setenv("SYNTHMILL_CATALOG_URL", address)
    return address
