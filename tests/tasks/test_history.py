"""Since when a gate's section is what it is, and who committed it so."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tasks import history


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    return tmp_path


def git(root: Path, *words: str, who: str = "Ada", day: str = "2026-01-01") -> str:
    identity = ["-c", f"user.name={who}", "-c", "user.email=a@localhost"]
    env = {"GIT_COMMITTER_DATE": f"{day}T12:00:00Z", "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "PATH": "/usr/bin:/bin"}
    return subprocess.run(["git", *identity, "-C", str(root), *words], env=env, capture_output=True, text=True, check=True).stdout.strip()


def text(fid: float, mia: float, note: str = "") -> str:
    """Two datasets: the second takes the first one's gates by an anchor, but for mia."""
    return (
        f"# {note}\ndatasets:\n  one:\n    gates: &few\n      fid: {{threshold: {fid}}}\n      mia: {{threshold: 0.1}}\n"
        f"  two:\n    gates:\n      <<: *few\n      mia: {{threshold: {mia}}}\n"
    )


def commit(root: Path, words: str, who: str = "Ada", day: str = "2026-01-01") -> str:
    (root / "params.yaml").write_text(words)
    git(root, "add", "params.yaml")
    git(root, "commit", "--quiet", "-m", "A change", who=who, day=day)
    return git(root, "rev-parse", "HEAD")


def told(dataset: str = "two") -> dict[str, tuple]:
    return {gate: (row["commit"], row["date"], row["author"]) for gate, row in history.look(dataset).items()}


def test_a_section_is_as_old_as_the_commit_that_made_it_what_it_is_anchors_resolved(checkout):
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    first = commit(checkout, text(20, 0.1), "Ada", "2026-01-01")
    second = commit(checkout, text(20, 0.05), "Bob", "2026-02-02")  # mia of two
    third = commit(checkout, text(10, 0.05), "Cy", "2026-03-03")  # fid of one, and by the anchor of two
    commit(checkout, text(10, 0.05, "a note"), "Dee", "2026-04-04")  # no section
    assert told() == {"fid": (third, "2026-03-03", "Cy"), "mia": (second, "2026-02-02", "Bob")}
    assert told("one")["mia"] == (first, "2026-01-01", "Ada")
    # There and back again: since it came back.
    commit(checkout, text(10, 0.2), "Eve", "2026-05-05")
    back = commit(checkout, text(10, 0.05), "Fay", "2026-06-06")
    assert told()["mia"] == (back, "2026-06-06", "Fay")
    (checkout / "params.yaml").write_text(text(10, 0.3))
    rows = history.look("two")
    assert (rows["mia"]["commit"], rows["mia"]["why"]) == (None, history.NOT_COMMITTED)
    assert rows["fid"]["commit"] == third


def test_what_came_by_a_merge_is_of_the_commit_on_the_branch(checkout):
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    commit(checkout, text(20, 0.1))
    git(checkout, "checkout", "--quiet", "-b", "side")
    on_the_branch = commit(checkout, text(20, 0.05), "Bob", "2026-02-02")
    git(checkout, "checkout", "--quiet", "main")
    on_main = commit(checkout, text(10, 0.1), "Cy", "2026-03-03")
    git(checkout, "merge", "--quiet", "--no-commit", "-s", "ours", "side", day="2026-04-04")
    commit(checkout, text(10, 0.05), "Dee", "2026-04-04")
    assert told() == {"fid": (on_main, "2026-03-03", "Cy"), "mia": (on_the_branch, "2026-02-02", "Bob")}


def test_without_a_history_nobody_can_say(checkout, tmp_path):
    (checkout / "params.yaml").write_text(text(20, 0.1))
    assert {row["why"] for row in history.look("two").values()} == {history.NO_HISTORY}
    git(checkout, "init", "--quiet")
    assert {row["why"] for row in history.look("two").values()} == {history.NO_HISTORY}
    (checkout / "other").write_text("x")
    git(checkout, "add", "other")
    git(checkout, "commit", "--quiet", "-m", "Without params")
    assert {row["why"] for row in history.look("two").values()} == {history.NOT_COMMITTED}
    commit(checkout, "no: [yaml")
    assert {row["why"] for row in history.look("two").values()} == set()
    (checkout / "params.yaml").write_text(text(20, 0.1))
    assert {row["why"] for row in history.look("two").values()} == {history.NOT_COMMITTED}


def test_a_shallow_clone_says_no_commit_that_it_cannot_know(checkout, tmp_path, monkeypatch):
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch", "main")
    commit(origin, text(20, 0.1))
    commit(origin, text(20, 0.1, "again"))
    newest = commit(origin, text(20, 0.05), "Bob", "2026-02-02")
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{origin}", "clone")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path / "clone"))
    rows = history.look("two")
    assert (rows["fid"]["commit"], rows["fid"]["why"]) == (None, history.SHALLOW)
    assert rows["mia"]["commit"] == newest


def test_hundreds_of_commits_take_less_than_two_seconds(checkout):
    """A file as long as a real one, changed by each of 300 commits, one of which is long ago deleted."""
    git(checkout, "init", "--quiet", "--initial-branch", "main")
    filler = yaml.safe_dump({f"key{number}": {"a": number, "b": [1, 2, 3]} for number in range(200)})
    stream = "".join(
        f"commit refs/heads/main\ncommitter Ada <a@localhost> {1_700_000_000 + 86_400 * number} +0000\ndata 1\nx\n"
        f"M 100644 inline params.yaml\ndata {len(words.encode())}\n{words}\n"
        for number in range(300)
        for words in [text(20, 0.1 if number < 100 else 0.2, f"{number}") + filler]
    )
    stream += "commit refs/heads/main\ncommitter Ada <a@localhost> 1730000000 +0000\ndata 1\nx\nD params.yaml\n"
    subprocess.run(["git", "-C", str(checkout), "fast-import", "--quiet"], input=stream.encode(), check=True)
    git(checkout, "reset", "--quiet", "--hard")
    oldest = commit(checkout, text(20, 0.2) + filler, "Bob", "2026-02-02")
    assert told()["fid"] == (oldest, "2026-02-02", "Bob")
    git(checkout, "reset", "--quiet", "--hard", "HEAD~2")
    before = sum(os.times()[:4])
    found = history.look("two")
    assert sum(os.times()[:4]) - before < 2, "of the processor, git's included: others may be at work beside"
    assert (found["fid"]["date"], found["mia"]["date"]) == ("2023-11-14", "2024-02-22")
