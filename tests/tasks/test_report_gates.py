"""What the report says of each gate: numbers, nulls, attackers, claims, detection power, and what of the evidence may leave."""

import html
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tasks.gates
from schema.digest import write_json
from schema.errors import SynthmillError
from schema.plugins import find
from schema.verdict import Status
from tasks.gates._attack import WORDS
from tasks.reporting import power
from tasks.reporting.attackers import BLIND, COLUMNS
from tasks.reporting.evidence import CALIBRATION, CLAIM, HYBRID, SCALARS, SHAPES, known, publishable
from tasks.reporting.wording import NOTHING_CLAIMED, OTHER, QUESTIONS
from tests.report_verdicts import EVIDENCE, LABELS, PANEL, POWER, SCENARIOS, attack
from tests.report_workspace import change_params, made, real_id, real_rows, set_verdict, verdict_path, written

PLACE = {kind: place for place, kind in enumerate(PANEL)}
NAME = real_id("train", 3)
SCORES = [0.731 + row / 7919 for row in range(90)]
PIXELS = [(7 * row + 11) % 251 for row in range(64)]
SECRETS = {
    "id": NAME,
    "file": f"{NAME}.png",
    "ids": [NAME, NAME],
    "pixels": PIXELS,
    "rows of pixels": [PIXELS[:8], PIXELS[8:16]],
    "scores": SCORES,
    "few scores": SCORES[:6],
    "scores by id": {NAME: SCORES[0]},
    "scores of ids": [{"id": NAME, "score": SCORES[1]}],
}
KEYS = [*SHAPES, *SCALARS, *(f"null_{key}" for key in SCALARS), *(f"{key}_interval" for key in SCALARS), "pairs", "never_heard_of"]


def nested(secret: Any) -> list[Any]:
    """The secret as it is, and in every container that a known key has."""
    names, rest = ("attack", "claim", "label", "distance", "says"), (*CLAIM, *HYBRID, *CALIBRATION, "auc", "auc_interval", "tpr_at_1_fpr")
    blank = {**dict.fromkeys([*rest, "tpr_at_01_fpr"]), **dict.fromkeys(names, "normal"), "auc": 0.5, "ratio": 0.2}
    rows = [dict.fromkeys([*names, *blank], secret), {**blank, "more": secret}, {**blank, "interval": secret, "claim": secret}]
    return [
        secret,
        [secret],
        {"normal": secret},
        {"normal": {"real": secret}},
        {"accuracy": secret},
        *rows,
        *([row] for row in rows),
        {"a": [rows]},
    ]


def leaks(text: str) -> bool:
    scores = [repr(score) for score in SCORES]
    return NAME in text or any(score in text for score in scores) or any(f"{a}, {b}" in text for a, b in itertools.pairwise(PIXELS))


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


@pytest.mark.parametrize("secret", SECRETS)
def test_no_evidence_of_a_single_image_is_published_under_any_key(secret):
    assert leaks(json.dumps(nested(SECRETS[secret])))  # the check does see it
    for plant in nested(SECRETS[secret]):
        given = {key: plant for key in KEYS if key != "seeds"}
        assert not leaks(json.dumps(publishable({**given, "seeds": [0, 1, 2, 3, 4]}, LABELS, {NAME})))


def test_nothing_planted_in_a_verdict_reaches_the_public_edition(workspace):
    assert real_rows(workspace, "train")[3]["id"] == NAME
    plants = [plant for secret in SECRETS.values() for plant in nested(secret)]
    for place, kind in enumerate(PANEL):
        evidence = {key: plants[(place + 7 * number) % len(plants)] for number, key in enumerate(KEYS)}
        words = dict.fromkeys(("reason", "method", "unit"), f"It was {NAME}.")
        set_verdict(workspace, kind, evidence=evidence, n={NAME: 3}, **words)
    pages = written(workspace)
    assert leaks(pages["report.json"])
    assert not leaks(pages["public/report.json"] + html.unescape(pages["public/report.html"]))
    assert "(withheld: it named a real record)" in pages["public/report.html"]


def test_every_gate_there_is_has_its_question_and_its_group():
    kinds = set(find(tasks.gates))
    assert kinds <= QUESTIONS.keys()
    assert all(QUESTIONS[kind].asks.endswith("?") and QUESTIONS[kind].group != OTHER for kind in kinds)
    assert {BLIND} | set(COLUMNS) == {*WORDS.values(), BLIND}


def test_the_table_shows_number_null_excess_and_threshold_of_each_gate(pages):
    for page, facts in (("internal.html", "report.json"), ("public/report.html", "public/report.json")):
        said = section(pages[page], "summary")
        graph = json.loads(pages[facts])
        for gate in graph["gates"]:
            if gate["null"] is None:
                assert gate["status"] == "INSUFFICIENT"
                assert f"Not settled: {gate['reason']}" in said
                continue
            assert gate["measured"] == pytest.approx(gate["null"]["value"] + gate["value"])
            for fact in ("measured", "null/value", "null/interval/0", "null/interval/1", "value", "interval/0", "interval/1", "threshold"):
                at = f'data-at="/gates/{PLACE[gate["gate"]]}/{fact}"'
                assert at in pages[page].split('id="says"')[0]
            assert gate["null"]["what"] in said
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
        cells = [f"{at}/attacks/{row}/{field}" for row in range(len(evidence["attacks"])) for field in ("auc", "tpr_at_1_fpr")]
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
        assert section(pages[page], "attackers").count("INSUFFICIENT (needs 2 995, has 320)") == 3
        assert section(pages[page], "gates").count("INSUFFICIENT (needs 2 995, has 320)") == 3


