"""The packet as a whole, and its PDFs: tags, paper, fonts, and what they refuse."""

import builtins
import json

import document_record as dr
import pypdf
import pytest

from catalog import evidence
from schema.errors import IntegrityError, SynthmillError, UsageError
from tasks import packet
from tasks.reporting import pdf

PAGE = '<!doctype html><html lang="en"><head><title>A page</title></head><body><h1>Head</h1>{}</body></html>'
TABLE = '<table><thead><tr><th scope="col">a</th></tr></thead><tbody><tr><td>− ε 0.09</td></tr></tbody></table>'


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    dr.record(tmp_path)
    return tmp_path


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_internal_packet_holds_the_record_and_the_public_one_only_its_digests(workspace):
    packet.write(dr.DATASET, workspace / "in", "internal", paper=None)
    written = packet.write(dr.DATASET, workspace / "out", "public", paper=None)
    record = evidence.record_file(dr.DATASET)
    assert (workspace / "in/record.intoto.jsonl").read_bytes() == record.read_bytes()
    assert names(workspace / "out") == names(workspace / "in") - {"record.intoto.jsonl"} | {"record-digests.json"}
    assert set(written) == set((workspace / "out").iterdir())
    told = json.loads((workspace / "out/record-digests.json").read_text())
    assert told["statements"] == [entry.digest for entry in evidence.read(record)]
    everything = "".join(path.read_text() for path in written)
    assert not [secret for secret in dr.SECRETS if secret in everything]
    assert dr.APPROVER in everything


def test_a_packet_is_there_as_a_whole_or_not_at_all(workspace, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(packet, "write_pdf", full)
    with pytest.raises(OSError, match="no space"):
        packet.write(dr.DATASET, workspace / "out" / "packet")
    assert not names(workspace / "out")


def test_a_packet_goes_into_an_empty_folder_alone(workspace):
    (workspace / "there").mkdir()
    packet.write(dr.DATASET, workspace / "there", paper=None)
    with pytest.raises(UsageError, match="not empty"):
        packet.write(dr.DATASET, workspace / "there", paper=None)


def test_what_cannot_be_is_refused_before_anything_is_written(workspace):
    for asked in ({"edition": "secret"}, {"paper": "A3"}):
        with pytest.raises(UsageError, match="there are"):
            packet.write(dr.DATASET, workspace / "out", **asked)
    with pytest.raises(SynthmillError, match="no record of other"):
        packet.write("other", workspace / "out")
    assert not (workspace / "out").exists()


def test_of_a_record_that_was_changed_no_packet_is_made(workspace):
    record = evidence.record_file(dr.DATASET)
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(IntegrityError, match="line 4"):
        packet.write(dr.DATASET, workspace / "out", paper=None)


def structure(node) -> list[str]:
    """The tags of a PDF's structure tree, in order."""
    node = node.get_object()
    if not isinstance(node, pypdf.generic.DictionaryObject):
        return []
    kids = node.get("/K", [])
    kids = kids if isinstance(kids, list) else [kids]
    return [*([node["/S"]] if "/S" in node else []), *(tag for kid in kids for tag in structure(kid))]


@pytest.mark.parametrize(("paper", "points"), [("A4", (595, 842)), ("Letter", (612, 792))])
def test_a_pdf_has_tags_title_language_its_own_fonts_and_the_paper(tmp_path, paper, points):
    pdf.write_pdf(PAGE.format(TABLE), tmp_path / "a.pdf", paper)
    read = pypdf.PdfReader(tmp_path / "a.pdf")
    root = read.trailer["/Root"]
    assert [round(edge) for edge in read.pages[0].mediabox[2:]] == list(points)
    assert (read.metadata.title, root["/Lang"], root["/MarkInfo"]["/Marked"]) == ("A page", "en", True)
    assert {"/H1", "/Table", "/TH", "/TD"} <= set(structure(root["/StructTreeRoot"]))
    assert {font["/BaseFont"].split("+")[1] for font in read.pages[0]["/Resources"]["/Font"].values()} <= {"Page-Sans", "Page-Sans-Bold"}
    assert "− ε 0.09" in read.pages[0].extract_text()


def test_the_same_page_gives_the_same_bytes(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        pdf.write_pdf(PAGE.format(TABLE), tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.png", "file:///etc/hostname"])
def test_a_page_that_asks_for_something_outside_itself_becomes_no_pdf(tmp_path, address):
    with pytest.raises(SynthmillError, match="fetches nothing"):
        pdf.write_pdf(PAGE.format(f'<img src="{address}" alt="">'), tmp_path / "a.pdf")
    assert not names(tmp_path)


def test_without_pango_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def lacking(name, *rest):
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(SynthmillError, match=r"install libpango-1\.0-0 and libpangoft2-1\.0-0|install libpango"):
        pdf.write_pdf(PAGE.format(""), tmp_path / "a.pdf")
    assert not names(tmp_path)


def test_after_a_pdf_was_made_a_truncated_image_is_still_no_image(tmp_path):
    from PIL import ImageFile

    pdf.write_pdf(PAGE.format(TABLE), tmp_path / "x.pdf")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
