"""Recall answers from what was written down, and withdraws a patient once, whatever was killed in between."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import release_workspace as rw
import yaml

import catalog
from catalog import evidence, git, ledger, publish, recalls, versions
from schema.digest import read_json, write_json
from schema.errors import GateFailed, IntegrityError, SynthmillError, UsageError
from schema.withdrawn import Withdrawn
from tasks import recall, scan, starts
from tasks.ingesting.keys import keyed, person, withdrawal

TAG = f"{rw.NAME}@v1.0.0"
ANNA = "Anna 4711"
WHY = {"reason": "consent withdrawn", "by": "A. Meier"}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> rw.Workspace:
    """v1.0.0 of a model that learned from one patient and was judged with two. Copied, never used."""
    top = tmp_path_factory.mktemp("published")
    workspace = rw.build(top / "checkout", top / "home")
    rw.commit(workspace)
    rw.deal(workspace.root, {ANNA: "train", "bert": "holdout", "cleo": "test"})
    rw.train(workspace, "1" * 64)
    assert workspace.publish() == 0
    return workspace


@pytest.fixture
def workspace(published, tmp_path, monkeypatch) -> rw.Workspace:
    for name in ("checkout", "home"):
        shutil.copytree(published.root.parent / name, tmp_path / name, symlinks=True)
    return rw.Workspace(tmp_path / "checkout", tmp_path / "home").adopt(monkeypatch)


def test_an_id_however_it_is_written_is_answered_with_all_that_depends_on_it(workspace):
    [place] = recall.find(patient=ANNA).places
    assert (place.split, place.records, place.withdrawn) == ("train", 1, False)
    [model] = place.models
    assert (model.digest, model.current, model.by_start, model.drawn, model.released) == ("1" * 64, True, False, 12, 12)
    assert (place.trained_on, place.judged_with, model.releases) == ([TAG], [], [TAG])
    for given in (" anna 4711 ", place.patient, person("hospital", ANNA)):
        workspace.edit_params(lambda section: section["ingest"].update(population="hospital"))
        assert recall.find(patient=given).places == [place]
    for given in (ANNA, keyed(rw.NAME, "record", ANNA)):
        assert recall.find(record=given).places == [place]
    [judged] = recall.find(patient="bert").places
    assert (judged.models, judged.trained_on, judged.judged_with) == ([], [], [TAG])
    with pytest.raises(UsageError, match="nobody in pneumonia has that id under this SYNTHMILL_ID_KEY"):
        recall.find(patient="dora")


def test_another_key_knows_nobody(workspace, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ID_KEY", "another")
    with pytest.raises(UsageError, match="under this SYNTHMILL_ID_KEY"):
        recall.find(patient=ANNA)


def test_a_model_that_started_from_one_that_learned_of_them_depends_on_them_too(workspace):
    value = yaml.safe_load((workspace.root / "params.yaml").read_text())
    value["build"].append("later")
    value["datasets"]["later"] = value["datasets"][rw.NAME]
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(value))
    init = {"digest": "1" * 64, "reference": TAG, "public": False}
    write_json(workspace.root / "data/models/later/model.json", {"digest": "2" * 64, "init": init, "dataset_digest": "x"})
    [place] = recall.find(patient=ANNA).places
    assert [(one.dataset, one.by_start, one.releases) for one in place.models] == [(rw.NAME, False, [TAG]), ("later", True, [])]
    recall.carry_out(recall.find(patient=ANNA), **WHY)
    assert set(ledger.recalled_models()) == {"1" * 64, "2" * 64}


def test_killed_between_any_two_steps_the_same_command_finishes_it_and_does_nothing_twice(workspace, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*given, **named):
        raise Killed

    for module, step in ((recalls, "bury"), (ledger, "recall"), (evidence, "append_with"), (publish, "push_git")):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, killed)
            found = recall.find(patient=ANNA)
            with pytest.raises(Killed):
                recall.carry_out(found, **WHY)
        assert list(Withdrawn.of(rw.NAME).patients.values()) == ["train"], "who is withdrawn is so from the first step on"
    assert recall.carry_out(recall.find(patient=ANNA), **WHY) == {"withdrawn": [rw.NAME], "recalled": [TAG]}
    state = workspace.git("for-each-ref"), ledger.read(), len(evidence.recalls(rw.NAME))
    recall.carry_out(recall.find(patient=ANNA), reason="once more", by="B. Schulz")
    assert (workspace.git("for-each-ref"), ledger.read(), len(evidence.recalls(rw.NAME))) == state
    assert [one["subject"] for one in state[1][1]] == [TAG]
    assert state[2] == 1
    stone = versions.tombstones()[TAG]
    assert (stone.reason, stone.by, stone.digests) == (*WHY.values(), versions.find(TAG).digests)
    [entry] = evidence.recalls(rw.NAME)
    public = workspace.git("cat-file", "-p", f"{TAG}!") + json.dumps(entry.statement.predicate) + ledger.ledger_file().read_text()
    [patient] = Withdrawn.of(rw.NAME).patients
    assert not [one for one in ("4711", patient, person("hospital", ANNA)) if one in public]
    assert entry.statement.predicate["withdrawal"] == withdrawal(rw.NAME, patient)


def test_a_reason_that_names_the_patient_is_refused_since_it_becomes_public(workspace):
    with pytest.raises(UsageError, match="goes into a public tag, and it names the patient's id"):
        recall.carry_out(recall.find(patient=ANNA), reason="consent of anna 4711 withdrawn", by="A. Meier")
    assert versions.tombstones() == {}


def test_a_recalled_release_is_offered_by_nobody_given_out_only_by_force_and_never_released_again(workspace, tmp_path, monkeypatch):
    bare = workspace.home / "bare.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    workspace.git("remote", "add", "origin", str(bare))
    monkeypatch.setenv("SYNTHMILL_GIT_REMOTE", "origin")
    gto = [str(Path(sys.executable).with_name("gto")), "show", "--json", rw.NAME]
    assert json.loads(subprocess.run(gto, cwd=workspace.root, capture_output=True, check=True).stdout)[0]["version"] == "v1.0.0"
    recall.carry_out(recall.find(patient=ANNA), **WHY)
    assert json.loads(subprocess.run(gto, cwd=workspace.root, capture_output=True, check=True).stdout) == []
    assert f"refs/tags/{TAG}!" in git.git(bare, "for-each-ref", "--format=%(refname)").split()
    for spec in (rw.NAME, TAG):
        with pytest.raises(
            SynthmillError, match=r"pneumonia@v1\.0\.0 was recalled on .* by A\. Meier: consent withdrawn; there is no other"
        ):
            catalog.get(spec, tmp_path / "got")
    with pytest.raises(SynthmillError, match="consent withdrawn"):
        catalog.load(rw.NAME)
    assert catalog.get(TAG, tmp_path / "got", force=True).tag == TAG
    assert catalog.verify(tmp_path / "got").recalled == catalog.verify(TAG).recalled == "consent withdrawn"
    assert [one.tag for one in catalog.releases()] == [TAG], "it stays in the list"

    # The same bytes, the same model with other seeds, and an ingest that still holds her: none of it goes out.
    with pytest.raises(GateFailed, match=r"its images are those of pneumonia@v1\.0\.0, which A\. Meier recalled"):
        publish.publish(rw.NAME)
    rw.train(workspace, "1" * 64, seeds=range(100, 112))
    with pytest.raises(GateFailed, match="come of the model 1111111111111111, which was recalled"):
        publish.publish(rw.NAME)
    rw.train(workspace, "2" * 64, seeds=range(100, 112))
    with pytest.raises(GateFailed, match="still holds 1 of the 1 patients who were withdrawn"):
        publish.publish(rw.NAME)
    rw.deal(workspace.root, {"dora": "train", "bert": "holdout", "cleo": "test"})
    rw.train(workspace, "3" * 64, seeds=range(100, 112))
    assert publish.publish(rw.NAME).tag == f"{rw.NAME}@v2.0.0"
    assert catalog.find(rw.NAME).tag == catalog.get(rw.NAME, tmp_path / "latest").tag == f"{rw.NAME}@v2.0.0"
    with pytest.raises(SynthmillError, match=rf"use {rw.NAME}@v2\.0\.0"):
        catalog.get(TAG, tmp_path / "again")


def test_training_does_not_start_from_a_recalled_model(workspace):
    recall.carry_out(recall.find(patient=ANNA), **WHY)
    workspace.edit_params(lambda section: section["train"].update(init=TAG))
    with pytest.raises(SynthmillError, match=r"pneumonia@v1\.0\.0 was recalled"):
        starts.look(rw.NAME, rw.params.load().dataset(rw.NAME).train)


def test_the_list_of_those_withdrawn_cannot_lose_anybody_unseen(workspace):
    before = scan.withdrawn(rw.NAME)
    recall.carry_out(recall.find(patient=ANNA), **WHY)
    assert (len(before), len(scan.withdrawn(rw.NAME))) == (0, 1)
    path = workspace.root / "data/withdrawn" / f"{rw.NAME}.json"
    path.write_text(json.dumps(read_json(path) | {"patients": {}}))
    with pytest.raises(IntegrityError, match=r"lacks patients who were withdrawn by what .* says"):
        scan.withdrawn(rw.NAME)
