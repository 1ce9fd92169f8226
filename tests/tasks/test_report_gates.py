"""What the report says of each gate: numbers, nulls, attackers, claims, detection power, and what of the evidence may leave."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks.gates
from schema.digest import read_json, write_json
from schema.errors import SynthmillError
from schema.plugins import find
from schema.verdict import Null, Status
from tasks.gates._attack import WORDS
from tasks.reporting import power
from tasks.reporting.attackers import BLIND, COLUMNS
from tasks.reporting.evidence import CLAIM
from tasks.reporting.wording import NOTHING_CLAIMED, OTHER, QUESTIONS
from tests.report_verdicts import PANEL, POWER, SCENARIOS, attack
from tests.report_workspace import NAME, change_params, facts, made, set_verdict, verdict_path, written

PLACE = {kind: place for place, kind in enumerate(PANEL)}


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    with made(tmp_path) as root:
        yield root


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The report's files, to be read only."""
    with made(tmp_path_factory.mktemp("gates")) as root:
        return written(root)


def section(page: str, name: str) -> str:
    """The words of one section of a page, without its tags."""
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)[0]
    found = re.sub(r"</?(data|strong|code|span|a)\b[^>]*>", "", found)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found)))


def cited(page: str, gate: dict, fact: str) -> str:
    """How a gate's number is written on the page."""
    return re.search(rf'data-at="/gates/{PLACE[gate["gate"]]}/{fact}" data-form="number">([^<]*)<', page)[1]


def test_every_gate_there_is_has_its_question_and_its_group():
    kinds = set(find(tasks.gates))
    assert kinds <= QUESTIONS.keys()
    assert all(QUESTIONS[kind].asks.endswith("?") and QUESTIONS[kind].group != OTHER for kind in kinds)
    assert {BLIND} | set(COLUMNS) == {*WORDS.values(), BLIND}


def test_the_table_shows_number_null_excess_and_threshold_of_each_gate(pages):
    for page, graph_of in (("internal.html", "report.json"), ("public/report.html", "public/report.json")):
        said = section(pages[page], "summary")
        graph = json.loads(pages[graph_of])
        for gate in graph["gates"]:
            if gate["null"] is None:
                assert gate["status"] == "INSUFFICIENT"
                assert f"Not settled: {gate['reason']}" in said
                continue
            # In public each of the three is rounded by itself, by half a unit of its second digit at most.
            within = (
                1e-9 if graph["edition"] == "internal" else 0.05 * sum(map(abs, (gate["measured"], gate["null"]["value"], gate["value"])))
            )
            assert gate["measured"] == pytest.approx(gate["null"]["value"] + gate["value"], abs=within)
            for fact in ("measured", "null/value", "null/interval/0", "null/interval/1", "value", "interval/0", "interval/1", "threshold"):
                at = f'data-at="/gates/{PLACE[gate["gate"]]}/{fact}"'
                assert at in pages[page].split('id="says"')[0]
            assert f"null {cited(pages[page], gate, 'null/value')} (" in said
    # In groups, required gates apart from those that inform, and a gate that nobody named by its kind.
    order = ["Required.", "Quality", "fd-domain", "Usefulness", "utility", "Privacy", "mia-white-box", "Integrity", "split"]
    order += ["Informing.", "Quality", "fid", "Privacy", "canary", "Other", "odd-one"]
    at = 0
    for word in order:
        at = said.index(word, at) + 1


def test_three_attackers_stand_in_one_table(pages):
    said = section(pages["public/report.html"], "attackers")
    graph = json.loads(pages["public/report.json"])
    for kind in ("mia-white-box", "mia-query", "mia-release"):
        evidence = graph["gates"][PLACE[kind]]["evidence"]
        at = f"/gates/{PLACE[kind]}/evidence"
        # mia-release has 160 patients of two images, too few for a rate of 1 %.
        fields = ("auc",) if kind == "mia-release" else ("auc", "tpr_at_1_fpr")
        cells = [f"{at}/attacks/{row}/{field}" for row in range(len(evidence["attacks"])) for field in fields]
        cells += [f"{at}/claims/0/{field}" for field in ("measured", "null", "value", "interval/0", "threshold", "n")]
        table = re.search(r'<table class="attackers">.*?</table>', pages["public/report.html"], re.DOTALL)[0]
        assert not [cell for cell in [*cells, f"{at}/worst_class/auc"] if f'data-at="{cell}"' not in table]
        assert any(claim["claim"] == BLIND for claim in evidence["claims"])
    assert said.count("without the model (the split itself)") == 3
    assert said.count("worst class: ") == 3
    assert said.count("the same: every patient has one image") == 2  # mia-release has patients with two
    assert said.index("AUC per patient") < said.index("DOMIAS")


