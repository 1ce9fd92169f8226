"""Publishing with real git and real DVC: raced, without a remote; and what it must never touch."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import release_workspace as rw
import yaml

from catalog import git, publish, store, sums, versions
from schema.digest import read_json, write_json
from schema.errors import IntegrityError, SynthmillError
from schema.release import Release
from tests.full_disk import full_disk

TAG = f"{rw.NAME}@v1.0.0"
BRANCH = f"refs/heads/releases/{rw.NAME}"


def refs(workspace: rw.Workspace) -> set[str]:
    return set(workspace.git("for-each-ref", "--format=%(refname)").split())


def stored(workspace: rw.Workspace) -> list[Path]:
    return [path for path in (workspace.home / ".synthmill/store").rglob("*") if path.is_file()]


def user_state(workspace: rw.Workspace) -> list[bytes]:
    """What git keeps of the user's own: index, HEAD and branch."""
    return [(workspace.root / ".git" / name).read_bytes() for name in ("index", "HEAD", "refs/heads/main")]


def test_a_release_is_a_tag_on_a_commit_beside_the_branch_and_bytes_in_the_remote(reader):
    release = versions.find(rw.NAME)
    assert refs(reader) == {"refs/heads/main", BRANCH, f"refs/tags/{TAG}"}
    assert reader.git("rev-parse", f"{TAG}^{{commit}}") == reader.git("rev-parse", BRANCH)
    assert reader.git("rev-parse", f"{TAG}^1") == reader.git("rev-parse", "main") == release.code_commit
    assert reader.git("diff", "--name-only", "main", TAG).split() == ["dvc.lock", f"evidence/{rw.NAME}.intoto.jsonl"]
    assert reader.git("cat-file", "-t", TAG) == "tag"
    said = read_json(reader.release / "provenance.json")
    assert release.digests.model_dump() == said["digests"]
    assert (release.version, release.images, release.labels) == ("v1.0.0", 12, {"normal": 6, "pneumonia": 6})
    # Seven files and DVC's list of them; no shard of samples, nothing real.
    assert len(stored(reader)) == 8


def test_without_an_identity_it_is_synthmill_that_tags(reader):
    assert "tagger synthmill <synthmill@localhost>" in reader.git("cat-file", "-p", TAG)


def test_a_fresh_clone_gets_the_bytes_by_plain_dvc(reader, tmp_path):
    reader.git("clone", "--quiet", str(reader.root), str(tmp_path / "clone"))
    reader.dvc("get", ".", f"data/releases/{rw.NAME}", "--rev", TAG, "--out", str(tmp_path / "got"), cwd=tmp_path / "clone")
    assert sums.files(tmp_path / "got") == sums.files(reader.release)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=tmp_path / "got", check=True)


def test_the_next_version_stands_on_the_one_before_and_takes_params_as_used(released, monkeypatch):
    """Built from uncommitted code with --no-publish, then committed: publishing builds the release anew, so that it names the commit."""
    (released.root / "new.py").write_text("")
    with pytest.raises(SynthmillError, match=r"not everything is committed \(new\.py\)"):
        publish.preflight(rw.NAME)
    released.edit_params(lambda section: section["sample"].update(n=14))
    rw.write_samples(released.root, range(14))
    rw.judge(released)
    released.dvc("repro", "--quiet")
    assert read_json(released.release / "provenance.json")["code"]["modified"] is True
    released.git("add", "new.py")
    released.git("commit", "--quiet", "--message", "More code")
    before = user_state(released)
    used = (released.root / "params.yaml").read_text()
    pushed = publish.push

    def edited_while_pushing(dataset: str) -> None:
        pushed(dataset)
        released.edit_params(lambda section: section["sample"].update(steps=3))

    monkeypatch.setattr(publish, "push", edited_while_pushing)

    release = publish.publish(rw.NAME)

    assert release.tag == f"{rw.NAME}@v1.1.0"
    parents = released.git("rev-list", "--parents", "--max-count=1", release.tag).split()[1:]
    assert parents == [released.git("rev-parse", "main"), released.git("rev-parse", f"{TAG}^{{commit}}")]
    assert released.git("show", f"{release.tag}:params.yaml") == used.strip()
    assert released.git("diff", "--name-only", "main") == "params.yaml"
    assert user_state(released) == before
    said = read_json(released.release / "provenance.json")
    assert said["code"] == said["code"] | {"modified": False, "commit": release.code_commit}
    assert [each.version for each in versions.releases(rw.NAME)] == ["v1.0.0", "v1.1.0"]


def test_a_remote_out_of_reach_leaves_no_tag(workspace):
    (workspace.home / ".synthmill").write_text("a file where the store's folder should be")
    with pytest.raises(SynthmillError, match=r"dvc push .* failed"):
        publish.publish(rw.NAME)
    assert refs(workspace) == {"refs/heads/main"}


