"""The example report of the docs: what a build of drawn phantoms, which show nobody, gave its reader.

    python -m app.example phantom-cxr        # after `./mill run phantom-cxr`: writes docs/example-report/

The numbers are those of that build. That the pages are what the code makes of them today, a test checks.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from catalog import evidence, signing
from schema import plugins
from schema.digest import read_json, write_bytes, write_json
from schema.params import load
from schema.settings import ROOT

FOLDER = ROOT / "docs" / "example-report"
RECORD = "record.intoto.jsonl"
KEY = "signing-key.pem"
"""The public key of who signed the record: the pages believe this one, whatever is set where they are made."""


def pages(folder: Path = FOLDER) -> dict[str, str]:
    """{name: HTML} of the public report and of every document, as the code makes them today of what the folder holds."""
    import tasks.documents
    from tasks.documents import Evidence, _render
    from tasks.documents._edition import Edition
    from tasks.reporting.pictures import Picture, Pictures, Sheet
    from tasks.reporting.render import html

    said = read_json(folder / "pictures.json")
    sheets = [Sheet(sheet["label"], Picture(**sheet["synthetic"])) for sheet in said["sheets"]]
    facts = read_json(folder / "report.json")
    entries = list(evidence.parse((folder / RECORD).read_text(encoding="utf-8"), RECORD, signing.keys_at(folder / KEY)))
    about = Evidence(facts["dataset"]["name"], entries)
    documents = [Plugin() for Plugin in plugins.find(tasks.documents).values()]
    made = {f"{document.kind}.html": _render.html(document, about, Edition.PUBLIC) for document in documents}
    return {"report.html": html(facts, Pictures(said["reduced"], sheets)), **made}


def write(dataset: str) -> None:
    """Raises SynthmillError for a dataset of real people, or one that was not built."""
    from schema.errors import UsageError
    from tasks.reporting.gather import read
    from tasks.reporting.nearest import compare
    from tasks.reporting.pdf import write_pdf
    from tasks.reporting.pictures import public_pictures
    from tasks.stage import reports_folder

    if load().dataset(dataset).ingest.source.kind != "phantom":
        raise UsageError(f"{dataset} is not drawn: only what shows nobody goes into the docs")
    by = signing.signer()
    if by is None:
        raise UsageError("the example's record is signed: build and write it with the same SYNTHMILL_SIGNING_KEY")
    workspace = read(dataset)
    pictures: dict[str, Any] = asdict(public_pictures(workspace, compare(workspace.train, workspace.holdout, workspace.synthetic)))
    public = reports_folder(dataset) / "report" / "public"
    write_json(FOLDER / "pictures.json", {key: pictures[key] for key in ("reduced", "sheets")})
    write_bytes(FOLDER / "report.json", (public / "report.json").read_bytes())
    write_bytes(FOLDER / RECORD, evidence.record_file(dataset).read_bytes())
    write_bytes(FOLDER / KEY, by.public.encode())
    for name, page in pages().items():
        write_bytes(FOLDER / name, page.encode())
    write_pdf((FOLDER / "report.html").read_text(encoding="utf-8"), FOLDER / "report.pdf")


if __name__ == "__main__":
    write(*sys.argv[1:])
