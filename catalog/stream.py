"""Reads a folder that DVC keeps, file by file, hashing as it goes: a program of its own, so that no caller has to import DVC.

    python catalog/stream.py '{"repo": ..., "rev": ..., "path": ..., "to": null, "only": [], "have": [], "remote": null, "config": {}}'

Prints lines of SHA256SUMS form for the files of `path` at the git revision `rev`, or for those that `only` names, and not for those
that `have` names; with `to`, writes them there too, each under a name of its own until it is whole.
With a cache folder in `config` that is empty, every byte comes from the remote: that is how a push is verified.
Imports nothing of ours, and holds one chunk in memory.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from dvc.api import DVCFileSystem

CHUNK = 4 * 2**20
PARTIAL = ".partial"


def main(ask: dict) -> None:
    store = DVCFileSystem(ask["repo"], rev=ask["rev"], remote=ask["remote"], config=ask["config"])
    top = f"/{ask['path']}"
    for path in sorted(store.find(top)):
        name = path.removeprefix(f"{top}/")
        if name in ask["have"] or (ask["only"] and name not in ask["only"]):
            continue
        digest = hashlib.sha256()
        target = Path(ask["to"], name) if ask["to"] else Path(os.devnull)
        half = target.with_name(f"{target.name}{PARTIAL}") if ask["to"] else target
        if ask["to"]:
            target.parent.mkdir(parents=True, exist_ok=True)
        with store.open(path, "rb") as source, half.open("wb") as copy:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        if ask["to"]:
            half.replace(target)
        print(f"{digest.hexdigest()}  {name}", flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