def test_a_full_disk_is_an_error_in_words(workspace):
    with full_disk(4096), pytest.raises(SynthmillError, match=r"dvc push .* failed"):
        publish.push(rw.NAME)


def test_what_the_remote_lost_or_garbled_is_found_by_reading_it_back(released):
    release = versions.find(rw.NAME)
    said = {**sums.read(released.release), sums.NAME: "0" * 64}
    with pytest.raises(IntegrityError, match=r"the DVC remote 'store' holds of pneumonia@v1\.0\.0.*changed: SHA256SUMS\)"):
        publish.verify_remote(release, BRANCH, said)
    for path in sorted(stored(released), key=lambda path: path.suffix):
        if path.suffix == ".dir" or path.read_bytes() == (released.release / "README.md").read_bytes():
            path.unlink()
            lost = "the list of its files" if path.suffix == ".dir" else r"README\.md"
            with pytest.raises(SynthmillError, match=rf"reading pneumonia at .* from the remote store .* failed: not there: {lost}$"):
                publish.verify_remote(release, BRANCH, said)


@pytest.mark.parametrize("harm", ["lost", "one file lost"])
def test_a_store_that_lost_a_release_is_filled_again_by_the_next_run(released, harm):
    before = {path: path.read_bytes() for path in stored(released)}
    for path in before if harm == "lost" else [path for path in before if path.suffix != ".dir"][:1]:
        path.unlink()
    assert publish.publish(rw.NAME).tag == TAG
    assert {path: path.read_bytes() for path in stored(released)} == before


def test_a_store_that_the_user_s_own_dvc_settings_name_is_filled_again_too(released):
    settings = released.root / ".dvc/config"
    theirs = released.home / ".config/dvc/config"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(settings.read_text().replace("~", str(released.home)))
    settings.write_text("")
    lost = next(path for path in stored(released) if path.suffix != ".dir")
    lost.unlink()
    assert publish.publish(rw.NAME).tag == TAG
    assert lost.is_file()


