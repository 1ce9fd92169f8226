"""Releases of another machine's repository, given by its git address: the tags come into a bare repository in the cache, nothing else."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from catalog.git import GitError, git
from schema.digest import sha256_bytes
from schema.errors import SynthmillError
from schema.settings import root


def cache() -> Path:
    """`SYNTHMILL_CACHE`: where what was fetched is kept."""
    return Path(os.environ.get("SYNTHMILL_CACHE") or "~/.cache/synthmill").expanduser()


@contextmanager
def writable_cache() -> Iterator[None]:
    """Raises SynthmillError where the cache's folder cannot be made or written."""
    try:
        yield
    except OSError as error:
        raise SynthmillError(
            f"the cache {cache()} cannot be used ({error.strerror or error}): free space there, or name another folder in SYNTHMILL_CACHE"
        ) from error


def where(repo: Path | str | None) -> Path:
    """The repository that is meant: the workspace, a checkout on this machine, or a copy of the tags of a git address.

    Raises SynthmillError where the address does not answer and nothing of it is known here.
    """
    if repo is None:
        return root()
    folder = Path(repo).expanduser()
    if isinstance(repo, Path) or (folder / ".git").exists() or folder.is_relative_to(cache()):
        return folder.resolve()
    if folder.is_dir() and not (folder / "HEAD").is_file():
        return folder.resolve()
    return _tags_of(str(folder.resolve()) if folder.is_dir() else str(repo))


def _tags_of(address: str) -> Path:
    """A bare repository with the tags of `address`, as they are there now; what a tag names comes without its history."""
    bare = cache() / "repositories" / sha256_bytes(address.encode())[:16]
    with writable_cache():
        bare.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{bare}.lock"):
            return _fetched(bare, address)


def _fetched(bare: Path, address: str) -> Path:
    if not (bare / "HEAD").is_file():
        git(bare, "init", "--quiet", "--bare")
    try:
        # A release is never moved, so no `--force`: a tag that differs from the one that was had is an error, in git's words.
        git(bare, "fetch", "--no-tags", "--depth=1", "--", address, "refs/tags/*:refs/tags/*", env={"GIT_TERMINAL_PROMPT": "0"})
    except GitError as error:
        shown, why = without_password(address), without_password(str(error))
        if not git(bare, "for-each-ref", "--count=1", "refs/tags").strip():
            raise SynthmillError(f"the releases of {shown} cannot be had: {why}") from None
        if "[rejected]" in why:
            raise SynthmillError(f"{shown} has moved a tag since it was fetched, and no release is ever moved: {why}") from None
        warnings.warn(f"{shown} does not answer, so these are the releases that were known before: {why}", stacklevel=2)
    return bare


def without_password(text: str) -> str:
    """An address, or words that have one in them, without the user and password that it may carry."""
    return re.sub(r"://[^/@\s]+@", "://", text)
