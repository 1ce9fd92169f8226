"""Git by its command line. Only plumbing that leaves the user's index, HEAD, working tree and branch alone."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from schema.errors import IntegrityError, SynthmillError

REDIRECTS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_NAMESPACE")
"""Set while a git hook runs: they would lead to another repository than the workspace's."""

INPUTS = ("params.yaml", "dvc.lock")
OUTPUTS = ("data/", "reports/")


class GitError(SynthmillError):
    """A git command that failed, with git's own words."""


def git(root: Path, *arguments: str, text: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Runs git in `root` and gives what it printed. `text` goes to its standard input. Raises GitError with git's own words."""
    result = _run(root, *arguments, text=text, env=env)
    if result.returncode:
        said = (result.stderr or result.stdout).strip() or f"exit code {result.returncode}"
        raise GitError(f"git {arguments[0]} failed in {root}: {said}")
    return result.stdout


def _run(root: Path, *arguments: str, text: str | None = None, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("git") is None:
        raise SynthmillError("git is not installed: install it and run again")
    clean = {name: value for name, value in os.environ.items() if name not in REDIRECTS}
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *arguments],
        input=text or "",
        env={**clean, "LC_ALL": "C", **(env or {})},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def release_remote(root: Path) -> str | None:
    """`SYNTHMILL_GIT_REMOTE`: where releases' branches and tags are sent. Raises SynthmillError where that is no remote here."""
    remote = os.environ.get("SYNTHMILL_GIT_REMOTE") or None
    if remote is not None and remote not in git(root, "remote").split():
        raise SynthmillError(
            f"SYNTHMILL_GIT_REMOTE is {remote!r}, which is not a git remote here: add it with `git remote add`, or unset it"
        )
    return remote


def tags_of(root: Path, remote: str, pattern: str) -> dict[str, str]:
    """{tag: what it names} of a remote's tags."""
    listed = git(root, "ls-remote", "--refs", remote, f"refs/tags/{pattern}")
    return {name.removeprefix("refs/tags/"): made for made, name in (line.split("\t") for line in listed.splitlines())}


def check_objects(root: Path, rev: str) -> None:
    """Holds all that a revision consists of, tag, commit, folders and files, against git's names for them, which are digests. Raises
    IntegrityError with git's own words where one is damaged: DVC may wait for ever for one that is."""
    result = _run(root, "rev-list", "--objects", "--verify-objects", "--no-walk", "--quiet", rev)
    faults = [line.partition(": ")[2] for line in result.stderr.splitlines() if line.startswith(("error: ", "fatal: "))]
    # Of a file that is damaged it speaks, and ends well.
    if result.returncode or faults:
        raise IntegrityError(
            f"{rev} cannot be read whole, for git's own files in {root} are damaged ({''.join(faults[-1:])}): clone the repository anew, "
            "or put .git back from a copy"
        )


def check_repository(root: Path) -> None:
    """Raises SynthmillError unless `root` is the top of a git repository."""
    try:
        top = git(root, "rev-parse", "--show-toplevel").strip()
    except GitError as error:
        raise SynthmillError(f"{root} is not a git repository: run `git init` and commit there, or clone synthmill") from error
    if Path(top).resolve() != root.resolve():
        raise SynthmillError(f"{root} lies inside another git repository ({top}): clone synthmill into a folder of its own")


def resolve(root: Path, name: str) -> str | None:
    """The full object name of a revision, None where there is none."""
    try:
        return git(root, "rev-parse", "--quiet", "--verify", name).strip()
    except GitError:
        return None


def head(root: Path) -> str:
    """The commit that is checked out. Raises SynthmillError where there is none yet."""
    check_repository(root)
    commit = resolve(root, "HEAD^{commit}")
    if commit is None:
        raise SynthmillError(f"{root} has no commit yet: commit the code first (`git add -A && git commit`)")
    return commit


def commit_time(root: Path, commit: str) -> int:
    """Seconds since the epoch of the commit."""
    return int(git(root, "show", "--no-patch", "--format=%ct", commit))


def changed_files(root: Path) -> list[str]:
    """Modified, staged and untracked files, but for params.yaml, which a build takes as it is, and what builds write."""
    entries = git(root, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal").split("\0")
    paths = [entry[3:] for entry in entries if entry]
    return [path for path in paths if path not in INPUTS and not path.startswith(OUTPUTS)]


def differs_from_head(root: Path, path: str) -> bool:
    """Whether one file is not what HEAD has under its name."""
    return bool(git(root, "status", "--porcelain=v1", "--no-renames", "--", path).strip())


def tag_object(root: Path, commit: str, name: str, message: str) -> str:
    """An annotated tag of a commit, as yet under no name: a reference must be made to it."""
    tagger = git(root, "var", "GIT_COMMITTER_IDENT", env=identity(root)).strip()
    text = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message}"
    return git(root, "mktag", text=text).strip()


def identity(root: Path) -> dict[str, str]:
    """Who commits and tags: git's settings, else synthmill itself. As environment variables for git."""

    def setting(variable: str, key: str, default: str) -> str:
        try:
            return os.environ.get(variable) or git(root, "config", key).strip() or default
        except GitError:
            return default

    name = setting("GIT_COMMITTER_NAME", "user.name", "synthmill")
    email = setting("GIT_COMMITTER_EMAIL", "user.email", "synthmill@localhost")
    return {
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email,
        "GIT_AUTHOR_NAME": os.environ.get("GIT_AUTHOR_NAME") or name,
        "GIT_AUTHOR_EMAIL": os.environ.get("GIT_AUTHOR_EMAIL") or email,
    }
