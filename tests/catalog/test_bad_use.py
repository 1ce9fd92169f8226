"""What people and machines do to a catalog without meaning it: several at once, damaged files of our own, clocks, half-given options."""

import multiprocessing
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import release_workspace as rw

import catalog
from app import signing_off
from catalog import evidence, ledger, stages, store, versions
from catalog.database import engine, index
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.policy import Policy
from tests.conftest import CHECKOUT

TAG, NEXT = f"{rw.NAME}@v1.0.0", f"{rw.NAME}@v1.1.0"


def loaded(address: str, cache: str, start) -> int:
    start.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHMILL_CACHE", cache)
        return catalog.load(rw.NAME, repo=address).num_rows


def test_several_processes_that_load_a_new_release_at_once_all_have_it(published, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_REMOTE", str(published.home / ".synthmill/store"))
    bare = tmp_path / "server.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(published.root), str(bare)], check=True)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(4) as pool:
        start = manager.Barrier(4)
        given = [(f"file://{bare}", str(tmp_path / "cache"), start)] * 4
        assert pool.starmap(loaded, given) == [12] * 4


def test_of_two_that_fill_one_folder_with_other_versions_one_says_so(extended, tmp_path, monkeypatch):
    extended.adopt(monkeypatch)
    first, second = versions.releases()
    fetched = store._fetch

    def later(root, release, to, *given):
        """The other fills the folder meanwhile."""
        monkeypatch.setattr(store, "_fetch", fetched)
        store.fetch(root, second, to)
        fetched(root, release, to, *given)

    monkeypatch.setattr(store, "_fetch", later)
    with pytest.raises(UsageError, match=r"was filled with something else than pneumonia@v1\.0\.0 meanwhile"):
        store.fetch(extended.root, first, tmp_path / "to")
    assert catalog.verify(tmp_path / "to", extended.root).release == NEXT
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".to")] == []
    assert store.fetch(extended.root, second, tmp_path / "to") == tmp_path / "to"


def test_a_folder_and_columns_are_taken_as_they_are_meant(reader, tmp_path):
    catalog.get(TAG, tmp_path / "there")
    assert catalog.load(tmp_path / "there", columns=(name for name in ("id", "label"))).column_names == ["id", "label"]
    for given, words in (
        ({"version": "^7"}, "is a folder, which holds one version"),
        ({"columns": "id"}, r"it is a list of names, as in \['id', 'label'\]"),
        ({"batch_size": 0}, "batch_size=0 is not possible"),
    ):
        with pytest.raises(UsageError, match=words):
            catalog.load(tmp_path / "there", **given)


@pytest.mark.parametrize("content", [b"", b"{", b"\0\0\0", b"\xff\xfe"])
def test_a_damaged_note_of_the_cache_means_that_it_is_checked_again(published, tmp_path, monkeypatch, content):
    monkeypatch.setenv("SYNTHMILL_CACHE", str(tmp_path / "cache"))
    published.adopt(monkeypatch)
    monkeypatch.setenv("SYNTHMILL_CACHE", str(tmp_path / "cache"))
    catalog.load(TAG)
    [stamp] = (tmp_path / "cache").glob("*.stamp.json")
    stamp.write_bytes(content)
    assert catalog.load(TAG).num_rows == 12


def test_a_cache_that_cannot_be_is_named_with_its_setting(published, tmp_path, monkeypatch):
    published.adopt(monkeypatch)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNTHMILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(SynthmillError, match="name another folder in SYNTHMILL_CACHE"):
        catalog.load(TAG)


def test_who_promotes_beside_a_clock_that_is_ahead_is_told_and_does_not_wait(released):
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    env = {**released.env, "GIT_COMMITTER_DATE": later}
    tag = ["tag", "-a", f"{rw.NAME}#prod#1", "-m", "x", f"{TAG}^{{}}"]
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *tag], cwd=released.root, env=env, check=True)
    with pytest.raises(SynthmillError, match=r"#prod#1 is dated 17\d{4} s from now"):
        stages.promote(TAG, "staging")


def test_assignments_that_only_the_shared_repository_knows_are_fetched_first(released, tmp_path, monkeypatch):
    bare = tmp_path / "server.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", str(released.root), str(bare)], check=True)
    subprocess.run(["git", "tag", f"{rw.NAME}#prod#1", "HEAD"], cwd=bare, check=True)
    released.git("remote", "add", "hospital", str(bare))
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "hospital")
    with pytest.raises(SynthmillError, match=r"assignments of pneumonia that are not known here \(pneumonia#prod#1\): run `git fetch"):
        stages.promote(TAG, "prod")
    assert stages.standing(rw.NAME) == {}


def test_a_damaged_index_is_named_with_what_mends_it_and_that_mends_it(released, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_CATALOG_URL", raising=False)
    path = released.root / "data" / "catalog.db"
    index.rebuild()

    def lost_table() -> None:
        with engine.writing(engine.connect()) as connection:
            connection.exec_driver_sql("DROP TABLE verdicts")

    for damage in (lambda: path.write_bytes(b"no database"), lambda: path.write_bytes(path.read_bytes()[:5000]), lost_table):
        damage()
        for side in ("-wal", "-shm"):
            path.with_name(path.name + side).unlink(missing_ok=True)
        with pytest.raises(SynthmillError, match="`catalog rebuild` makes it anew"):
            catalog.search("recalled:any")
        assert index.rebuild() == 1
        assert [row["tag"] for row in catalog.search("recalled:any").releases] == [TAG]


def test_a_file_that_somebody_named_is_never_taken_for_a_damaged_index(released, tmp_path, monkeypatch):
    foreign = tmp_path / "theirs.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE patients (name)")
        connection.commit()
    for content in (foreign.read_bytes(), b"a letter"):
        foreign.write_bytes(content)
        monkeypatch.setenv("SYNTHMILL_CATALOG_URL", f"sqlite:///{foreign}")
        engine.discard_if_damaged()
        assert foreign.read_bytes() == content
    with pytest.raises(SynthmillError, match="if it is the catalog's, move it away"):
        index.rebuild()
    assert foreign.read_bytes() == b"a letter"


