"""What of a verdict's evidence may be published, and that no evidence breaks a page."""

import html
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.reporting.evidence import CALIBRATION, CLAIM, HYBRID, SCALARS, SHAPES, known, publishable
from tests.report_verdicts import EVIDENCE, LABELS, PANEL, attack
from tests.report_workspace import made, real_id, real_rows, set_verdict, written

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


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    with made(tmp_path) as root:
        yield root


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
    for kind in ("mia-white-box", "utility", "odd-one"):
        set_verdict(workspace, kind, evidence=evidence)
    pages = written(workspace)
    assert json.loads(pages["report.json"])["gates"][0]["evidence"] == evidence
    assert ('data-at="/gates/0/evidence/a~1b~0c"' in pages["internal.html"]) == ("a/b~c" in evidence)
    assert "a/b~c" not in pages["public/report.json"]
    assert ("Some" in re.findall(r'<th scope="row">(\w+)</th>', pages["internal.html"])) == ("a/b~c" in evidence)
