"""The first page: what was decided, what sign-off is asked for, what was waived, and each gate in a sentence that is true."""

import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from markupsafe import Markup, escape

from schema.digest import write_json
from schema.verdict import Null, Status, Subject, Verdict
from tasks.reporting import gather
from tasks.reporting.render import cited
from tasks.reporting.sentences import SENTENCES, sentence
from tests import report_workspace
from tests.conftest import CHECKOUT
from tests.report_verdicts import PANEL, attack
from tests.report_workspace import NAME, build, change_params, draw, facts, made, set_verdict, verdict_path, written

PLACE = {kind: place for place, kind in enumerate(PANEL)}
PAGES = ("internal.html", "public/report.html")
COMMIT = "c0ffee" + "0" * 34
WAIVER = {"reason": "The bound was set for larger images.", "by": ["Ada Lovelace", "Bob Moran"], "until": None}

# A verdict of each gate: unit, value, null, what the null is, evidence; and what is to be said of it.
KNOWN = {
    "mia-white-box": (
        "AUC",
        0.0125,
        0.5,
        "members",
        {},
        "has the model's weights tells which is which 51.2 % of the time; guessing",
    ),
    "mia-query": ("AUC", 0.25, 0.5, "members", {}, "may only put questions to the model tells which is which 75.0 % of the time"),
    "mia-release": ("AUC", -0.01, 0.51, "members", {}, "nothing but the synthetic images tells which is which 50.0 % of the time"),
    "replica": ("share", 0.03, 0.01, "unseen", {}, "4.0 % of the synthetic images are copies or near copies of a training image; of real"),
    "split": ("share of images", 0.02, 0.01, "chance", {}, "3.0 % of the images that are held back are copies or near copies"),
    "canary": (
        *("epsilon", 1.5, 0.0, "never shown"),
        {"accuracy_of_guesses": 0.75, "null_accuracy_of_guesses": 0.5, "epsilon_lower_bound": 1.5},
        "75.0 % are right, where guessing gives 50.0 %. That shows, at 95 % confidence, that ε is at least 1.50.",
    ),
    "dp-claim": (
        *("epsilon", 7.5, 0.0, "no step", {"privacy_unit": "patient", "delta": 1e-4}),
        "whether any one patient took part makes no result of the training more than e to the ε times as likely (ε = 7.50; smaller",
    ),
    "utility": (
        "accuracy ratio synthetic over real",
        -0.25,
        1.0,
        "real",
        {},
        "reaches 75.0 % of the accuracy of one that learned",
    ),
    "coverage": (
        *("share", 0.2, 0.9, "other real images of that class that show it", {"measured": 0.7}),
        "sees in 70.0 % of the synthetic images what they are labelled as; in other real images of that class, in 90.0 %.",
    ),
    "fid": ("FID", 10.0, 2.0, "real", {}, "(FID), the synthetic images lie 12.0 from real ones; other real images lie 2.00 from them."),
    "fd-domain": ("distance", 0.5, 0.25, "real", {}, "learned from these real images, the synthetic images lie 0.750 from real ones"),
    "frd": ("distance", 0.5, 0.25, "real", {}, "textures (radiomics), the synthetic images lie 0.750 from real ones"),
    "cmmd": ("distance", 0.5, 0.25, "real", {}, "captions (CMMD), the synthetic images lie 0.750 from real ones"),
}


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    with made(tmp_path) as root:
        yield root


def first_page(page: str) -> str:
    """The words of the first page, without its tags."""
    found = re.search(r'<section id="summary".*?</section>', page, re.DOTALL)[0]
    found = re.sub(r"</?(data|strong|code|span|a)\b[^>]*>", "", found)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found)))


def fail(root: Path, kind: str) -> str:
    """Lets a gate fail; the digest of its verdict."""
    set_verdict(root, kind, status=Status.FAIL, value=0.2137123, interval=(0.1812345, 0.2412345), evidence={}, reason="It failed.")
    return Verdict.load(verdict_path(root, kind)).digest


def ask(root: Path, **policy) -> None:
    change_params(root, lambda said: said["datasets"][NAME].update(policy=policy))


def test_there_is_a_sentence_for_every_gate_of_the_panel():
    panel = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["panel"]
    assert len(panel) == 13
    assert set(panel) == SENTENCES.keys() == KNOWN.keys()


