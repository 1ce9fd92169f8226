"""What every document must keep, run on each one there is in tasks/documents/."""

import re

import document_record as dr
import pytest

import tasks.documents
from schema import plugins
from tasks.documents import Evidence, _render
from tasks.documents._blocks import NOT_EVIDENCED, claims
from tasks.documents._edition import Edition

PLUGINS = plugins.find(tasks.documents)
EDITIONS = list(Edition)


@pytest.fixture(params=sorted(PLUGINS))
def document(request):
    return PLUGINS[request.param]()


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    return dr.record(tmp_path_factory.mktemp("record"))


def made(document, entries, edition=Edition.INTERNAL):
    return claims(document.sections(Evidence(dr.DATASET, entries), edition))


def page(document, entries, edition=Edition.INTERNAL) -> str:
    return _render.html(document, Evidence(dr.DATASET, entries), edition)


def visible(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("</style>", 1)[1]))


def test_the_kind_is_the_name_of_the_module(document):
    assert type(document).__module__ == f"tasks.documents.{document.kind.replace('-', '_')}"


@pytest.mark.parametrize("edition", EDITIONS)
def test_each_claim_stands_on_a_statement_of_the_record_or_says_that_it_does_not(document, entries, edition):
    there = {entry.digest for entry in entries}
    found = made(document, entries, edition)
    assert all(set(claim.on) <= there and (claim.on or not claim.evidenced) for claim in found)
    html = page(document, entries, edition)
    assert set(re.findall(r'href="#sha256-(\w+)"', html)) == set(re.findall(r'id="sha256-(\w+)"', html)) <= there
    assert html.count(f'<span class="unevidenced">{NOT_EVIDENCED}</span>') >= sum(not claim.evidenced for claim in found)
    assert sum(claim.evidenced for claim in found) > len(found) / 2


@pytest.mark.parametrize("edition", EDITIONS)
def test_of_an_empty_record_nothing_is_evidenced_and_the_document_still_stands(document, edition):
    found = made(document, [], edition)
    assert found
    assert not any(claim.evidenced for claim in found)
    text = visible(page(document, [], edition))
    assert text.count(NOT_EVIDENCED) >= len(found)
    assert "certifies nothing" in text


def test_without_a_gates_statement_what_stood_on_it_is_not_evidenced_and_all_else_stays(document, entries):
    before = made(document, entries)
    for gate in dr.OF_GATES:
        gone = next(entry for entry in entries if (entry.statement.predicate.get("synthmill_said") or {}).get("gate") == gate)
        after = made(document, [entry for entry in entries if entry is not gone])
        assert len(after) == len(before)
        for old, new in zip(before, after, strict=True):
            assert gone.digest not in new.on
            if old.on == (gone.digest,):
                assert not new.evidenced
            elif gone.digest not in old.on:
                assert new == old


def test_a_verdict_of_other_images_than_the_newest_evidences_nothing(document, tmp_path):
    entries = dr.record(tmp_path, dr.sampled(digest="9" * 64))
    verdicts = {entry.digest for entry in entries if "gate" in (entry.statement.predicate.get("synthmill_said") or {})}
    for claim in made(document, entries):
        if set(claim.on) & verdicts:
            assert not claim.evidenced
            assert claim.why == "the newest verdict is of other synthetic images"


def test_the_public_edition_gives_no_score_id_path_or_name_away(document, entries):
    text = page(document, entries, Edition.PUBLIC)
    assert not [secret for secret in dr.SECRETS if secret in text]
    for score in dr.SCORES:
        for digits in (3, 4, 5, 6, 7):
            for form in (f"{abs(score):.{digits}g}", f"{100 * abs(score):.{digits}g}"):
                assert form not in visible(text), f"{form} of {score}"


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_page_fetches_nothing_runs_nothing_and_can_be_read_aloud(document, entries, edition):
    html = page(document, entries, edition)
    assert '<html lang="en">' in html
    assert re.search(r"<title>[^<]+</title>", html)
    assert not re.findall(r"<script|<link|<iframe|<img|\bon\w+=|@import|url\(|https?://", html.split("<main>")[0])
    assert not re.findall(r"<script|<link|<iframe|<img|\bsrc=", html)
    assert html.count("<h1") == 1
    tables = re.findall(r"<table.*?</table>", html, re.S)
    assert tables
    assert all("<caption>" in table and 'scope="col"' in table and 'scope="row"' in table for table in tables)
    assert not re.findall(r"<th(?! scope=)[ >]", html)


def test_two_runs_give_the_same_page(document, entries):
    assert page(document, entries) == page(document, entries)
