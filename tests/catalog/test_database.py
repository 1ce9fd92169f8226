"""The index: made, raced for, added to, caught up, made again; on SQLite and on PostgreSQL."""

import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import release_workspace as rw
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Text, cast, create_engine, func, insert, select, text

import catalog
from catalog import evidence, ledger, publish, recalls, signoff, versions
from catalog.database import engine as database_engine
from catalog.database import index, rows
from catalog.database.bitmaps import Values, places, unpack
from catalog.database.engine import HEAD, MIGRATIONS, connect, writing
from catalog.database.tables import TSVECTORS, WORDS, Approval, Base, Dataset, Evidence, Image, Release, Spent, ValueBitmap, ValueCount
from catalog.words import key
from schema.digest import read_json
from schema.errors import IntegrityError, SynthmillError
from schema.evidence import Statement, described
from schema.policy import Policy
from schema.record import WORDS as LIST
from schema.record import decode_png

TAG = f"{rw.NAME}@v1.0.0"
NEXT = f"{rw.NAME}@v1.1.0"


def dump(engine) -> dict[str, list[tuple]]:
    """Every row of every table, in the order of its key."""
    words = TSVECTORS if engine.dialect.name == "postgresql" else WORDS
    with engine.connect() as connection:
        found = {
            name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for name, table in Base.metadata.tables.items()
        }
        found["words"] = [tuple(row) for row in connection.execute(select(words.c.tag, cast(words.c.words, Text)).order_by(words.c.tag))]
    return found


def count(engine, table) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def sign(dataset: str) -> None:
    """An approval, a gate's finding, a recall of the first version, and what it spent, as the records have them."""
    signoff.decide(dataset, "approved", "Ada", "", "It is what the report says", Policy())
    said = read_json(rw.Path(evidence.root()) / "data/releases" / dataset / "provenance.json")
    about = [described(name, digest) for name, digest in (("real", said["ingest"]), ("synthetic", said["samples"]), ("model", "d" * 64))]
    found = {"result": "PASSED", "configuration": [], "passedTests": ["fid"], "warnedTests": [], "failedTests": []}
    gate = Statement(subject=about, predicateType="https://in-toto.io/attestation/test-result/v0.1", predicate=found)
    other = Statement(subject=about[:2], predicateType=gate.predicate_type, predicate=found)
    evidence.append(evidence.record_file(dataset), gate, other)
    recalls.bury(versions.releases(dataset)[0], "Wrong words", "Ada", "2026-01-01T00:00:00Z")
    # As catalog.ledger writes a release that claims differential privacy.
    [row] = [one.statement for one in evidence.read(ledger.ledger_file()) if one.statement.subject[0]["name"] == TAG]
    account = {"epsilon": 8, "delta": 1e-5, "unit": "patient"}
    evidence.append(ledger.ledger_file(), row.model_copy(update={"predicate": {**row.predicate, "account": account, "patients": 2}}))


@pytest.fixture(scope="session")
def twice(published, tmp_path_factory) -> rw.Workspace:
    """Two versions, with records. Shared: only to be read."""
    top = tmp_path_factory.mktemp("twice")
    for name in ("checkout", "home"):
        shutil.copytree(published.root.parent / name, top / name, symlinks=True)
    workspace = rw.Workspace(top / "checkout", top / "home")
    with pytest.MonkeyPatch.context() as patch:
        workspace.adopt(patch)
        workspace.edit_params(lambda section: section["sample"].update(n=14))
        rw.write_samples(workspace.root, range(14))
        rw.judge(workspace)
        workspace.dvc("repro", "--quiet")
        patch.setattr(publish, "check_graph", lambda dataset: None)
        assert publish.publish(rw.NAME).tag == NEXT
        sign(rw.NAME)
    return workspace


@pytest.fixture
def both(twice, monkeypatch) -> rw.Workspace:
    return twice.adopt(monkeypatch)


def test_what_was_added_and_what_is_made_again_are_the_same_row_for_row(both, database):
    first, second = versions.releases()
    index.add(second)
    index.add(first)
    index.add(second)
    engine = connect()
    added = dump(engine)

    assert index.rebuild() == 2

    assert dump(engine) == added
    lengths = {name: len(found) for name, found in added.items()}
    assert lengths == {
        **{"datasets": 1, "releases": 2, "verdicts": 4, "ledger": 1, "images": 26, "words": 2, "record_states": 2},
        **{"approvals": 1, "value_counts": 12, "value_bitmaps": 12, "evidence": lengths["evidence"]},
    }