def test_a_gates_sentence_says_its_own_numbers(workspace):
    for kind, (unit, value, null, what, evidence, _) in KNOWN.items():
        bound = PANEL[kind][0]
        status = Status.PASS if (value >= bound if kind == "utility" else value <= bound) else Status.FAIL
        numbers = {"value": value, "interval": (value, value), "null": Null(value=null, what=what)}
        set_verdict(workspace, kind, status=status, unit=unit, evidence=evidence, **numbers)
    inside = facts()[0]
    for kind, (*_, words) in KNOWN.items():
        said = sentence(inside["gates"][PLACE[kind]], f"/gates/{PLACE[kind]}", partial(cited, inside))
        assert words in html.unescape(re.sub(r"<[^>]+>", "", said)).replace("\u202f", " ")


def test_a_sentence_is_said_of_a_settled_verdict_alone_and_by_numbers_that_are_there(workspace):
    def said(kind: str) -> str:
        gate = facts()[0]["gates"][PLACE[kind]]
        return str(sentence(gate, f"/gates/{PLACE[kind]}", lambda at, form: Markup(f"<{at.split('/', 3)[3]}>")))

    assert said("mia-white-box").startswith("Shown a training image and the image of a stranger")
    assert said("odd-one") == "Not settled: It could not be told."
    set_verdict(workspace, "odd-one", status=Status.PASS, value=0.1, interval=(0.0, 0.2), reason="Odd & <b>.")
    assert said("odd-one") == escape("Odd & <b>."), "nobody has worded it: its own reason"
    # It fails by another claim than its AUC, so that the sentence of the AUC would mislead.
    set_verdict(workspace, "mia-query", status=Status.FAIL, reason="At 1 % it finds too many.")
    assert said("mia-query") == "At 1 % it finds too many."
    set_verdict(workspace, "dp-claim", status=Status.FAIL, value=7.5, interval=(7.4, 7.5), reason="No noise was added.")
    assert said("dp-claim") == "No noise was added."
    set_verdict(workspace, "mia-release", subject=Subject(real="a", synthetic="b", model="c"))
    assert said("mia-release").startswith("Not settled: the verdict is of other images")
    verdict_path(workspace, "replica").unlink()
    assert said("replica") == "Not settled: no verdict was written."
    page = first_page(written(workspace)["public/report.html"])
    assert page.count("not evidenced") == 1


def test_a_waiver_stands_on_the_first_page_of_both_editions(workspace):
    digest, until = fail(workspace, "mia-query"), (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    ask(workspace, waivers=[{**WAIVER, "gate": "mia-query", "verdict": digest, "until": until}])
    pages = written(workspace)
    for name in PAGES:
        said = first_page(pages[name])
        assert "May be released with 1 waiver " in said
        assert "Waived: Membership inference: model query (mia-query). By Ada Lovelace and Bob Moran, until " + until in said
        assert f"Reason: {WAIVER['reason']} Verdict {digest[:12]}" in said
        assert f'<code title="{digest}">{digest[:12]}</code>' in pages[name]
        assert "✕ FAIL waived" in re.sub("\u00a0", " ", said)
    ask(workspace, waivers=[{**WAIVER, "gate": kind, "verdict": fail(workspace, kind)} for kind in ("mia-query", "mia-release")])
    assert all("May be released with 2 waivers " in first_page(written(workspace)[name]) for name in PAGES)
    assert facts()[1]["decision"]["waivers"][0]["holds"]


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        ("mia-query", {"verdict": "0" * 64}, "it is for another verdict than the one that stands here"),
        ("mia-query", {"until": "2020-01-01"}, "its last day is over"),
        ("fid", {}, "the gate informs only, so there is nothing to waive"),
    ],
)
def test_a_waiver_that_fits_no_verdict_does_not_hold(workspace, kind, change, why):
    fail(workspace, "mia-query")
    digest = Verdict.load(verdict_path(workspace, kind)).digest
    ask(workspace, waivers=[{**WAIVER, "gate": kind, "verdict": digest, **change}])
    pages = written(workspace)
    for name in PAGES:
        said = first_page(pages[name])
        assert f"A waiver of {kind} does not hold: {why}." in said
        assert "The decision Refused " in said
        assert "Ada Lovelace and Bob Moran" in said


def test_use_and_sign_off_are_said_in_plain_words(workspace):
    ask(workspace, use="Teaching alone.", approvals=2, roles=["privacy officer", "clinician"], days=14, signed=True)
    pages = written(workspace)
    for name in PAGES:
        said = first_page(pages[name])
        assert "For what use Teaching alone." in said
        assert "2 people must approve exactly these bytes, among them a privacy officer and a clinician; " in said
        assert "an approval that is not used within 14 days expires. Every record of it must be signed." in said
        assert "Who approved is not known when this page is made. It stands in the record data/evidence/lungs.intoto.jsonl" in said
    ask(workspace)
    assert "No approval by a person" in first_page(written(workspace)["public/report.html"])


