"""Releases on this machine's disk: fetched and checked by digest once, then looked at by size and time alone."""

import shutil
from pathlib import Path

from filelock import FileLock

from catalog import store, sums
from catalog.elsewhere import cache, writable_cache
from catalog.folder import check_sums
from schema.digest import read_json, sha256_bytes, write_json
from schema.errors import IntegrityError
from schema.release import Release


def cached(release: Release, repo: Path) -> Path:
    """The release's folder in the cache, fetched and verified if it is not there. Raises SynthmillError where the cache cannot be used.

    A copy whose files have another size or time than when they were last checked is checked again, and fetched anew where a digest differs.
    """
    folder = cache_folder(release)
    if folder.is_dir() and is_as_left(folder):
        return folder
    with writable_cache():
        cache().mkdir(parents=True, exist_ok=True)
        # One looks, the others wait: who finds it damaged takes it away.
        with FileLock(f"{folder}.lock"):
            if folder.is_dir() and not is_as_left(folder):
                try:
                    check_sums(folder, release)
                    sums.check(folder)
                except IntegrityError:
                    shutil.rmtree(folder)
            store.fetch(repo, release, folder)
            leave(folder)
    return folder


def cache_folder(release: Release) -> Path:
    """Where the cache keeps a release, whether it is there or not."""
    return cache() / name_of(release)


def name_of(release: Release) -> str:
    """What a folder with these bytes is called: two checkouts may both have a v1.0.0."""
    return f"{release.tag}-{release.sums[:16]}"


def check_once(folder: Path) -> None:
    """Checks a release folder that lies elsewhere against its own SHA256SUMS, the first time and whenever a file has changed since.

    Raises IntegrityError where it is not whole.
    """
    stamp = cache() / "checked" / f"{sha256_bytes(str(folder).encode())[:16]}.json"
    if not (folder / sums.NAME).is_file():
        sums.read(folder)
    said = stamp_of(folder)
    if _read(stamp) != said:
        sums.check(folder)
        with writable_cache():
            write_json(stamp, said)


def derived(release: Release) -> Path:
    """A folder in the cache for what is made from a release's files, and can be made again."""
    return cache() / f"{name_of(release)}.derived"


def is_as_left(path: Path) -> bool:
    """Whether a file or folder of the cache has the sizes and times that it had when `leave` was called."""
    return _read(_stamp(path)) == stamp_of(path)


def leave(path: Path) -> None:
    """Notes the sizes and times of what was just written and checked."""
    write_json(_stamp(path), stamp_of(path))


def _read(stamp: Path) -> object:
    """What a stamp says; None for one that is not there or is damaged."""
    try:
        return read_json(stamp)
    except (OSError, ValueError):
        return None


def _stamp(path: Path) -> Path:
    return path.with_name(f"{path.name}.stamp.json")


def stamp_of(path: Path) -> dict[str, list[int]]:
    """{path: [bytes, nanoseconds of the last change]} of a file or of every file of a folder: what an altered copy would not have."""
    files = [path] if path.is_file() else [path / name for name in [*sums.files(path), sums.NAME]]
    found = {str(each.relative_to(path.parent)): each.stat() for each in files if each.is_file()}
    return {name: [one.st_size, one.st_mtime_ns] for name, one in found.items()}
