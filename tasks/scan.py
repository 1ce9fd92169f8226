"""What the source holds right now, as one digest: ingest runs again when it changes, and only then. Likewise what training starts from,
and since when the gates' thresholds are what they are.

    python -m tasks.scan pneumonia

The path of the data comes from the environment and so cannot be a dependency of the graph itself; this digest is one.
Files are hashed once and again only when their size or time of change differs.
"""

import os
from collections.abc import Callable, Collection
from pathlib import Path

from catalog import evidence
from schema.digest import read_json, sha256_bytes, sha256_json, write_json
from schema.errors import IntegrityError, SynthmillError
from schema.params import load
from schema.settings import id_key, root
from schema.withdrawn import Withdrawn, withdrawn_file
from tasks import history, starts
from tasks.ingesting.keys import withdrawal
from tasks.ingesting.reader import check_source
from tasks.ingesting.seen import Seen
from tasks.progress import ticking
from tasks.sources import Source
from tasks.stage import main


def scan_file(dataset: str) -> Path:
    return root() / "data" / "sources" / f"{dataset}.json"


def scan(dataset: str, source: Source, tick: Callable[[], None] = lambda: None) -> dict:
    """{"kind", "digest", "files", "keyed"}: of the source's section and, file by file, of its name and bytes, wherever the folder lies."""
    digests = Seen(dataset).look(source.files(), tick)
    files = list(digests)
    top = os.path.commonpath([path.parent for path in files]) if files else ""
    before = scan_file(dataset)
    if not id_key() and before.is_file() and read_json(before).get("keyed"):
        raise SynthmillError(
            f"SYNTHMILL_ID_KEY was set when {dataset} was built last and is not now: export it, or delete {before} to go on without a key"
        )
    listed = [[os.path.relpath(path, top), digest] for path, digest in digests.items()]
    # Another key gives every record another id, so it decides the result; only its digest is written, and only here.
    decides = [source.config.model_dump(mode="json"), listed, sha256_bytes(b"id key" + id_key())]
    gone = withdrawn(dataset)
    digest = sha256_json([*decides, sorted(gone)] if gone else decides)
    return {"kind": source.kind, "digest": digest, "files": len(files), "keyed": bool(id_key())}


def withdrawn(dataset: str) -> Collection[str]:
    """The keyed patients who were withdrawn. Raises IntegrityError where the dataset's record knows of one whom the file lacks."""
    gone = Withdrawn.of(dataset).patients
    marks = {withdrawal(dataset, patient) for patient in gone}
    said = [one.statement.predicate["withdrawal"] for one in evidence.recalls(dataset)]
    if not marks.issuperset(said):
        raise IntegrityError(
            f"{withdrawn_file(dataset)} lacks patients who were withdrawn by what {evidence.record_file(dataset)} says: put it back from a "
            "copy, export the SYNTHMILL_ID_KEY that was set then, or `recall` them again"
        )
    return gone.keys()


def run(dataset: str) -> None:
    """Writes <dataset>.json in data/sources, data/starts and data/history. Raises SynthmillError when the source is not there or has
    labels nobody declared, or when there is no such model as `train.init` names."""
    section = load().dataset(dataset)
    history.write(dataset)
    starts.write(dataset, section.train)
    source = check_source(dataset, section.ingest)
    with ticking("scan", "hashing files", len(source.files()), "file") as ticker:
        write_json(scan_file(dataset), scan(dataset, source, ticker.update))


if __name__ == "__main__":
    main(run)