def test_a_release_built_again_by_later_code_is_still_the_one_that_is_there_and_is_kept_whole(released):
    """Another provenance.json in the folder and in dvc.lock, and the same version; DVC's cache is where the settings have it."""
    before = {path: path.read_bytes() for path in stored(released)}
    shutil.move(released.root / ".dvc/cache", released.home / "bytes")
    (released.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {released.home}/bytes\n")
    released.git("commit", "--quiet", "--allow-empty", "--message", "More code")
    released.dvc("repro", "--quiet", "--force", "--single-item", f"release@{rw.NAME}")
    assert read_json(released.release / "provenance.json")["code"]["commit"] == released.git("rev-parse", "HEAD")
    release = publish.publish(rw.NAME)
    assert release == versions.find(rw.NAME)
    assert {path: path.read_bytes() for path in stored(released)} == before
    for path in before:
        path.unlink()
    assert publish.publish(rw.NAME) == release
    assert {path: path.read_bytes() for path in stored(released)} == before
    for gone in (released.home / "bytes", released.home / ".synthmill"):
        shutil.rmtree(gone)
    with pytest.raises(SynthmillError, match=r"is released, but whether its bytes .* cannot be told: DVC.s cache here has nothing of"):
        publish.publish(rw.NAME)


def test_a_store_with_a_damaged_file_is_mended_before_the_next_release_is_tagged(workspace):
    publish.push(rw.NAME)
    harmed = next(path for path in stored(workspace) if path.suffix != ".dir")
    harmed.chmod(0o644)
    harmed.write_bytes(harmed.read_bytes()[:-1] + b"x")
    assert publish.publish(rw.NAME).tag == TAG
    assert versions.find(rw.NAME).tag == TAG


def test_a_release_folder_that_is_not_whole_is_not_published(workspace):
    (workspace.release / "privacy/report.html").write_text("<p>All is well</p>")
    with pytest.raises(IntegrityError, match=r"changed: privacy/report\.html\): delete the folder and build it again"):
        publish.publish(rw.NAME)
    (workspace.release / "provenance.json").unlink()
    with pytest.raises(SynthmillError, match=r"there is no release in .*; build one with `./mill run pneumonia`"):
        publish.publish(rw.NAME)


def test_a_release_that_dvc_calls_stale_is_not_published(workspace):
    workspace.edit_params(lambda section: section["gates"]["mia-white-box"].update(threshold=0.5))
    with pytest.raises(SynthmillError, match=r"out of date .*datasets\.pneumonia\.gates.*run `./mill run pneumonia` again"):
        publish.publish(rw.NAME)
    assert refs(workspace) == {"refs/heads/main"}


def described(workspace: rw.Workspace, **changes) -> Release:
    said = read_json(workspace.release / "provenance.json")
    fields = {name: said[name] for name in ("dataset", "version", "images", "labels", "digests", "gates")}
    fields |= {"sums": sums.digest(workspace.release), "code_commit": workspace.git("rev-parse", "HEAD")}
    return Release(**fields | changes)


def test_of_two_at_once_one_wins_and_the_other_sees_it(workspace):
    release = described(workspace)
    first, second = publish.write_commit(release, "", ""), publish.write_commit(release.model_copy(update={"version": "v1.0.1"}), "", "")
    assert publish.record(release, first, tip=None) == release
    tagged = workspace.git("rev-parse", TAG)
    # The same release by another run: what is there already.
    assert publish.record(release, second, tip=None) == release
    # Other images under the same version, whoever's the folder is by now.
    with pytest.raises(SynthmillError, match=r"got in first, so pneumonia@v1\.0\.0 was not made: run again"):
        publish.record(described(workspace, digests={"records": "1" * 64, "files": "2" * 64}), second, tip=None)
    # Another release, decided before the first was there.
    write_json(workspace.release / "provenance.json", {**read_json(workspace.release / "provenance.json"), "version": "v1.0.1"})
    with pytest.raises(SynthmillError, match=r"got in first, so pneumonia@v1\.0\.1 was not made: run again"):
        publish.record(release.model_copy(update={"version": "v1.0.1"}), second, tip=None)
    assert workspace.git("rev-parse", TAG) == tagged
    assert refs(workspace) == {"refs/heads/main", BRANCH, f"refs/tags/{TAG}"}


def test_a_version_decided_without_a_later_release_is_outdated(workspace):
    assert not publish.is_outdated(rw.NAME)
    other = described(workspace, digests={"records": "1" * 64, "files": "2" * 64})
    publish.record(other, publish.write_commit(other, "", ""), tip=None)
    assert publish.is_outdated(rw.NAME)


def test_a_release_built_at_another_commit_is_built_again_and_names_the_one_that_its_tag_stands_on(workspace):
    built = (workspace.release / "provenance.json").read_bytes()
    workspace.git("commit", "--quiet", "--allow-empty", "--message", "More code")
    assert publish.is_outdated(rw.NAME)
    release = publish.publish(rw.NAME)
    assert release.tag == TAG
    assert release.code_commit == workspace.git("rev-parse", "HEAD") == workspace.git("rev-parse", f"{TAG}^1")
    assert read_json(workspace.release / "provenance.json")["code"]["commit"] == release.code_commit
    # Built at the earlier commit again: the same digests are the same version, which is there already.
    (workspace.release / "provenance.json").write_bytes(built)
    assert publish.publish(rw.NAME) == release


def test_the_commit_holds_only_the_locks_of_its_dataset(workspace):
    lock = workspace.root / "dvc.lock"
    lock.write_text(
        lock.read_text()
        + "  release@other:\n    cmd: python -m tasks.release other\n  gate@other-pneumonia:\n    cmd: python -m x other y\n"
    )
    commit = publish.write_commit(described(workspace), "build: []\n", "")
    assert "other" not in workspace.git("show", f"{commit}:dvc.lock")
    assert f"release@{rw.NAME}" in workspace.git("show", f"{commit}:dvc.lock")
    assert workspace.git("show", f"{commit}:params.yaml") == "build: []"


def test_a_dataset_called_like_a_gate_keeps_only_its_own_locks(tmp_path):
    stages = {
        "release@mia": {"cmd": "python -m tasks.release mia"},
        "gate@mia-fid": {"cmd": "python -m tasks.gate mia fid"},
        "gate@pneumonia-mia": {"cmd": "python -m tasks.gate pneumonia mia"},
    }
    (tmp_path / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    assert set(yaml.safe_load(publish.own_lock(tmp_path / "dvc.lock", "mia"))["stages"]) == {"release@mia", "gate@mia-fid"}


def test_git_is_pushed_only_where_a_remote_is_named_and_a_killed_push_is_made_up_for(released, monkeypatch):
    bare = released.home / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    released.git("remote", "add", "origin", str(bare))
    publish.publish(rw.NAME)
    assert not git.git(bare, "for-each-ref")
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "origin")
    publish.preflight(rw.NAME)
    publish.publish(rw.NAME)
    assert set(git.git(bare, "for-each-ref", "--format=%(refname)").split()) == {BRANCH, f"refs/tags/{TAG}"}
    git.git(bare, "update-ref", "-d", f"refs/tags/{TAG}")
    assert publish.publish(rw.NAME).tag == TAG
    assert f"refs/tags/{TAG}" in git.git(bare, "for-each-ref", "--format=%(refname)").split(), "what the remote lost is sent again"
    shutil.move(bare, released.home / "moved.git")
    with pytest.raises(SynthmillError, match=r"pneumonia@v1\.0\.0 is released here, but origin did not take it"):
        publish.publish(rw.NAME)
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "elsewhere")
    with pytest.raises(SynthmillError, match="SYNTHMILL_GIT_REMOTE is 'elsewhere', which is not a git remote here"):
        publish.preflight(rw.NAME)