def test_the_first_page_says_since_when_a_threshold_stands_and_inside_by_whom(workspace):
    row = {"commit": COMMIT, "date": "2026-03-04", "author": "Grace Hopper", "why": None}
    unknown = {**dict.fromkeys(row), "why": "not committed: nobody can say since when"}
    write_json(gather.history_file(NAME), {"mia-query": row, "fid": unknown})
    pages = written(workspace)
    inside, outside = (first_page(pages[name]) for name in PAGES)
    assert "at most 0.1 since 2026-03-04, c0ffee00 by Grace Hopper " in inside
    assert "at most 0.1 since 2026-03-04, c0ffee00 " in outside
    assert "at most 20 not committed: nobody can say since when " in outside
    assert "Hopper" not in pages["public/report.html"] + pages["public/report.json"]
    assert COMMIT in pages["public/report.html"]


def test_each_gate_prints_the_digest_of_its_verdict(workspace):
    pages = written(workspace)
    for kind, place in PLACE.items():
        digest = Verdict.load(verdict_path(workspace, kind)).digest
        for name in PAGES:
            assert f'<a href="#gate-{place + 1}"><code title="{digest}">{digest[:12]}</code></a>' in pages[name]
            assert digest in re.search(rf'<article id="gate-{place + 1}">.*?</article>', pages[name], re.DOTALL)[0]


def test_public_numbers_have_two_digits_in_fields_and_sentences_alike(workspace):
    evidence = {"auc": 0.612345, "auc_interval": [0.587654, 0.637891]}
    words = "AUC 0.612 (0.588 to 0.638), +0.0988 over 0.514; 12.34% of them, at most 0.1 being allowed, of 2995 in 1.5 steps."
    set_verdict(
        *(workspace, "mia-query"), status=Status.PASS, value=0.0988123, interval=(0.0912345, 0.0996789), evidence=evidence, reason=words
    )
    set_verdict(workspace, "mia-release", status=Status.FAIL, value=0.1004321, interval=(0.0912345, 0.1104321), evidence={}, reason="No.")
    inside, public = facts()
    query, release = (public["gates"][PLACE[kind]] for kind in ("mia-query", "mia-release"))
    assert (query["value"], query["interval"], query["threshold"]) == (0.099, [0.091, 0.1], 0.1)
    assert (query["evidence"]["auc"], query["evidence"]["auc_interval"]) == (0.61, [0.58, 0.64])
    assert query["reason"] == "AUC 0.61 (0.58 to 0.64), +0.099 over 0.51; 12% of them, at most 0.1 being allowed, of 2995 in 1.5 steps."
    assert (release["value"], release["interval"]) == (0.11, [0.091, 0.12])
    assert inside["gates"][PLACE["mia-query"]]["reason"] == words
    # Nor does a reason bring them back by way of what objects and what is left open.
    set_verdict(workspace, "mia-query", status=Status.INSUFFICIENT)
    public = facts()[1]
    words = json.dumps([public["decision"], public["not_measured"]])
    assert "AUC 0.61 (0.58 to 0.64)" in words
    assert "0.612" not in words


def test_markup_in_any_text_of_params_or_of_the_data_is_shown_as_text(workspace, monkeypatch, tmp_path):
    plant = "<script>alert(1)</script>"
    rng, labels = np.random.default_rng(1), ["normal", plant]
    monkeypatch.setattr(report_workspace, "LABELS", labels)
    real = {split: (draw(rng, n), [labels[i % 2] for i in range(n)]) for split, n in (("train", 24), ("holdout", 12), ("test", 12))}
    build(workspace, real, (draw(rng, 24), [labels[i % 2] for i in range(24)]), title=plant, description=plant, modality=plant)
    digest = fail(workspace, "mia-query")
    ask(workspace, use=plant, waivers=[{**WAIVER, "gate": "mia-query", "verdict": digest, "reason": plant, "by": [plant, "Bob"]}])
    finding = attack("mia-white-box", ("loss", "PIA")).evidence
    set_verdict(workspace, "mia-white-box", reason=plant, method=plant, unit=plant, evidence={**finding, plant: 1.5})
    row = {"commit": COMMIT, "date": "2026-03-04", "author": plant, "why": None}
    write_json(gather.history_file(NAME), {"mia-query": row, "fid": {**dict.fromkeys(row), "why": plant}})
    pages = written(workspace)
    for name in PAGES:
        assert "<script" not in pages[name].lower()
        assert pages[name].count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
