"""What was moved, flipped, raced or cut short around a release: named in one message, and nothing half-made is left."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import release_workspace as rw

import catalog
from app.signing_off import verified
from catalog import ledger, publish, sums, versions
from schema.errors import IntegrityError, SynthmillError
from tests import full_disk as disk

TAG = f"{rw.NAME}@v1.0.0"
REF = f"refs/tags/{TAG}"
SHARD = "data/train-00000-of-00001.parquet"


def refs(workspace: rw.Workspace) -> list[str]:
    return workspace.git("for-each-ref", "--format=%(refname)").split()


def pending(workspace: rw.Workspace) -> list[Path]:
    return list((workspace.root / "data/evidence/pending").glob("*"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize("what", [TAG, rw.NAME])
@pytest.mark.parametrize("keeps_its_words", [True, False])
def test_a_tag_that_was_moved_to_another_commit_is_named(released, what, keeps_its_words):
    words = released.git("for-each-ref", "--format=%(contents)", REF)
    annotated = ["--annotate", "--cleanup=verbatim", "--message", f"{words}\n"] if keeps_its_words else []
    released.git("tag", "--force", *annotated, TAG, "main")
    with pytest.raises(IntegrityError, match=r"the tag pneumonia@v1\.0\.0 .* moved by hand; fetch it again") as found:
        verified(what)
    assert found.value.exit_code == 5


@pytest.mark.parametrize("what", ["^{commit}", "^{tree}", ":evidence", f":evidence/{rw.NAME}.intoto.jsonl", ":dvc.lock"])
def test_a_bit_that_flipped_in_git_is_named_with_the_tag_before_dvc_stumbles_over_it(released, tmp_path, what):
    name = released.git("rev-parse", f"{REF}{what}")
    flip(released.root / ".git/objects" / name[:2] / name[2:])
    for look in (lambda: verified(TAG), lambda: catalog.get(TAG, tmp_path / "got"), lambda: catalog.verify(released.release)):
        with pytest.raises(IntegrityError, match=rf"{REF} cannot be read whole, for git's own files .* are damaged \(.*{name}") as found:
            look()
        assert found.value.exit_code == 5
    assert not (tmp_path / "got").exists()


def test_a_bit_that_flipped_in_the_tag_itself_is_named(released):
    name = released.git("rev-parse", REF)
    flip(released.root / ".git/objects" / name[:2] / name[2:])
    with pytest.raises(SynthmillError, match=rf"missing object {name} for {REF}"):
        verified(TAG)


@pytest.mark.parametrize("name", ["README.md", SHARD])
def test_a_bit_that_flipped_in_a_release_that_was_fetched_is_named(reader, tmp_path, name):
    catalog.get(TAG, tmp_path / "got")
    flip(tmp_path / "got" / name)
    for look in (catalog.verify, catalog.load):
        with pytest.raises(IntegrityError, match=rf"\(changed: {name}\): get the release again") as found:
            look(tmp_path / "got")
        assert found.value.exit_code == 5


def test_of_two_processes_that_publish_other_images_one_wins_and_the_other_leaves_nothing(workspace):
    """Two checkouts of one repository, held until both are about to tag."""
    workspace.git("worktree", "add", "--quiet", "--detach", str(workspace.root.parent / "second"))
    second = rw.Workspace(workspace.root.parent / "second", workspace.home)
    for name in ("data", "reports", ".dvc/cache"):
        shutil.copytree(workspace.root / name, second.root / name)
    shutil.copy(workspace.root / "dvc.lock", second.root)
    second.edit_params(lambda section: section["sample"].update(n=14))
    rw.write_samples(second.root, range(14))
    rw.judge(second)
    second.dvc("repro", "--quiet")
    code = f"""
import sys, time, pathlib
from catalog import publish
record, here, there = publish.record, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
def together(*given):
    here.touch()
    while not there.exists():
        time.sleep(0.01)
    return record(*given)
publish.record = together
try:
    publish.publish({rw.NAME!r})
except publish.SynthmillError as error:
    sys.exit(str(error))
"""
    ready = [workspace.home / "one", workspace.home / "two"]
    both = [
        subprocess.Popen([sys.executable, "-c", code, *map(str, names)], cwd=one.root, env=one.env, stderr=subprocess.PIPE, text=True)
        for one, names in ((workspace, ready), (second, ready[::-1]))
    ]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], said
    won, lost = (workspace, second) if both[0].returncode == 0 else (second, workspace)
    assert f"another publication of {rw.NAME} got in first, so {TAG} was not made: run again" in "".join(said)
    assert refs(workspace) == ["refs/heads/main", f"refs/heads/releases/{rw.NAME}", REF]
    assert workspace.git("rev-parse", f"{REF}^{{commit}}") == workspace.git("rev-parse", f"releases/{rw.NAME}")
    assert versions.find(TAG).sums == sums.digest(won.release) != sums.digest(lost.release)
    assert [len(pending(one)) for one in (won, lost)] == [0, 0]
    assert [(one.root / "data/evidence/ledger.intoto.jsonl").is_file() for one in (won, lost)] == [True, False]


@pytest.fixture
def full_disk(tmp_path, monkeypatch) -> Callable:
    """Files that grow over so many bytes are refused, in this process and in those that it starts, as on a full disk: an error and no
    signal."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {shutil.which('git')} \"$@\"\n")
    (tmp_path / "bin/git").chmod(0o755)

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
            with disk.full_disk(size):
                yield

    return limited


FULL = r"File too large|disk I/O error"
"""The second is SQLite's word, in which DVC keeps notes."""


def test_a_disk_that_is_full_at_any_step_leaves_no_release_and_the_next_run_publishes(workspace, full_disk, monkeypatch):
    monkeypatch.setattr(publish, "check_graph", lambda dataset: None)
    for module, name in ((publish, "push"), (publish, "write_commit"), (ledger, "prepare"), (publish, "record"), (ledger, "enter")):
        step = getattr(module, name)

        def on_a_full_disk(*given, step=step):
            with full_disk(16):
                return step(*given)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, on_a_full_disk)
            with pytest.raises(SynthmillError, match=FULL) as found:
                publish.publish(rw.NAME)
        tagged = name == "enter"
        assert ("is released, but" in str(found.value)) == tagged
        assert refs(workspace) == ["refs/heads/main", *([f"refs/heads/releases/{rw.NAME}", REF] if tagged else [])], name
        assert len(pending(workspace)) == tagged, name
        assert not ledger.rows(), name
    assert publish.publish(rw.NAME).tag == TAG
    assert [row.tag for row in ledger.rows()] == [TAG]
    assert not pending(workspace)
    assert catalog.verify(TAG).images == 12


def test_a_disk_that_is_full_while_getting_leaves_nothing_in_place_and_the_next_get_finishes(reader, tmp_path, full_disk):
    with full_disk(16), pytest.raises(SynthmillError, match=FULL):
        catalog.get(TAG, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    assert catalog.get(TAG, tmp_path / "got").tag == TAG
    sums.check(tmp_path / "got")
    with pytest.raises(SynthmillError, match=r"pneumonia@v1\.0\.0 cannot be put into .*README\.md/got: .* (Not a directory|File exists)"):
        catalog.get(TAG, tmp_path / "got/README.md/got")
