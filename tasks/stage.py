"""What every stage has in common: how it is started, where its folders are, and how it ends when it cannot go on."""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from schema.digest import sha256_file, sha256_json
from schema.errors import SynthmillError
from schema.settings import ROOT, quieten, root

if TYPE_CHECKING:
    from tasks.evidencing import Run


def main(run: Callable[..., None]) -> None:
    """Runs a stage with the command line's words as arguments; ends with one message and the error's exit code.

    A stage ends with an error if params.yaml or code changed while it ran: DVC notes what it depends on afterwards, and would
    take the new for what the result was made of.
    """
    quieten()
    try:
        before = code_digest(), sha256_file(root() / "params.yaml")
        under_way = begin_record()
        run(*sys.argv[1:])
        if before != (code_digest(), sha256_file(root() / "params.yaml")):
            raise SynthmillError("params.yaml or the code was edited while this stage ran, so its result is thrown away: run again")
        if under_way:
            under_way.finish(before[0])
    except SynthmillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(
            f"error: the disk is full ({error.filename or root()}): free some space and run the same command again; what is whole is kept",
            file=sys.stderr,
        )
        sys.exit(1)


def begin_record() -> "Run | None":
    """The run as it will stand in the dataset's record; None for a stage that has none. Raises UsageError for a bad signing key."""
    from tasks import evidencing

    name = evidencing.stage_name()
    return evidencing.Run(name, *sys.argv[1:]) if name in evidencing.PLANS else None


def code_digest() -> str:
    """Digest of all the code that a stage could run, and of the versions of what it stands on."""
    files = sorted(path for package in ("schema", "models", "tasks", "catalog") for path in (ROOT / package).rglob("*.py"))
    lock = ROOT / "requirements.lock"
    return sha256_json([[path.relative_to(ROOT).as_posix(), sha256_file(path)] for path in (*files, lock)])


def ingest_folder(dataset: str) -> Path:
    return root() / "data" / "ingest" / dataset


def model_folder(dataset: str) -> Path:
    return root() / "data" / "models" / dataset


def samples_folder(dataset: str) -> Path:
    return root() / "data" / "samples" / dataset


def history_file(dataset: str) -> Path:
    """Since when each gate's section of params.yaml is what it is, as `scan` found it."""
    return root() / "data" / "history" / f"{dataset}.json"


def reports_folder(dataset: str) -> Path:
    return root() / "reports" / dataset


def verdict_file(dataset: str, gate: str) -> Path:
    return reports_folder(dataset) / "gates" / gate / "verdict.json"


class Scratch:
    """A folder for half-made results, named by the fingerprint of all that decides them: a rerun finds its own and no other.

    DVC deletes an out before its stage runs, so what should survive a kill is kept here and moved when whole.
    """

    def __init__(self, stage: str, dataset: str, **decides: object) -> None:
        self.fingerprint = sha256_json([decides, code_digest()])
        self.folder = root() / "data" / "scratch" / stage / dataset / self.fingerprint[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        for torn in self.folder.rglob(".*.tmp"):
            torn.unlink()

    def keep_only(self, *names: str) -> None:
        """Drops every file but these, such as shards that a killed run with other counts left behind."""
        for path in self.folder.iterdir():
            if path.name not in names:
                path.unlink()

    def move_to(self, out: Path, made: Path | None = None) -> None:
        """Makes the folder (or `made`, a folder in it) the stage's out in one rename, and drops all other scratch of the stage."""
        if out.exists():
            shutil.rmtree(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made or self.folder, out)
        shutil.rmtree(self.folder.parent, ignore_errors=True)