def test_an_attacker_that_could_not_be_judged_says_why_in_the_table(workspace):
    set_verdict(workspace, "mia-query", status=Status.INSUFFICIENT, value=None, interval=None, null=None, evidence={}, reason="Too few.")
    verdict_path(workspace, "mia-release").unlink()
    said = section(written(workspace)["public/report.html"], "attackers")
    assert re.search(r"model query \? INSUFFICIENT .*Too few\..*release alone \? NO VERDICT No verdict was written", said)


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


def test_no_differential_privacy_is_claimed_unless_training_claims_it(workspace):
    for name in ("internal.html", "public/report.html"):
        assert section(written(workspace)[name], "summary").count(f"{NOTHING_CLAIMED} ") >= 2  # beside the gates, and dp-claim's reason
    claim = {"epsilon_claimed": 7.9, "epsilon_recomputed": 7.8, "delta": 1e-5, "mechanism": "dp-sgd", "accountant": "prv"}
    set_verdict(workspace, "dp-claim", evidence=claim, reason="It holds.", status=Status.PASS, value=7.8, interval=(7.7, 7.8))
    page = written(workspace)["public/report.html"]
    assert NOTHING_CLAIMED not in section(page, "summary") + section(page, "not-measured")
    assert "ε claimed 7.90" in section(page, "gates")
    change_params(workspace, lambda said: [said["panel"].remove("dp-claim"), said["datasets"]["lungs"]["gates"].pop("dp-claim")])
    assert NOTHING_CLAIMED in section(written(workspace)["public/report.html"], "not-measured")


def test_what_nobody_measured_is_listed(workspace):
    said = {entry["what"]: entry["why"] for entry in json.loads(written(workspace)["public/report.json"])["not_measured"]}
    assert "SYNTHMILL_SOMETHING" in said["odd-one (odd-one)"]
    assert {"Attribute inference", "Reading by clinicians", "Attackers with shadow models (LiRA)"} <= set(said)
    assert not {"Membership inference", "Usefulness", "Realism", "Copies that are not exact", "Differential privacy"} & set(said)
    evidence = attack("mia-white-box", ("loss", "LiRA")).evidence
    set_verdict(workspace, "mia-white-box", evidence=evidence)
    public = json.loads(written(workspace)["public/report.json"])
    assert "Attackers with shadow models (LiRA)" not in {entry["what"] for entry in public["not_measured"]}
    assert [limit for limit in public["limits"] if "Usefulness was measured" in limit]


def test_a_panel_without_a_kind_of_gate_says_so(workspace):
    def alone(said: dict) -> None:
        said["panel"] = ["odd-one"]
        said["datasets"]["lungs"]["gates"] = {"odd-one": {"threshold": PANEL["odd-one"][0], "required": False}}

    change_params(workspace, alone)
    found = json.loads(written(workspace)["public/report.json"])
    absent = {entry["what"]: entry["why"] for entry in found["not_measured"]}
    for what in ("Membership inference", "Usefulness", "Realism"):
        assert absent[what].startswith("No gate of this panel measures it")
    assert "Copies that are not exact" in absent
    assert "Attackers with shadow models (LiRA)" not in absent
    assert not [limit for limit in found["limits"] if "Usefulness was measured" in limit or "Membership attacks" in limit]
    assert (found["decision"]["releasable"], found["decision"]["required"]) == (False, []), "nothing could hold it back"


def test_all_that_our_gates_say_is_known():
    """A key that nobody knows would never be published: the attackers' own, and those that this file stands for."""
    given = {**EVIDENCE, "mia-white-box": attack("mia-white-box", ("loss", "PIA")).evidence}
    given.pop("odd-one")
    assert not {kind: unknown for kind, evidence in given.items() if (unknown := evidence.keys() - known(evidence).keys())}


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {
            "auc": "high",
            "roc": [[0, 0]],
            "auc_by_timestep": [1, 2],
            "worst_class": {"label": 3},
            "real": [1],
            "synthetic": {"accuracy": "x"},
            "claims": [{"claim": "AUC"}],
            "attacks": [],
            "hybrid": [{"ratio": 1}],
            "pairs": [{"id": "nobody"}, "x"],
        },
        {
            "roc": [[0, 0], [0.5, 0.5], [1, 1]],
            "synthetic": {"accuracy": [0.9]},
            "distance": 3,
            "$\\bad{": 1,
            "a/b~c": 0.25,
            "auc_by_timestep": {"late": 0.5},
            "claims": [{**dict.fromkeys(CLAIM), "claim": "Some", "status": "PASS", "required": True, "n": 3, "needed": 9}],
            "attacks": [{"attack": "x"}],
            "hybrid": [{**dict.fromkeys(HYBRID), "ratio": 1, "gain": 0.5, "interval": [0.6, 0.7], "control": 0.1, "hybrid": 0.6}],
            "per_class": {"normal": {"real": 0.5}, "pneumonia": {"synthetic": 0.5}},
        },
    ],
)
def test_evidence_of_any_shape_makes_a_page(workspace, evidence):
    for kind in PANEL:
        set_verdict(workspace, kind, evidence=evidence)
    pages = written(workspace)
    assert json.loads(pages["report.json"])["gates"][0]["evidence"] == evidence
    assert ('data-at="/gates/0/evidence/a~1b~0c"' in pages["internal.html"]) == ("a/b~c" in evidence)
    assert "a/b~c" not in pages["public/report.json"]
    assert ("INSUFFICIENT (needs 9, has 3)" in section(pages["internal.html"], "gates")) == ("a/b~c" in evidence)
