"""From another machine: only the git address and the DVC remote; and the tools that others have, run on what was released."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import release_workspace as rw

import catalog
from catalog import git, publish, stages, store, sums, versions
from catalog.elsewhere import where
from schema.errors import SynthmillError, UsageError

TAG = f"{rw.NAME}@v1.0.0"


@pytest.fixture(scope="module")
def served(published, tmp_path_factory) -> tuple[str, str]:
    """A bare git repository with the release, and the folder of its DVC remote: what a server would have."""
    bare = tmp_path_factory.mktemp("server") / "synthmill.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(bare)], check=True)
    published.git("push", "--quiet", str(bare), "main", f"releases/{rw.NAME}", TAG)
    return f"file://{bare}", str(published.home / ".synthmill/store")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> rw.Workspace:
    """Another machine: an empty home, a folder that is no checkout."""
    for name in ("checkout", "home"):
        (tmp_path / name).mkdir()
    return rw.Workspace(tmp_path / "checkout", tmp_path / "home").adopt(monkeypatch)


def tool(workspace: rw.Workspace, *words: str, cwd: Path | None = None) -> str:
    """A program of this environment, as a person would run it."""
    env = {**workspace.env, "PATH": f"{Path(sys.executable).parent}:{workspace.env['PATH']}"}
    done = subprocess.run(words, cwd=cwd or workspace.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_get_from_an_address_with_the_remote_given_then_from_what_is_known(served, published, elsewhere, monkeypatch):
    address, remote = served
    with pytest.raises(SynthmillError, match=r"the remote store \(~/\.synthmill/store|a place on the machine that released them"):
        catalog.get(TAG, elsewhere.home / "none", address)
    monkeypatch.setenv("SYNTHMILL_REMOTE", remote)
    assert catalog.get(f"{rw.NAME}@^1", elsewhere.home / "got", address).tag == TAG
    assert (elsewhere.home / "got/SHA256SUMS").read_bytes() == (published.release / "SHA256SUMS").read_bytes()
    assert catalog.load(rw.NAME, repo=address)["seed"].to_pylist() == list(range(500, 512))
    monkeypatch.setattr(store, "_run", None)  # Nothing may be read from DVC again.
    moved = Path(address.removeprefix("file://"))
    moved.rename(moved.with_suffix(".away"))
    try:
        with pytest.warns(UserWarning, match="does not answer"):
            assert catalog.load(TAG, repo=address).num_rows == 12
    finally:
        moved.with_suffix(".away").rename(moved)
    with pytest.raises(SynthmillError, match=r"the releases of file:///nowhere/x\.git cannot be had") as refusal:
        catalog.get(TAG, elsewhere.home / "none", "file://somebody:secret@/nowhere/x.git")
    assert "secret" not in str(refusal.value)


def test_a_release_whose_tag_was_moved_there_is_not_taken(published, elsewhere, tmp_path):
    bare = tmp_path / "server.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(published.root), str(bare)], check=True)
    assert catalog.releases(repo=where(f"file://{bare}"))[0].tag == TAG
    message = versions.write_tag(versions.find(TAG, bare).model_copy(update={"images": 13}))
    who = {**elsewhere.env, "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@b"}
    moved = ["tag", "--annotate", "--force", "--cleanup=verbatim", "--message", message, TAG, "main"]
    subprocess.run(["git", "-C", str(bare), *moved], env=who, check=True, capture_output=True)
    with pytest.raises(SynthmillError, match="has moved a tag since it was fetched, and no release is ever moved"):
        catalog.load(TAG, repo=f"file://{bare}")


def test_an_interrupted_get_goes_on_with_what_is_whole(served, elsewhere, monkeypatch):
    """Killed while the second file is read: the first is there under the release's digest, is not read again, and is checked."""
    address, remote = served
    monkeypatch.setenv("SYNTHMILL_REMOTE", remote)
    killed = f"""
import os, signal, catalog, catalog.store as store
real = store._run
def then_killed(command, root, what, more=None):
    real(command, root, what, more)
    os.kill(os.getpid(), signal.SIGKILL)
store._run = then_killed
catalog.get({TAG!r}, {str(elsewhere.home / "got")!r}, {address!r})
"""
    assert (
        subprocess.run([sys.executable, "-c", killed], env=elsewhere.env | {"SYNTHMILL_REMOTE": remote}, check=False).returncode
        == -signal.SIGKILL
    )
    [scratch] = elsewhere.home.glob(".got.*.part")
    files = scratch / "files"
    assert not (elsewhere.home / "got").exists()
    (files / "README.md").unlink()
    (files / "croissant.json").rename(files / "croissant.json.partial")
    (files / "privacy/report.html").write_text("<p>All is well</p>")
    asked = []
    stream = store.stream
    monkeypatch.setattr(store, "stream", lambda *given, have=(), **more: asked.append(set(have)) or stream(*given, have=have, **more))
    assert catalog.get(TAG, elsewhere.home / "got", address).tag == TAG
    whole = {"SHA256SUMS", "provenance.json", "privacy/report.json", "data/train-00000-of-00001.parquet"}
    assert asked == [whole], "what is missing, half there or not what its digest names is read again, and nothing else"
    sums.check(elsewhere.home / "got")
    assert not scratch.exists()