def test_a_claim_below_the_n_that_it_needs_says_insufficient(pages):
    """2995 non-members for 0.1 %: (1 - 0.001)^2995 < 0.05."""
    for page in ("internal.html", "public/report.html"):
        for where in ("attackers", "gates"):
            said = section(pages[page], where)
            assert said.count("INSUFFICIENT (needs 2 995, has 320)") == 2
            assert said.count("INSUFFICIENT (needs 2 995, has 160)") == 1


def test_an_attacker_that_could_not_be_judged_says_why(workspace):
    set_verdict(workspace, "mia-query", status=Status.INSUFFICIENT, value=None, interval=None, null=None, evidence={}, reason="Too few.")
    verdict_path(workspace, "mia-release").unlink()
    asked = attack("mia-white-box", ("loss", "PIA")).evidence
    claims = [{**claim, "required": True} for claim in asked["claims"]]
    set_verdict(workspace, "mia-white-box", status=Status.INSUFFICIENT, evidence={**asked, "claims": claims})
    page = written(workspace)["public/report.html"]
    said = section(page, "attackers")
    assert re.search(r"model query \? INSUFFICIENT .*Too few\..*release alone \? NO VERDICT No verdict was written", said)
    said = section(page, "summary")
    for missing in ("TPR at 0.1 % FPR needs 2 995 images or patients and has 320", "Too few.", "no verdict was written."):
        assert f"Not settled: {missing}" in said


def test_each_attacker_has_its_roc_and_utility_its_gain(pages):
    assert len(re.findall(r'aria-label="ROC curve of the attack, AUC 0\.5', pages["public/report.html"])) == 3
    labels = re.findall(r'aria-label="(Gain of synthetic[^"]*)"', pages["public/report.html"])
    assert labels == [
        "Gain of synthetic images over duplicated real ones, by how many were added: "
        "0.2: 0.003 (-0.004 to 0.010), 0.4: 0.009 (0.002 to 0.016)."
    ]
    assert "trained on real, tested on synthetic (TRTS)" in section(pages["public/report.html"], "gates")


def test_copies_are_shown_beside_what_they_copy_inside_and_never_outside(pages):
    graph = json.loads(pages["report.json"])
    pairs = graph["gates"][PLACE["replica"]]["evidence"]["pairs"]
    article = re.search(rf'<article id="gate-{PLACE["replica"] + 1}">.*?</article>', pages["internal.html"], re.DOTALL)[0]
    assert re.findall(r'alt="(\w+) image', article) == ["Synthetic", "Train"] * len(pairs)
    assert article.index(pairs[0]["train"]) < article.index(pairs[1]["train"])
    assert (article.count("flipped"), article.count("shift [0, 1]"), article.count("shift")) == (1, 1, 1)
    public = json.loads(pages["public/report.json"])["gates"][PLACE["replica"]]
    assert "pairs" not in public["evidence"]
    assert not [pair for pair in pairs if pair["train"] in pages["public/report.html"]]


def test_the_report_says_how_good_its_gates_are(pages):
    for page in ("internal.html", "public/report.html"):
        said = section(pages[page], "power")
        # Clopper and Pearson at 95 %: 20 of 20 from 0.025^(1/20) = 0.832; 1 of 20 from 0.0013 to 0.249.
        assert "copied training images, 1 % 20 of 20 100 % (83 to 100 %) 10" in said
        assert "False alarms: other patients 1 of 20 5 % (0 to 25 %) 0" in said
        assert "over 20 seeds, on 2026-11-20, by ./mill bench gates" in said
        assert "canary not measured" in said
        assert said.index("utility one class missing") < said.index("utility one class missing") + 60  # what it is meant for comes first
    gates = {gate["gate"]: gate for gate in json.loads(pages["public/report.json"])["power"]["gates"]}
    assert gates.keys() == PANEL.keys()
    assert gates["replica"]["defects"][0]["interval"] == pytest.approx([0.025 ** (1 / 20), 1])
    assert [row["meant"] for row in gates["utility"]["defects"]] == [True, False, False]
    assert len(SCENARIOS) == 4


def test_without_a_power_table_every_gate_says_not_measured(workspace, tmp_path):
    (tmp_path / "gates.json").unlink()
    pages = written(workspace)
    assert section(pages["public/report.html"], "power").count("not measured") == len(PANEL)
    assert "what a passed gate is worth is not known" in section(pages["public/report.html"], "limits")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "another/1"}, "format"),
        ({"rows": [{**POWER["rows"][0], "caught": 21}]}, "the seeds"),
        ({"rows": [POWER["rows"][0], POWER["rows"][0]]}, "two rows of one scenario"),
    ],
)
def test_a_file_that_is_no_power_table_is_refused(tmp_path, change, words):
    write_json(tmp_path / "gates.json", {**POWER, **change})
    with pytest.raises(SynthmillError, match=rf"gates\.json is not a table of detection power .*{words}.*bench gates"):
        power.read(tmp_path / "gates.json")


