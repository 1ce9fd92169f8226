"""What a search finds: the same on SQLite, on PostgreSQL, and by looking at every release and image in plain Python."""

import json
import operator
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest
import release_workspace as rw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

import catalog
from app.cli import main
from bench.search import GATES, IMAGES, KINDS, LICENSES, MARKS, RELEASES, VIEWS, MadeUp
from catalog.database import bitmaps, search
from catalog.database.engine import connect, writing
from catalog.database.index import put
from catalog.finder import LIMIT
from catalog.parser import read
from catalog.query import AttributeCount, Bound, Count, Filter, Ruling
from catalog.words import key, tokens
from schema.errors import UsageError
from tests.catalog import postgres

TITLES = (
    "Frontal chest X-rays with pneumonia",
    "Radiographies of the thorax: frontal view",
    "Études d'œdèmes pulmonaires",
    "Lesions, studies and biopsies of the skin",
    "100 % of a_b\\c",
    "Robert'); DROP TABLE releases;--",
    '"quoted" AND (OR) NOT * ^ NEAR',
    "Снимки грудной клетки 胸部",
    "T1-weighted heads, 256x256 at 1.5 T, 1e5 voxels, e.g. http://x.y/z",
    "The a of and",
)
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}


class Corpus(MadeUp):
    def __init__(self, number: int) -> None:
        super().__init__(number, 5 + number % 7 * 12)
        self.release |= {"title": TITLES[number % len(TITLES)]}
        self.rows = [row for images, _ in super().images() for row in images]
        self.batches = list(MadeUp(number, 5 + number % 7 * 12).images())

    def images(self):
        return iter(self.batches)


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Of 16 images, so that the larger releases have several."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (bitmaps, search):
            patch.setattr(module, "BLOCK", 16)
        yield


@pytest.fixture(scope="module")
def corpus() -> list[Corpus]:
    return [Corpus(number) for number in range(40)]


@pytest.fixture(scope="module")
def engines(cluster, corpus, tmp_path_factory) -> dict:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for address in (f"sqlite:///{tmp_path_factory.mktemp('corpus')}/corpus.db", postgres.database(cluster, "corpus")):
            patch.setenv("SYNTHMILL_CATALOG_URL", address)
            engine = connect()
            found[engine.dialect.name] = engine
            with writing(engine) as connection:
                for each in corpus:
                    put(connection, each)
    return found


def tags_of(engine, asked: Filter) -> list[str]:
    with engine.connect() as connection:
        return [row["tag"] for row in search.releases(connection, asked, LIMIT)]


def is_found(asked: Filter, each: Corpus, corpus: list[Corpus]) -> bool:
    """The meaning of a filter, said once more and as plainly as can be."""
    said = each.release
    runs = [tokens(text) for text in (said["title"], said["description"], said["modality"], *said["labels"])]
    verdicts = {verdict["gate"]: verdict for verdict in each.verdicts}
    newest = max(other.release["major"] for other in corpus if other.release["dataset"] == said["dataset"])

    def has(phrase: str, within: list[list[str]]) -> bool:
        words = tokens(phrase)
        return any(run[at : at + len(words)] == words for run in within for at in range(len(run)))

    def counted(one: Count, images: int) -> bool:
        return images > 0 and SIGNS[one.op](images, one.value)

    def bearing(one: AttributeCount) -> int:
        values = [row["attributes"].get(one.attribute) for row in each.rows]
        return sum(key(one.name) in map(key, value if isinstance(value, list) else [value] if value else []) for value in values)

    return all(
        (
            not asked.dataset or said["dataset"] in asked.dataset,
            not asked.release or said["tag"] in asked.release,
            not asked.license or said["license"].casefold() in [one.casefold() for one in asked.license],
            not asked.modality or any(has(one, [tokens(said["modality"])]) for one in asked.modality),
            all(has(text, runs) for text in asked.text),
            all(counted(one, sum(n for label, n in said["labels"].items() if key(label) == key(one.name))) for one in asked.label),
            all(counted(one, bearing(one)) for one in asked.attribute),
            all(said[one.name] is not None and SIGNS[one.op](said[one.name], one.value) for one in asked.number),
            all(SIGNS[one.op](verdicts[one.name]["value"], one.value) for one in asked.gate),
            all(verdicts[one.gate]["status"] == one.status for one in asked.verdict),
            all(SIGNS[one.op](said["published"], one.day) for one in asked.published),
            not asked.latest or said["major"] == newest,
            asked.recalled == "any" or said["recalled"] == (asked.recalled == "yes"),
        )
    )


