"""One file from the web, whole and with the right digest, or a clear error; what arrived before a cut is kept."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from schema.errors import IntegrityError, SynthmillError
from schema.settings import root

CHUNK = 1 << 20
TIMEOUT = 30
"""Seconds of silence after which the connection is given up."""


def fetch(url: str, path: Path, md5: str) -> Path:
    """`path` itself, a file below the workspace, downloaded from `url` if it is not there. Safe in several processes at once.

    Raises SynthmillError if it cannot be had (run again, it goes on where it stopped), IntegrityError if its MD5 is not `md5`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            if _md5(path) != md5:
                raise IntegrityError(f"{_name(path)} does not have its official MD5 {md5}: delete it and run again to download it anew")
            return path
        part = path.with_name(f".{path.name}.part")
        try:
            _download(url, part)
        except (OSError, http.client.HTTPException) as error:
            raise SynthmillError(
                f"{url} could not be downloaded ({getattr(error, 'reason', None) or error}): run again where there is a network "
                f"(it goes on where it stopped), or put the file at {_name(path)} by hand"
            ) from None
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise IntegrityError(
                f"{url} came with the MD5 {found}, not its official {md5}; nothing was kept: run again to download it anew"
            )
        os.replace(part, path)
    return path


def _download(url: str, part: Path) -> None:
    """Brings `part` to its whole length, from where an earlier run stopped if the server can do that. Raises OSError or HTTPException."""
    from tasks.progress import ticking

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "synthmill"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is left to fetch; the digest tells whether it is the right file
        raise
    with answer:
        have = have if answer.status == http.client.PARTIAL_CONTENT else 0
        total = have + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if have else "wb") as out, ticking("ingest", part.name.strip("."), total, "bytes", done=have) as ticker:
            while chunk := answer.read(CHUNK):
                out.write(chunk)
                ticker.update(len(chunk))
            out.flush()
            os.fsync(out.fileno())
    size = part.stat().st_size
    if size < total:
        raise http.client.IncompleteRead(b"", total - size)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _name(path: Path) -> str:
    return path.relative_to(root()).as_posix()