def test_promote_is_a_tag_of_gto_s_and_both_say_the_same(released, monkeypatch, tmp_path):
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    released.git("remote", "add", "origin", str(bare))
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "origin")
    first = versions.find(TAG)
    second = first.model_copy(update={"version": "v1.1.0"})
    released.git("commit", "--quiet", "--allow-empty", "--message", "more")
    publish.record(second, publish.write_commit(second, "", ""), tip=git.resolve(released.root, f"refs/heads/releases/{rw.NAME}"))

    def shown() -> dict[str, str]:
        """{stage: version}, as gto has it."""
        said = json.loads(tool(released, "gto", "show", "--json"))[rw.NAME]["stage"]
        return {stage: version for stage, version in said.items() if version}

    assert stages.standing(rw.NAME) == shown() == {}
    done = catalog.promote(TAG, "prod")
    assert (done.tag, done.before, done.pushed) == (f"{rw.NAME}#prod#1", None, "origin")
    assert catalog.promote(f"{rw.NAME}@latest", "prod").before == TAG
    assert stages.standing(rw.NAME) == shown() == {"prod": "v1.1.0"}
    # Back again, and at once: GTO goes by dates of a second, and would not let a version come back unforced.
    assert catalog.promote(TAG, "prod").tag == f"{rw.NAME}#prod#3"
    assert catalog.promote(TAG, "prod").tag == f"{rw.NAME}#prod#3", "where it stands already nothing is made"
    catalog.promote(second.tag, "staging")
    assert stages.standing(rw.NAME) == shown() == {"prod": "v1.0.0", "staging": "v1.1.0"}
    assert catalog.find(f"{rw.NAME}@prod") == first
    assert catalog.find(f"{rw.NAME}@staging") == second
    assert len(git.git(bare, "for-each-ref", "refs/tags").splitlines()) == 4
    with pytest.raises(UsageError, match=r"has no v9\.9\.9; there are: v1\.0\.0, v1\.1\.0"):
        catalog.promote(f"{rw.NAME}@v9.9.9", "prod")
    with pytest.raises(UsageError, match=r"no stage 'canary'; its stages: prod \(v1\.0\.0\), staging \(v1\.1\.0\)"):
        catalog.find(f"{rw.NAME}@canary")
    for word in ("latest", "v2", "Prod", "a#b"):
        with pytest.raises(UsageError, match="cannot be a stage"):
            catalog.promote(TAG, word)


def test_the_tools_of_others_find_get_import_and_update(served, published, elsewhere):
    """dvc get, dvc import, dvc update and dvc artifacts get by the address alone; gto by the address."""
    address, remote = served
    assert json.loads(tool(elsewhere, "gto", "show", "--repo", address, "--json"))[rw.NAME]["version"] == "v1.0.0"
    elsewhere.git("init", "--quiet", "--initial-branch", "main")
    elsewhere.dvc("init", "--quiet")
    stored = ("--remote-config", f"url={remote}")
    path = f"data/releases/{rw.NAME}"
    expected = {name: (published.release / name).read_bytes() for name in sums.files(published.release)}

    def same(folder: str) -> bool:
        return {name: (elsewhere.root / folder / name).read_bytes() for name in sums.files(elsewhere.root / folder)} == expected

    elsewhere.dvc("get", address, path, "--rev", TAG, "--out", "got", *stored)
    elsewhere.dvc("import", address, path, "--rev", TAG, "--out", "imported", *stored)
    assert same("got")
    assert same("imported")
    shutil.rmtree(elsewhere.root / "imported")
    elsewhere.dvc("update", "imported.dvc", "--rev", TAG)
    assert same("imported")
    elsewhere.dvc("artifacts", "get", address, rw.NAME, "--rev", "v1.0.0", "--out", "artifact", *stored)
    assert same("artifact")
    tool(elsewhere, "mlcroissant", "validate", "--jsonld", "got/croissant.json")
    shown = tool(elsewhere, "mlcroissant", "load", "--jsonld", "got/croissant.json", "--record_set", "records", "--num_records", "12")
    assert shown.count("'records/seed': ") == 12


def test_the_command_line_gets_it_from_the_address_too(served, elsewhere):
    address, remote = served
    words = [
        sys.executable,
        "-P",
        "-m",
        "app.cli",
        "get",
        f"{rw.NAME}@~1.0",
        "--to",
        "got",
        "--repo",
        address,
        "--remote",
        remote,
        "--json",
    ]
    assert json.loads(tool(elsewhere, *words))["release"] == TAG
    sums.check(elsewhere.root / "got")