def test_no_differential_privacy_is_claimed_unless_training_claims_it(workspace, pages):
    for name in ("internal.html", "public/report.html"):
        assert section(pages[name], "summary").count(f"{NOTHING_CLAIMED} ") == 2  # beside the gates, and as dp-claim's reason
    claim = {"epsilon_claimed": 7.9, "epsilon_recomputed": 7.8, "delta": 1e-5, "mechanism": "dp-sgd", "accountant": "prv"}
    set_verdict(workspace, "dp-claim", evidence=claim, reason="It holds.", status=Status.PASS, value=7.8, interval=(7.7, 7.8))
    page = written(workspace)["public/report.html"]
    assert NOTHING_CLAIMED not in section(page, "summary") + section(page, "not-measured")
    assert "ε claimed 7.9" in section(page, "gates")
    change_params(workspace, lambda said: [said["panel"].remove("dp-claim"), said["datasets"]["lungs"]["gates"].pop("dp-claim")])
    assert [entry for entry in facts()[1]["not_measured"] if entry["why"].startswith(f"{NOTHING_CLAIMED} ")]


def test_what_nobody_measured_is_listed(workspace):
    said = {entry["what"]: entry["why"] for entry in facts()[1]["not_measured"]}
    assert "SYNTHMILL_SOMETHING" in said["odd-one (odd-one)"]
    assert {"Attribute inference", "Reading by clinicians", "Attackers with shadow models (LiRA)"} <= set(said)
    assert not {"Membership inference", "Usefulness", "Realism", "Copies that are not exact", "Differential privacy"} & set(said)
    set_verdict(workspace, "mia-white-box", evidence=attack("mia-white-box", ("loss", "LiRA")).evidence)
    public = facts()[1]
    assert "Attackers with shadow models (LiRA)" not in {entry["what"] for entry in public["not_measured"]}
    assert [limit for limit in public["limits"] if "Usefulness was measured" in limit]


def test_a_panel_without_a_kind_of_gate_says_so(workspace):
    def alone(said: dict) -> None:
        said["panel"] = ["odd-one"]
        said["datasets"]["lungs"]["gates"] = {"odd-one": {"threshold": PANEL["odd-one"][0], "required": False}}

    change_params(workspace, alone)
    found = facts()[1]
    absent = {entry["what"]: entry["why"] for entry in found["not_measured"]}
    for what in ("Membership inference", "Usefulness", "Realism"):
        assert absent[what].startswith("No gate of this panel measures it")
    assert "Copies that are not exact" in absent
    assert "Attackers with shadow models (LiRA)" not in absent
    assert not [limit for limit in found["limits"] if "Usefulness was measured" in limit or "Membership attacks" in limit]
    assert (found["decision"]["releasable"], found["decision"]["required"]) == (False, []), "nothing could hold it back"


def test_the_measured_number_is_the_gates_own_where_the_excess_is_taken_the_other_way(workspace):
    """A shortfall: 0.95 real less 0.9 synthetic is an excess of 0.05, and what was measured is 0.9."""
    claim = {**dict.fromkeys(CLAIM), "claim": "shown", "measured": 0.9, "null": 0.95, "value": 0.05, "interval": [0.04, 0.06]}
    null = {"value": 0.05, "interval": (0.04, 0.06), "null": Null(value=0.95, what="real")}
    set_verdict(workspace, "coverage", evidence={"claims": [claim]}, **null)
    set_verdict(workspace, "odd-one", evidence={"measured": 0.7}, **null)
    gates = facts()[1]["gates"]
    assert [gates[PLACE[kind]]["measured"] for kind in ("coverage", "odd-one", "fid")] == [0.9, 0.7, None]


def test_a_model_that_went_on_from_private_weights_says_whom_no_gate_looks_for(workspace):
    path = workspace / "data" / "models" / NAME / "model.json"
    what = "Patients of the model that training started from"
    for public, listed in ((False, 1), (True, 0)):
        init = {"reference": "./jane-doe", "digest": "ab" * 32, "public": public}
        write_json(path, {**read_json(path), "init": init})
        for found in facts():
            assert [entry["what"] for entry in found["not_measured"]].count(what) == listed
            assert found["provenance"]["model"]["init"] == {"digest": "ab" * 32, "public": public}
    pages = written(workspace)
    assert all(
        "from the model abababababab, trained on public images alone." in section(page, "provenance")
        for page in pages.values()
        if "<section" in page
    )
    assert "jane" not in "".join(pages.values())