def test_a_release_s_rows_say_what_its_files_say(both, database):
    index.rebuild()
    table = catalog.load(NEXT)
    with connect().connect() as connection:
        release = connection.execute(select(Release.__table__).where(Release.tag == NEXT)).mappings().one()
        images = connection.execute(select(Image.__table__).where(Image.release == NEXT).order_by(Image.position)).mappings().all()
        bitmaps = connection.execute(select(ValueBitmap.key, ValueBitmap.bitmap).where(ValueBitmap.release == NEXT)).all()
        counts = connection.execute(select(ValueCount.key, ValueCount.images).where(ValueCount.release == NEXT)).all()
        names = connection.execute(select(Evidence.release, Evidence.name)).all()
        approvals = connection.execute(select(Approval.release, Approval.by, Approval.decision)).all()
        spent = connection.execute(select(Spent.tag, Spent.epsilon, Spent.patients)).all()
        recalled = connection.execute(select(Release.tag, Release.recall_reason).where(Release.recalled)).all()
        latest = connection.execute(select(Dataset.latest)).scalars().all()

    assert (release["title"], release["previous"], release["images"]) == ("Synthetic test images", TAG, 14)
    assert release["size"] == sum(path.stat().st_size for path in both.release.rglob("*") if path.is_file())
    columns = ("id", "label_name", "seed", "sha256")
    assert [tuple(row[name] for name in ("id", "label", "seed", "sha256")) for row in images] == list(
        zip(*(table[name].to_pylist() for name in columns), strict=True)
    )
    attributes = [
        {"view": view, "findings": found} for view, found in zip(*(table[name].to_pylist() for name in ("view", "findings")), strict=True)
    ]
    assert [row["attributes"] for row in images] == attributes
    assert decode_png(images[0]["thumbnail"]).tolist() == decode_png(table["image"][0].as_py()["bytes"]).tolist(), (
        "16 pixels stay as they are"
    )
    assert dict(counts) == {"pa": 8, "ap": 6, "effusion": 9, "mass": 4, "normal": 7, "pneumonia": 7}
    values = [{key(word) for word in (row["label"], row["attributes"]["view"], *row["attributes"]["findings"])} for row in images]
    expected = {word: [place for place, found in enumerate(values) if word in found] for word in dict(counts)}
    assert {word: list(places(unpack(bitmap))) for word, bitmap in bitmaps} == expected
    assert (NEXT, "fid") in names
    assert (TAG, "fid") not in names, "the finding is about the images of the second version"
    assert approvals == [(NEXT, "Ada", "approved")]
    assert spent == [(TAG, 8.0, 2)]
    assert recalled == [(TAG, "Wrong words")]
    assert latest == [NEXT]


def test_thumbnails_do_not_cut_the_batches_of_rows_short(reader, tmp_path, monkeypatch):
    folder = shutil.copytree(reader.release, tmp_path / "release")
    (path,) = (folder / "data").iterdir()
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table] * 5), path)
    monkeypatch.setattr(rows, "BATCH", 32)
    found = list(rows.Rows(versions.releases()[0], folder).images())
    assert [len(images) for images, _ in found] == [32, 28, 0]
    assert all(image["thumbnail"] for images, _ in found for image in images)


def test_an_index_that_is_behind_is_caught_up_when_it_is_opened(both, database):
    index.add(versions.releases()[1])
    found = catalog.search("recalled:any")
    assert [row["tag"] for row in found.releases] == [NEXT, TAG]
    assert found.behind == ()
    engine = connect()
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM approvals"))
        connection.execute(text("UPDATE record_states SET sha256 = 'of before'"))
    index.opened()
    assert count(engine, Approval) == 1


def test_what_cannot_be_had_is_said_and_the_search_goes_on(both, database, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHMILL_CACHE", str(tmp_path / "empty"))
    index.add(versions.releases()[1])

    def lost(*_, **__):
        raise SynthmillError("the remote is gone")

    monkeypatch.setattr(index.store, "fetch", lost)
    found = catalog.search("recalled:any")
    assert [row["tag"] for row in found.releases] == [NEXT]
    assert found.behind == (f"{TAG} is not in the index: the remote is gone",)
    before = dump(connect())
    with pytest.raises(SynthmillError, match="the remote is gone"):
        index.rebuild()
    assert dump(connect()) == before, "an index that cannot be made anew stays as it was"


def test_a_release_is_in_the_index_whole_or_not_at_all(reader, database, monkeypatch):
    release, images = versions.releases()[0], rows.Rows.images

    def breaks_off(self):
        yield next(images(self))
        raise SynthmillError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(rows.Rows, "images", breaks_off)
        with pytest.raises(SynthmillError, match="the disk is full"):
            index.add(release)
    assert {name: found for name, found in dump(connect()).items() if found} == {}
    index.add(release)
    assert count(connect(), Image) == 12
    with pytest.raises(IntegrityError, match=r"the index has other bytes under pneumonia@v1\.0\.0"):
        index.add(release.model_copy(update={"sums": "0" * 64}))


def test_a_record_that_was_tampered_with_is_said(released, database):
    sign(rw.NAME)
    path = evidence.record_file(rw.NAME)
    path.write_text(path.read_text().replace("payload", "Payload", 1))
    [fault] = catalog.search("recalled:any").behind
    assert fault.startswith("the record of pneumonia is not in the index: line 1")


def test_processes_that_race_for_the_first_migration_all_end_well(empty, tmp_path):
    address = empty("raced")
    code = "import sys; sys.stdin.read(1); from catalog.database.engine import connect; connect()"
    environment = {**rw.Workspace(tmp_path, tmp_path).env, "SYNTHMILL_CATALOG_URL": address}
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    racing = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(4)]
    for process in racing:
        process.stdin.write("x")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in racing] == [("", 0)] * 4
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]


