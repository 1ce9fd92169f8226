"""The ledger: what was released of whom, what it spends together, and that nobody edits it unseen."""

import json
import signal

import pytest
import release_workspace as rw

from catalog import ledger, publish, versions
from catalog.ledger import Row, persons_file
from schema.digest import sha256_set
from schema.errors import GateFailed, IntegrityError, SynthmillError
from schema.privacy import PrivacyAccount
from tasks import budget
from tasks.ingesting.keys import keyed, person

ACCOUNT = {
    **{"mechanism": "dp-sgd", "unit": "patient", "adjacency": "add-remove", "scope": "the weights", "epsilon": 1.7, "delta": 1e-5},
    **{"accountant": "rdp", "noise_multiplier": 3.0, "max_grad_norm": 1.0, "sampling": "poisson", "sample_rate": 1.0, "steps": 1},
    "examples": 100,
}
TWO = {"anna": "train", "bert": "train", "cleo": "holdout"}


@pytest.fixture
def spending(workspace) -> rw.Workspace:
    """A private release of two patients, published, under a budget that is enough for one such training and not for two."""
    workspace.edit_params(lambda section: section.update(policy={"budget": {"epsilon": 2.0, "delta": 1e-5}}))
    rw.deal(workspace.root, TWO)
    rw.train(workspace, "1" * 64, ACCOUNT)
    publish.publish(rw.NAME, budget.demand)
    return workspace


def test_a_second_release_of_the_same_patients_is_refused_by_the_budget_and_one_of_the_same_model_is_not(spending):
    rw.train(spending, "2" * 64, ACCOUNT, range(100, 112))
    one, two = budget.epsilons([([PrivacyAccount(**ACCOUNT)] * n, 1e-5) for n in (1, 2)])
    assert one < 2.0 < two
    with pytest.raises(SynthmillError, match="nothing here adds up what is spent"):
        publish.publish(rw.NAME)
    with pytest.raises(GateFailed) as refused:
        publish.publish(rw.NAME, budget.demand)
    said = str(refused.value)
    assert "pneumonia@v2.0.0 is not published: its patients may spend epsilon 2 at delta 1e-05" in said
    assert f"together they spend epsilon {two:.4g}; alone it would spend {one:.4g}" in said
    assert "pneumonia@v1.0.0: epsilon 1.7 at delta 1e-05 for each patient, model 111111111111" in said
    assert [one.tag for one in versions.releases()] == ["pneumonia@v1.0.0"]

    rw.train(spending, "1" * 64, ACCOUNT, range(200, 212))
    assert publish.publish(rw.NAME, budget.demand).tag == "pneumonia@v2.0.0"
    table = budget.table()
    assert [(row["tag"], row["patients"], row["group"]["epsilon"]) for row in table["releases"]] == [
        ("pneumonia@v1.0.0", 2, one),
        ("pneumonia@v2.0.0", 2, one),
    ]
    ids = {keyed(rw.NAME, "patient", name) for name in ("anna", "bert")} | {person("hospital", name) for name in ("anna", "bert")}
    assert {row["persons"] for row in table["releases"]} == {sha256_set(ids)}
    assert table["releases"][0]["attacks"] == [{"gate": "mia-white-box", "status": "PASS", "value": 0.01}]
    assert table["missing"] == []
    # Once more: nothing is entered twice, and a release of other patients has a budget of its own.
    publish.publish(rw.NAME, budget.demand)
    assert len(ledger.rows()) == 2
    rw.deal(spending.root, {"dora": "train", "emil": "train"})
    rw.train(spending, "3" * 64, ACCOUNT, range(300, 312))
    assert publish.publish(rw.NAME, budget.demand).tag == "pneumonia@v3.0.0"


