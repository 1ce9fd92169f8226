"""The packet of a dataset: every document of tasks/documents/ as HTML and PDF, an index, and the record or its digests."""

import os
import shutil
from pathlib import Path

import tasks.documents
from catalog import evidence as records
from schema import plugins
from schema.digest import write_bytes, write_json
from schema.errors import SynthmillError, UsageError
from schema.release import check_name
from tasks.documents import Evidence, _render
from tasks.documents._edition import Edition
from tasks.reporting.pdf import PAPERS, write_pdf

FORMAT = "synthmill-packet/1"
FIRST = "privacy-summary"
"""What is read first stands first."""


def write(dataset: str, to: Path, edition: str = "public", paper: str | None = "A4") -> list[Path]:
    """Writes the packet into the folder `to`, as a whole or not at all; the files written. `paper`: A4, Letter, or None for HTML alone.

    The internal edition holds the record; the public one its digests. Raises UsageError for a folder that holds something or an unknown
    edition or paper, SynthmillError where there is no record or PDFs cannot be made, and IntegrityError for a record that was changed.
    """
    if edition not in list(Edition):
        raise UsageError(f"no edition is called {edition!r}; there are: {', '.join(Edition)}")
    if paper is not None and paper not in PAPERS:
        raise UsageError(f"no paper is called {paper!r}; there are: {', '.join(PAPERS)}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not empty: name a folder that is, or is not there yet")
    text = _record(check_name(dataset))
    entries = list(records.parse(text, str(records.record_file(dataset))))
    temporary = to.absolute().with_name(f".{to.absolute().name}.{os.getpid()}.tmp")
    try:
        _fill(temporary, Evidence(dataset, entries), Edition(edition), paper, text)
        os.rename(temporary, to.absolute())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(to.iterdir())


def _record(dataset: str) -> str:
    """The whole lines of the record: one that a killed process left torn was never finished."""
    path = records.record_file(dataset)
    if not path.is_file():
        raise SynthmillError(f"there is no record of {dataset}: its stages write one as they run (`synthmill run {dataset}`)")
    text = path.read_bytes()
    return text[: text.rfind(b"\n") + 1].decode("utf-8", "replace")


def _fill(folder: Path, evidence: Evidence, edition: Edition, paper: str | None, record: str) -> None:
    found = [Plugin() for Plugin in plugins.find(tasks.documents).values()]
    documents = sorted(found, key=lambda document: (document.kind != FIRST, document.title))
    for document in documents:
        page = _render.html(document, evidence, edition)
        write_bytes(folder / f"{document.kind}.html", page.encode())
        if paper:
            write_pdf(page, folder / f"{document.kind}.pdf", paper)
    index = _render.index(documents, evidence, edition, paper is not None)
    write_bytes(folder / "index.html", index.encode())
    if edition is Edition.INTERNAL:
        write_bytes(folder / "record.intoto.jsonl", record.encode())
    else:
        write_json(folder / "record-digests.json", digests(evidence))


def digests(evidence: Evidence) -> dict:
    """The digest of each statement, oldest first, and nothing that they say."""
    statements = [entry.digest for entry in evidence.entries]
    return {"format": FORMAT, "dataset": evidence.dataset, "statements": statements, "head": statements[-1] if statements else None}
