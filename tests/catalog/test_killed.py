"""Killed before each step of publishing, one after another: nothing is ever half out, and the next run goes on."""

import hashlib
import subprocess
import sys
from pathlib import Path

import release_workspace as rw
from sqlalchemy import func, select

import catalog
from catalog import evidence, git, ledger, publish, versions
from catalog.database import index
from catalog.database.tables import Image

TAG = f"{rw.NAME}@v1.0.0"
NAMES = {f"refs/heads/releases/{rw.NAME}", f"refs/tags/{TAG}"}
FEWEST, MOST = 15, 100
"""Publishing has at least so many steps: fewer would mean that the walk does not see them."""


def user_files(workspace: rw.Workspace) -> dict[Path, bytes]:
    """What is the user's own of the checkout, its HEAD and index among it."""
    names = (".git", ".dvc/tmp", "data/evidence", *(f"data/catalog.db{end}" for end in ("", ".lock", "-journal", "-shm", "-wal")))
    ours = [workspace.root / name for name in names]
    files = [path for path in workspace.root.rglob("*") if path.is_file() and not any(map(path.is_relative_to, ours))]
    files += [workspace.root / ".git" / name for name in ("HEAD", "index", "refs/heads/main")]
    return {path: path.read_bytes() for path in files}


def whole_objects(workspace: rw.Workspace) -> int:
    """How many objects of the DVC remote are what their names say; the one being written when DVC was killed has another name."""
    found = (path for path in (workspace.home / ".synthmill/store/files/md5").glob("??/*") if path.is_file())
    return sum(hashlib.md5(path.read_bytes()).hexdigest() == (path.parent.name + path.name).removesuffix(".dir") for path in found)


def names(where: Path) -> set[str]:
    return set(git.git(where, "for-each-ref", "--format=%(refname)", "refs/heads/releases", "refs/tags").split())


def test_killed_before_any_step_nothing_is_half_out_and_the_next_run_goes_on(workspace, monkeypatch):
    bare = workspace.home / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    workspace.git("remote", "add", "origin", str(bare))
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "origin")
    before = user_files(workspace)
    env = {**workspace.env, "SYNTHMILL_GIT_REMOTE": "origin"}
    command = [sys.executable, "-P", str(Path(__file__).with_name("killed.py")), rw.NAME]
    walked = []
    with subprocess.Popen(command, cwd=workspace.root, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as walker:
        for _ in range(MOST):
            print("next", file=walker.stdin, flush=True)
            walked.append(walker.stdout.readline().strip())
            at, here, there = walked[-1], names(workspace.root), names(bare)
            assert here in (set(), NAMES), at
            assert there in (set(), NAMES), at
            assert there <= here, at
            assert not here or whole_objects(workspace) == 8, f"a tag without its bytes after a kill at: {at}"
            assert {row.tag for row in ledger.rows()} <= {release.tag for release in versions.releases()}, at
            assert user_files(workspace) == before, at
            if at == "done":
                break
    assert walked[-1] == "done"
    assert len(walked) >= FEWEST, walked
    for step in ("dvc push", "git update-ref", "git push", "commit to the index"):
        assert any(step in line for line in walked), f"no kill before: {step}"

    release = publish.publish(rw.NAME)
    index.add(release)

    assert names(workspace.root) == names(bare) == NAMES
    assert [row.tag for row in ledger.rows()] == [TAG]
    assert not list((evidence.folder() / "pending").glob("*.json"))
    with index.opened().engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(Image)).scalar() == release.images
    assert catalog.verify(TAG).release == TAG
    workspace.git("fsck", "--strict")
    assert workspace.git("rev-list", "--count", f"main..{TAG}") == "1"
    assert user_files(workspace) == before