def test_a_search_waits_for_nobody_who_writes(released, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_CATALOG_URL", raising=False)
    catalog.search("")
    from catalog import recalls

    recalls.bury(versions.releases()[0], "Wrong words", "Ada", "2026-01-01T00:00:00Z")
    assert catalog.search("").releases == []
    monkeypatch.setattr(engine, "WAIT", 0)
    with engine.writing(engine.connect()):
        assert [row["tag"] for row in catalog.search("recalled:yes").releases] == [TAG]


def test_a_release_of_a_newer_format_leaves_the_others_in_the_search(released, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_CATALOG_URL", raising=False)
    message = 'x\n\n{"format": "synthmill-release/99"}'
    released.git("-c", "user.name=a", "-c", "user.email=a@b", "tag", "-a", f"{rw.NAME}@v1.9.0", "-m", message, "HEAD")
    answer = catalog.search("")
    assert [row["tag"] for row in answer.releases] == [TAG]
    assert "newer synthmill" in answer.behind[0]


def test_a_record_that_lost_its_last_byte_has_lost_nothing_and_one_that_is_no_record_is_named(released):
    signing_off.sign_off(rw.NAME, "refused", "Ada", "", "two pairs", None)
    path = evidence.record_file(rw.NAME)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert evidence.read(path)[-1].statement.predicate["decision"] == "refused"
    said = signing_off.sign_off(rw.NAME, "approved", "Grace", "", "fine", None)
    assert (said["standing"]["state"], said["released"]) == ("refused", TAG)
    assert path.read_bytes().startswith(whole)
    for content in (b"\0" * 500, whole + b"\0\0\0", b"[]"):
        path.write_bytes(content)
        for use in (lambda: evidence.read(path), lambda: evidence.append(path)):
            with pytest.raises(IntegrityError, match="is not a record"):
                use()
        assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    for use in (lambda: evidence.read(path), lambda: evidence.append(path)):
        with pytest.raises(IntegrityError, match="is no file, and so no record"):
            use()


def test_a_ledger_whose_end_was_cut_off_is_found_by_the_release_that_it_lacks(workspace_with_a_record):
    path = ledger.ledger_file()
    assert signing_off.verified(rw.NAME)["workspace"]["ledger"] == 1
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"has no row of pneumonia@v1\.0\.0, which was published from here"):
        signing_off.verified(rw.NAME)
    ledger.rebuild()
    assert signing_off.verified(rw.NAME)["workspace"]["ledger"] == 1


@pytest.fixture
def workspace_with_a_record(template, tmp_path, monkeypatch) -> rw.Workspace:
    """Published with an approval on record, so that the release attests the record's head."""
    from tests.catalog.conftest import copy

    workspace = copy(template, tmp_path).adopt(monkeypatch)
    signing_off.sign_off(rw.NAME, "approved", "Ada", "", "fine", None)
    assert workspace.publish() == 0
    return workspace


def test_a_policy_that_wants_signatures_says_so_before_anybody_signs_off(template, tmp_path, monkeypatch):
    from schema import params
    from tests.catalog.conftest import copy

    copy(template, tmp_path).adopt(monkeypatch)
    monkeypatch.delenv("SYNTHMILL_SIGNING_KEY", raising=False)
    dataset = params.Params.dataset

    def signed(self, name):
        return dataset(self, name).model_copy(update={"policy": Policy(signed=True)})

    monkeypatch.setattr(params.Params, "dataset", signed)
    with pytest.raises(UsageError, match="asks for a signed record: set SYNTHMILL_SIGNING_KEY"):
        signing_off.sign_off(rw.NAME, "approved", "Ada", "", "fine", None)


def test_a_record_whose_signatures_were_taken_away_is_found_where_the_policy_asks_for_them(template, tmp_path, monkeypatch):
    from tests.catalog.conftest import copy

    workspace = copy(template, tmp_path).adopt(monkeypatch)
    assert signing_off.verified(rw.NAME)["workspace"]["signed"] == "not signed"
    workspace.edit_params(lambda section: section.setdefault("policy", {}).update(signed=True))
    with pytest.raises(IntegrityError, match=r"1 statements are not signed \(release\).*signatures were taken away"):
        signing_off.verified(rw.NAME)


def test_keys_that_are_none_are_not_taken_for_trust_in_everybody(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_TRUSTED_KEYS", str(tmp_path))
    with pytest.raises(UsageError, match="where no public key"):
        evidence.trusted()


def test_internal_documents_do_not_go_into_the_checkout():
    from app.reading import write_documents

    with pytest.raises(UsageError, match="where the next commit would take real images"):
        write_documents("phantom-cxr", CHECKOUT / "packet", public=False, paper="A4")
    assert not (CHECKOUT / "packet").exists()