def bears(asked: Filter, row: dict) -> bool:
    found = {name: [key(one) for one in (value if isinstance(value, list) else [value])] for name, value in row["attributes"].items()}
    return all(
        (
            not asked.label or key(row["label"]) in [key(one.name) for one in asked.label],
            all(key(one.name) in found.get(one.attribute, []) for one in asked.attribute),
            asked.seed is None or asked.seed[0] <= row["seed"] <= asked.seed[1],
        )
    )


texts = st.sampled_from(
    [word for title in TITLES for word in title.split() if tokens(word)] + ["chest", "skin lesions", "frontal chest", "T1"]
)
ops = st.sampled_from(sorted(SIGNS))
labels = st.sampled_from([label for _, names in KINDS.values() for label in names] + ["Pneumonias", "none of them"])
attributes = st.sampled_from([("view", view) for view in VIEWS] + [("marks", mark) for mark in MARKS] + [("rare", "Once"), ("no", "such")])


def few(strategy, most: int = 1):
    return st.lists(strategy, max_size=most).map(tuple)


filters = st.builds(
    Filter,
    text=few(texts),
    dataset=few(st.integers(0, 25).map(lambda number: f"made-{number:04d}"), 8),
    modality=few(st.sampled_from([*KINDS, "chest", "fundus photographs", "radiograph chest"]), 2),
    license=few(st.sampled_from([*LICENSES, "cc0-1.0"]), 3),
    label=few(st.builds(Count, name=labels, op=ops, value=st.integers(0, 30)), 2),
    attribute=few(
        attributes.flatmap(
            lambda two: st.builds(AttributeCount, attribute=st.just(two[0]), name=st.just(two[1]), op=ops, value=st.integers(0, 9))
        )
    ),
    number=few(
        st.builds(
            Bound, name=st.sampled_from(["images", "size", "epsilon", "delta"]), op=ops, value=st.sampled_from([0, 5.0, 17, 1e-5, 1e5])
        )
    ),
    gate=few(
        st.sampled_from(sorted(GATES)).flatmap(lambda gate: st.builds(Bound, name=st.just(gate), op=ops, value=st.floats(0, GATES[gate])))
    ),
    verdict=few(st.builds(Ruling, gate=st.sampled_from(sorted(GATES)), status=st.sampled_from(["PASS", "FAIL", "MISSING"]))),
    latest=st.booleans(),
    recalled=st.sampled_from(["any", "any", "no", "yes"]),
)


@given(filters)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_both_databases_find_the_releases_that_plain_python_finds(engines, corpus, asked):
    expected = sorted(each.release["tag"] for each in corpus if is_found(asked, each, corpus))
    for engine in engines.values():
        found = tags_of(engine, asked)
        assert sorted(found) == expected
        assert found == sorted(found, key=lambda tag: (tag.split("@")[0], -int(tag.split("@v")[1].split(".")[0])))