def test_tags_that_were_never_pushed_go_too_and_those_of_others_are_fetched_first(released, monkeypatch):
    bare = released.home / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    released.git("remote", "add", "origin", str(bare))
    later = described(released, version="v2.0.0", digests={"records": "1" * 64, "files": "2" * 64})
    publish.record(later, publish.write_commit(later, "", ""), tip=git.resolve(released.root, BRANCH))
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "origin")
    publish.push_git(later)
    tags = {f"refs/tags/{TAG}", f"refs/tags/{later.tag}"}
    assert set(git.git(bare, "for-each-ref", "--format=%(refname)").split()) == {BRANCH, *tags}
    publish.preflight(rw.NAME)
    released.git("tag", "--delete", later.tag)
    with pytest.raises(SynthmillError, match=r"not known here \(pneumonia@v2\.0\.0\).*git fetch --tags origin"):
        publish.preflight(rw.NAME)
    released.git("fetch", "--quiet", "--tags", "origin")
    publish.preflight(rw.NAME)
    released.git("tag", "--force", later.tag, "main")
    with pytest.raises(SynthmillError, match=r"other tags than this clone under the same names \(pneumonia@v2\.0\.0\)"):
        publish.preflight(rw.NAME)


class TestPreflight:
    def test_clean_or_with_edited_params_it_passes(self, workspace):
        publish.preflight(rw.NAME)
        workspace.edit_params(lambda section: section["sample"].update(steps=21))
        publish.preflight(rw.NAME)

    def test_each_kind_of_change_is_named_up_to_five(self, workspace):
        (workspace.root / "requirements.lock").write_text("changed")
        (workspace.root / "staged.py").write_text("")
        workspace.git("add", "staged.py")
        for number in range(4):
            (workspace.root / f"untracked {number}.py").write_text("")
        with pytest.raises(SynthmillError, match=r"and 1 more.*commit or stash it, or run with --no-publish") as found:
            publish.preflight(rw.NAME)
        assert "requirements.lock, staged.py, untracked 0.py, untracked 1.py, untracked 2.py" in str(found.value)

    def test_no_git_program(self, workspace, monkeypatch):
        monkeypatch.setenv("PATH", str(workspace.home))
        with pytest.raises(SynthmillError, match="git is not installed"):
            publish.preflight(rw.NAME)

    def test_no_repository_then_no_commit(self, workspace):
        shutil.rmtree(workspace.root / ".git")
        with pytest.raises(SynthmillError, match="is not a git repository"):
            publish.preflight(rw.NAME)
        workspace.git("init", "--quiet")
        with pytest.raises(SynthmillError, match="has no commit yet"):
            publish.preflight(rw.NAME)

    def test_a_folder_inside_another_repository(self, workspace):
        shutil.rmtree(workspace.root / ".git")
        subprocess.run(["git", "init", "--quiet", str(workspace.root.parent)], check=True)
        with pytest.raises(SynthmillError, match="lies inside another git repository"):
            publish.preflight(rw.NAME)

    def test_the_release_branch_is_not_to_be_checked_out(self, workspace):
        workspace.git("switch", "--quiet", "--create", f"releases/{rw.NAME}")
        with pytest.raises(SynthmillError, match="check out a branch of your own"):
            publish.preflight(rw.NAME)

    def test_no_remote_to_store_in(self, workspace, monkeypatch):
        monkeypatch.setenv("SYNTHMILL_REMOTE", "elsewhere")
        with pytest.raises(SynthmillError, match=r"'elsewhere' is not a DVC remote.*there are: store"):
            publish.preflight(rw.NAME)
        (workspace.root / ".dvc/config.local").write_text("['remote \"elsewhere\"']\n    url = ../../there\n")
        publish.preflight(rw.NAME)
        assert store.remotes(workspace.root)["remote"]["elsewhere"]["url"] == str(workspace.root.parent / "there")

    def test_a_hook_that_points_git_elsewhere_does_not(self, workspace, monkeypatch):
        monkeypatch.setenv("GIT_DIR", str(workspace.home))
        monkeypatch.setenv("GIT_INDEX_FILE", str(workspace.home / "index"))
        publish.preflight(rw.NAME)
        assert json.dumps(git.changed_files(workspace.root)) == "[]"
