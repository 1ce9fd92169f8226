"""Reads a folder that DVC keeps, file by file, hashing as it goes: a program of its own, so that no caller has to import DVC.

    python catalog/stream.py '{"repo": ..., "rev": ..., "path": ..., "to": null, "only": [], "have": [], "look": false,
                               "remote": null, "config": {}}'

Prints lines of SHA256SUMS form for the files of `path` at the git revision `rev`, or for those that `only` names, and not for those
that `have` names; with `to`, writes them there too, each under a name of its own until it is whole. With `look`, reads nothing. A file
that is nowhere to be had has `lost` for its digest; with `.` for its name it is the list of the files.
With a cache folder in `config` that is empty, every byte comes from the remote: that is how a push is verified.
Imports nothing of ours, and holds one chunk in memory.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import IO

from dvc.api import DVCFileSystem

CHUNK = 4 * 2**20
PARTIAL = ".partial"


def main(ask: dict) -> None:
    store = DVCFileSystem(ask["repo"], rev=ask["rev"], remote=ask["remote"], config=ask["config"])
    top = f"/{ask['path']}"
    files = []
    try:
        files = sorted(store.find(top))
    except Exception as error:
        # DVC says which folder it could not list; why is in the cause.
        cause = error.__cause__ or error
        if not isinstance(cause, FileNotFoundError):
            raise SystemExit(f"{type(cause).__name__}: {cause}") from error
        print("lost  .")
    for path in files:
        name = path.removeprefix(f"{top}/")
        if name.startswith("/") or ".." in name.split("/"):
            raise SystemExit(f"the list of files in the store names {name!r}, which lies outside of the release")
        if name in ask["have"] or (ask["only"] and name not in ask["only"]):
            continue
        try:
            source = store.open(path, "rb")
        except FileNotFoundError:
            print(f"lost  {name}")
            continue
        with source:
            if not ask["look"]:
                print(f"{copied(source, ask['to'], name)}  {name}", flush=True)


def copied(source: IO[bytes], to: str | None, name: str) -> str:
    """The sha256 of a file, which is then in the folder `to` as well, if one is given."""
    digest = hashlib.sha256()
    target = Path(to, name) if to else Path(os.devnull)
    half = target.with_name(f"{target.name}{PARTIAL}") if to else target
    if to:
        target.parent.mkdir(parents=True, exist_ok=True)
    with half.open("wb") as copy:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if to:
        half.replace(target)
    return digest.hexdigest()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