@given(filters, st.none() | st.tuples(st.integers(0, 40_000), st.integers(0, 9_000)), st.sampled_from([1, 7, 50]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_both_databases_find_the_images_page_by_page(engines, corpus, asked, seeds, limit):
    asked = asked.model_copy(update={"seed": (seeds[0], seeds[0] + seeds[1]) if seeds else None})
    rows = [row for each in corpus if is_found(asked, each, corpus) for row in each.rows if bears(asked, row)]
    expected = sorted((row["release"], row["position"]) for row in rows)[: 3 * limit]
    for engine in engines.values():
        found, after = [], None
        with engine.connect() as connection:
            while len(found) < 3 * limit and (page := search.images(connection, asked, limit, after)):
                after = (page[-1]["release"], page[-1]["position"])
                found += [(row["release"], row["position"]) for row in page]
        assert found == expected


ATTACKS = (
    "x'; DROP TABLE releases; --",
    'x"; DROP TABLE releases; --',
    "' OR '1'='1",
    "%",
    "_",
    "pneumonia' UNION SELECT name FROM sqlite_master --",
    "\\'; SELECT pg_sleep(10); --",
    "words:* OR tag:*",
    '"unclosed',
    "a & !b | c <-> d:*",
    ":name %(name)s $1 ?",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_is_asked_for_becomes_sql(engines, attack):
    """Every statement is the same, whatever is asked for: only its parameters differ."""

    def statements(word: str, engine) -> list[str]:
        seen = []
        listen = event.listens_for(engine, "before_cursor_execute")
        hook = listen(lambda connection, cursor, statement, *_: seen.append(statement))
        asked = Filter(
            license=[word],
            label=[Count(name=word)],
            attribute=[AttributeCount(attribute="view", name=word)],
            **({"text": [word], "modality": [word]} if tokens(word) else {}),
        )
        try:
            with engine.connect() as connection:
                assert search.releases(connection, asked, 5) == []
                assert list(search._places(connection, asked, [word], (word, 0))) == []
                assert search._images(connection, [(word, 0)]) == []
        finally:
            event.remove(engine, "before_cursor_execute", hook)
        return seen

    harmless = "word" if tokens(attack) else "+"
    for engine in engines.values():
        assert statements(attack, engine) == statements(harmless, engine)
        with engine.connect() as connection:
            assert len(search.releases(connection, Filter(recalled="any"), LIMIT)) == 40


@pytest.mark.parametrize("said", ["frontal chest x-rays with pneumonia", *RELEASES])
def test_a_documented_example_finds_the_same_in_both(engines, corpus, said):
    asked = read(said, set(GATES)).filter
    expected = {each.release["tag"] for each in corpus if is_found(asked, each, corpus)}
    assert [set(tags_of(engine, asked)) for engine in engines.values()] == [expected] * 2


@pytest.mark.parametrize(
    ("word", "found"),
    [("biopsies", 3), ("biopsy", 3), ("Oedemes", None), ("œdèmes", 2), ("etudes", 2), ("clinic", None), ("СНИМКИ", 7), ("voxel", 8)],
)
def test_words_are_found_in_any_number_case_and_accent(engines, corpus, word, found):
    expected = {each.release["tag"] for number, each in enumerate(corpus) if number % len(TITLES) == found}
    for engine in engines.values():
        assert set(tags_of(engine, Filter(text=[word], recalled="any"))) == expected


def test_the_benchmark_s_queries_are_searches_that_can_be():
    assert all(not read(said, set(GATES)).not_understood for said in (*RELEASES, *IMAGES))


@pytest.fixture
def indexed(reader, database, engines) -> rw.Workspace:
    """The published release, and an index of its own that is still empty."""
    return reader


def test_the_python_call_takes_words_or_a_filter_and_says_what_it_understood(indexed):
    answer = catalog.search("chest radiographs with pneumonia, at least 6, without effusion")
    assert [row["tag"] for row in answer.releases] == ["pneumonia@v1.0.0"]
    assert answer.not_understood == ("without effusion",)
    assert answer.filter == Filter(text=["chest", "radiographs"], label=[Count(name="pneumonia", value=6)])
    assert catalog.search(answer.filter).releases == answer.releases
    assert catalog.search("label:pneumonia>=7").releases == []
    with pytest.raises(UsageError, match=r"no gate is called 'fids' \(did you mean 'fid'\?\)"):
        catalog.search(Filter(gate=[Bound(name="fids", op="<", value=1)]))
    with pytest.raises(UsageError, match="seeds are of images"):
        catalog.search("seed:1..2")
    with pytest.raises(UsageError, match="from 1 to 1000"):
        catalog.search("", limit=0)
    first = catalog.search_images("label:pneumonia", limit=4)
    second = catalog.search_images("label:pneumonia", limit=4, after=first.next)
    seeds = [row["seed"] for row in (*first.images, *second.images)]
    assert (seeds, second.next) == ([501, 503, 505, 507, 509, 511], None)
    assert all(a < b for a, b in pairwise(seeds))
    with pytest.raises(UsageError, match="is no place in the images"):
        catalog.search_images("", after="x")


def run(capsys, monkeypatch, *words: str) -> tuple[str, str]:
    monkeypatch.setattr(sys, "argv", ["synthmill", "search", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    return capsys.readouterr()


def test_the_command_line_says_what_it_found_and_how_it_understood(indexed, capsys, monkeypatch):
    out, err = run(capsys, monkeypatch, "chest x-rays under ten", "--json")
    said = json.loads(out)
    assert (said["understood"], said["not_understood"]) == ('"chest" "x-rays"', ["under ten"])
    assert [row["tag"] for row in said["releases"]] == ["pneumonia@v1.0.0"]
    assert said["releases"][0]["verdicts"][1]["gate"] == "mia-white-box"
    out, err = run(capsys, monkeypatch, "chest x-rays under ten")
    assert "pneumonia@v1.0.0" in out
    assert "not understood, and left out: 'under ten'" in err
    out, err = run(capsys, monkeypatch, "label:normal", "--images", "--limit", "2")
    assert "pneumonia-0000000" in out
    assert "--after pneumonia@v1.0.0:2" in err


def test_help_is_there_without_sqlalchemy():
    code = "import sys, catalog, app.cli; catalog.search; assert 'sqlalchemy' not in sys.modules and 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(rw.CHECKOUT)})
