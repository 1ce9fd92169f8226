"""SHA256SUMS: what a release folder holds, file by file, in the format that `sha256sum --check` reads."""

from collections.abc import Mapping
from pathlib import Path

from schema.digest import sha256_file, write_bytes
from schema.errors import IntegrityError
from schema.threads import each

NAME = "SHA256SUMS"
GET_AGAIN = "get the release again"


def files(folder: Path) -> list[str]:
    """Every file of a folder but SHA256SUMS itself, as sorted relative paths."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / NAME)


def found(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """{path: sha256} of `files`; those that are `known` are not read."""
    known = known or {}
    new = [path for path in files(folder) if path not in known]
    return {**known, **dict(zip(new, each(sha256_file, (folder / path for path in new)), strict=True))}


def write(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Writes the folder's SHA256SUMS; gives {path: sha256}. `known` says it of files that were hashed before."""
    sums = found(folder, known)
    write_bytes(folder / NAME, render(sums).encode())
    return sums


def render(sums: dict[str, str]) -> str:
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))


def parse(text: str, where: str) -> dict[str, str]:
    """{path: sha256}. Raises IntegrityError for a line of another form."""
    pairs = [line.split("  ", 1) for line in text.splitlines()]
    if not pairs or any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise IntegrityError(f"{where} is not a list of sha256 digests: {GET_AGAIN}")
    return {path: digest for digest, path in pairs}


def read(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says, {path: sha256}. Raises IntegrityError where it is missing or unreadable."""
    path = _there(folder)
    return parse(path.read_text(encoding="utf-8", errors="replace"), str(path))


def digest(folder: Path) -> str:
    """sha256 of SHA256SUMS itself. Raises IntegrityError where it is missing."""
    return sha256_file(_there(folder))


def check(folder: Path, remedy: str = GET_AGAIN) -> dict[str, str]:
    """Compares every file with SHA256SUMS; gives {path: sha256}. Raises IntegrityError naming files changed, missing or not listed."""
    said = read(folder)
    compare(said, found(folder), str(folder), remedy)
    return said


def compare(said: dict[str, str], found: dict[str, str], where: str, remedy: str = GET_AGAIN) -> None:
    """Raises IntegrityError naming the files in which the two differ, and the remedy."""
    faults = {
        "changed": [path for path in said if path in found and found[path] != said[path]],
        "missing": [path for path in said if path not in found],
        "not listed": [path for path in found if path not in said],
    }
    words = [f"{kind}: {some(paths)}" for kind, paths in faults.items() if paths]
    if words:
        raise IntegrityError(f"{where} is not what its SHA256SUMS says ({'; '.join(words)}): {remedy}")


def some(names: list[str], most: int = 5) -> str:
    """Up to `most` names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _there(folder: Path) -> Path:
    path = folder / NAME
    if not path.is_file():
        raise IntegrityError(f"{path} is missing: {folder} is not a whole release; {GET_AGAIN}")
    return path