def test_the_migrations_make_the_tables_that_the_code_knows(database):
    def ours(thing, name, kind, *_) -> bool:
        return not (kind == "table" and name.startswith("release_words"))

    engine = connect()
    with engine.connect() as connection:
        options = {"include_object": ours, "compare_type": engine.dialect.name == "postgresql"}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_an_index_of_before_the_bitmaps_is_what_a_new_one_would_be(both, database, monkeypatch):
    release = versions.releases()[-1]
    with monkeypatch.context() as patch:
        patch.setattr(database_engine, "HEAD", "0001")
        engine = connect()
    with writing(engine) as connection:
        old = MetaData()
        old.reflect(connection)
        made = rows.Rows(release, both.release)
        images = [image for batch, _ in made.images() for image in batch]
        connection.execute(insert(Dataset).values(name=release.dataset, latest=release.tag))
        connection.execute(insert(Release), [made.release])
        for image in images:
            place = {"release": release.tag, "position": image["position"]}
            connection.execute(insert(old.tables["images"]).values({**image, "label_key": key(image["label"])}))
            view, findings = image["attributes"]["view"], image["attributes"]["findings"]
            for attribute, word in (("view", view), *(("findings", word) for word in findings)):
                connection.execute(insert(old.tables["image_values"]).values(attribute=attribute, key=key(word), **place))

    def order(row: dict) -> tuple:
        return row["attribute"], row["key"]

    with connect().connect() as connection:
        found = [dict(row) for row in connection.execute(select(ValueBitmap.__table__)).mappings()]
    expected = [bitmap for _, bitmaps in rows.Rows(release, both.release).images() for bitmap in bitmaps]
    assert sorted(found, key=order) == sorted(expected, key=order)


def test_a_migration_that_breaks_off_leaves_nothing(database, monkeypatch):
    from alembic import op

    def full(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(op, "execute", full)
        with pytest.raises(SynthmillError, match="no space left"):
            connect()
    assert count(connect(), Release) == 0


def test_a_database_of_a_newer_synthmill_is_refused(database):
    with writing(connect()) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SynthmillError, match="written by a newer synthmill"):
        connect()


def test_sqlite_is_at_data_catalog_db_and_lets_readers_in_beside_a_writer(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_CATALOG_URL", raising=False)
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    engine = connect()
    assert (tmp_path / "data" / "catalog.db").is_file()
    with writing(engine) as writer:
        writer.execute(insert(Dataset).values(name="a", latest="a@v1.0.0"))
        assert count(engine, Dataset) == 0
    assert count(engine, Dataset) == 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://mill:hunter2@127.0.0.1:1/none", "cannot be used: connection .* failed"),
        ("postgresql://mill:hunter2@no-such-host.invalid/none", "cannot be used"),
        ("mysql://mill:hunter2@localhost/none", "is for mysql, which the catalog does not speak"),
        ("hunter2", "is no address of a database"),
        ("sqlite://", "names no file"),
        ("sqlite:////dev/null/hunter2/catalog.db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_message_without_the_password(address, words, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_CATALOG_URL", address)
    with pytest.raises(SynthmillError, match=words) as fault:
        connect()
    assert "hunter2" not in str(fault.value).replace("/dev/null/hunter2", "")
    assert "\n" not in str(fault.value)


def test_a_wrong_password_is_one_message_without_it(cluster, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_CATALOG_URL", cluster.replace("s3cret-pw", "hunter2"))
    with pytest.raises(SynthmillError, match="password authentication failed") as fault:
        connect()
    assert "hunter2" not in str(fault.value)


def test_images_are_read_in_batches_without_their_pixels(tmp_path, monkeypatch):
    """Of 3000 images of 10 kB, 30 MB in all, less than one is in memory."""
    n, noise = 3000, np.random.default_rng(1).bytes(10_000)
    columns = {"id": [f"i{number}" for number in range(n)], "label_name": ["a"] * n, "seed": range(n), "sha256": ["0" * 64] * n}
    (tmp_path / "data").mkdir()
    image = pa.array([{"bytes": noise + bytes([number % 256]), "path": ""} for number in range(n)])
    table = pa.table({**columns, "found": pa.array([["x", "y"][: number % 3] for number in range(n)], LIST), "image": image})
    pq.write_table(table, tmp_path / "data" / "a.parquet", row_group_size=256, compression="none")
    del table, image
    made = rows.Rows.__new__(rows.Rows)
    made.tag, made.folder, made.attributes, made.values = "a@v1.0.0", tmp_path, ["found"], Values("a@v1.0.0")
    monkeypatch.setattr(rows, "THUMBNAILS", 0)
    before = pa.total_allocated_bytes()
    sizes, most = [], 0
    for images, _ in made.images():
        sizes.append(len(images))
        most = max(most, pa.total_allocated_bytes() - before)
    assert sizes == [1024, 1024, 952, 0]
    assert most < 1_000_000
    assert {row["key"]: row["images"] for row in made.values.counts()} == {"a": 3000, "x": 2000, "y": 1000}