def test_a_changed_row_and_a_changed_list_of_persons_are_named(spending):
    path = ledger.ledger_file()
    written = path.read_text()
    line = json.loads(written.splitlines()[0])
    path.write_text(json.dumps(line | {"payload": line["payload"][:-8] + "AAAAAAA="}) + "\n")
    with pytest.raises(IntegrityError, match=r"line 1 of .*ledger\.intoto\.jsonl was changed after it was written"):
        publish.publish(rw.NAME, budget.demand)
    path.write_text(written)
    [row] = ledger.rows()
    ids = persons_file(row.persons)
    ids.write_text("".join(ids.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(IntegrityError, match=rf"{row.persons}\.txt was changed"):
        budget.group(row, [row, made("other@v1.0.0", "2", ["x"])])


def test_a_row_that_a_killed_run_did_not_enter_is_entered_by_the_next_and_rebuilt_from_tags_without_its_persons(workspace):
    rw.deal(workspace.root, TWO)
    rw.train(workspace, "1" * 64, ACCOUNT)
    quick = "from catalog import ledger\npublish.check_graph = lambda dataset: None"
    assert workspace.publish(f"{quick}\nledger.enter = lambda release: os.kill(os.getpid(), signal.SIGKILL)") == -signal.SIGKILL
    assert versions.find(rw.NAME).tag == "pneumonia@v1.0.0"
    assert ledger.rows() == []
    # The next run is for other data: what was laid down before the tag says whom the first was trained on.
    rw.deal(workspace.root, {"dora": "train"})
    rw.train(workspace, "2" * 64, ACCOUNT, range(100, 112))
    publish.publish(rw.NAME)
    first, second = ledger.rows()
    assert [(row.tag, row.patients) for row in (first, second)] == [("pneumonia@v1.0.0", 2), ("pneumonia@v2.0.0", 1)]
    ledger.ledger_file().unlink()
    assert ledger.rebuild() == ["pneumonia@v1.0.0", "pneumonia@v2.0.0"]
    again = ledger.rows()
    assert [(row.model, row.account, row.patients) for row in again] == [(first.model, first.account, None), ("2" * 64, second.account, 1)]
    assert budget.group(again[1], again).unknown == ["pneumonia@v1.0.0"], "who is not known may be the same person"


def made(tag: str, model: str, people: list[str], key: str = "k", init: dict | None = None, **account) -> Row:
    """A row, its persons written down."""
    digest = sha256_set(people)
    persons_file(digest).parent.mkdir(parents=True, exist_ok=True)
    persons_file(digest).write_text("".join(f"{one}\n" for one in people))
    return Row(
        **{"tag": tag, "dataset": tag.partition("@")[0], "digest": tag, "source": "", "ingest": "", "model": model, "init": init},
        **{"account": PrivacyAccount(**ACCOUNT | account), "attacks": [], "patients": len(people), "persons": digest, "key": key},
        **{"at": "", "evidence": None},
    )


def test_a_group_is_who_shares_a_person_over_datasets_and_by_what_training_started_from(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    chest, head = made("chest@v1.0.0", "1", ["anna", "bert"]), made("head@v1.0.0", "2", ["bert", "cleo"])
    spine, hand = made("spine@v1.0.0", "3", ["cleo"]), made("hand@v1.0.0", "4", ["dora"], init={"digest": "3", "public": False})
    rows = [chest, head, spine, hand]
    assert [one.tag for one in budget.group(chest, rows).others] == ["head@v1.0.0"], "not chest by way of head and spine"
    assert [one.tag for one in budget.group(hand, rows).others] == ["head@v1.0.0", "spine@v1.0.0"], "what spine's weights hold, hand's do"
    assert budget.group(made("knee@v1.0.0", "5", ["dora"], init={"digest": "3", "public": True}), rows[:3]).others == []
    stranger = budget.group(made("foot@v1.0.0", "6", ["emil"], key="another"), rows[:1])
    assert stranger.unknown == ["chest@v1.0.0"], "under another key nobody can be known again"
    mixed = budget.group(made("head@v2.0.0", "7", ["cleo"], unit="image"), [head])
    assert "different units (image and patient)" in mixed.why
