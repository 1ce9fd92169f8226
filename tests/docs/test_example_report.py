"""The example report in the docs is what the code makes today of the numbers that stand beside it."""

import pytest

from app.example import FOLDER, RECORD, pages
from catalog import evidence
from schema.digest import read_json


@pytest.fixture(scope="module")
def made():
    return pages()


def test_every_page_is_what_the_code_makes_today(made):
    stale = [name for name, page in made.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != page]
    assert not stale, "run `python -m app.example phantom-cxr` after a build of it"
    assert {path.name for path in FOLDER.glob("*.html")} == set(made)


def test_its_record_holds_together_and_is_of_the_bytes_that_the_report_speaks_of():
    entries = evidence.parse((FOLDER / RECORD).read_text(encoding="utf-8"), RECORD)
    gates = [entry.statement for entry in entries if entry.statement.predicate.get("synthmill_said", {}).get("gate")]
    facts = read_json(FOLDER / "report.json")
    assert {gate.predicate["synthmill_said"]["gate"] for gate in gates} == {gate["gate"] for gate in facts["gates"]}
    assert all(gate.predicate["synthmill_said"]["subject"]["synthetic"] == facts["provenance"]["synthetic"]["digest"] for gate in gates)


def test_the_printed_report_is_the_page(made):
    from pypdf import PdfReader

    reader = PdfReader(FOLDER / "report.pdf")
    text = "".join(page.extract_text() for page in reader.pages)
    assert read_json(FOLDER / "report.json")["provenance"]["synthetic"]["digest"][:12] in text
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
