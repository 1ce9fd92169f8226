"""A release goes out only on verdicts that pass, for these bytes, under this configuration."""

import math

import pytest
from pydantic import ValidationError

from schema.errors import IntegrityError
from schema.verdict import Status, Subject, Verdict, judge, objections

SUBJECT = Subject(real="r", synthetic="s", model="m")
CONFIG = {"kind": "g", "required": True, "threshold": 0.1}


def verdict(**changes) -> Verdict:
    fields = {
        "gate": "g",
        "status": Status.PASS,
        "value": 0.02,
        "interval": (0.0, 0.05),
        "threshold": 0.1,
        "direction": "at_most",
        "null": None,
        "n": {"images": 10},
        "unit": "AUC",
        "method": "m",
        "reason": "r",
        "required": True,
        "config": CONFIG,
        "subject": SUBJECT,
    }
    return Verdict(**{**fields, **changes})


@pytest.mark.parametrize(
    ("value", "interval", "threshold", "direction", "status"),
    [
        (0.02, (0.0, 0.1), 0.1, "at_most", Status.PASS),
        (0.02, (0.0, 0.11), 0.1, "at_most", Status.INSUFFICIENT),
        (0.2, (0.0, 0.3), 0.1, "at_most", Status.FAIL),
        (-0.01, (-0.02, 0.0), -0.05, "at_least", Status.PASS),
        (-0.04, (-0.06, 0.0), -0.05, "at_least", Status.INSUFFICIENT),
        (-0.07, (-0.1, 0.0), -0.05, "at_least", Status.FAIL),
        (None, None, 0.1, "at_most", Status.INSUFFICIENT),
        (math.nan, (0.0, 0.1), 0.1, "at_most", Status.INSUFFICIENT),
        (0.0, (-math.inf, 0.05), 0.1, "at_most", Status.INSUFFICIENT),
    ],
)
def test_the_whole_interval_is_judged(value, interval, threshold, direction, status):
    assert judge(value, interval, threshold, direction) is status


def test_a_good_verdict_has_no_objection():
    assert objections(verdict(), "g", CONFIG, SUBJECT) is None


@pytest.mark.parametrize(
    ("found", "config", "words"),
    [
        (None, CONFIG, "no verdict"),
        (verdict(gate="other"), CONFIG, "another gate"),
        (verdict(status=Status.FAIL), CONFIG, "FAIL"),
        (verdict(status=Status.INSUFFICIENT), CONFIG, "INSUFFICIENT"),
        (verdict(subject=SUBJECT.model_copy(update={"synthetic": "x"})), CONFIG, "other bytes"),
        (verdict(), {**CONFIG, "threshold": 0.2}, "changed after it measured"),
        (verdict(threshold=5.0), CONFIG, "threshold"),
        (verdict(value=math.nan), CONFIG, "own numbers"),
        (verdict(interval=(0.0, 0.5)), CONFIG, "own numbers"),
    ],
)
def test_anything_short_of_a_pass_refuses(found, config, words):
    assert words in (objections(found, "g", config, SUBJECT) or "")


def test_a_gate_that_only_informs_refuses_nothing():
    assert objections(None, "g", {**CONFIG, "required": False}, SUBJECT) is None


@pytest.mark.parametrize(
    ("before", "after"), [('"status": "FAIL"', '"status": "PASS"'), ("0.3", "0.03"), ('"reason": "r"', '"reason": "fine"'), ('"r"', '"x"')]
)
def test_a_verdict_that_was_edited_by_hand_is_refused(tmp_path, before, after):
    path = tmp_path / "verdict.json"
    written = verdict(status=Status.FAIL, value=0.3, interval=(0.2, 0.4))
    written.save(path)
    assert Verdict.load(path) == written
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(IntegrityError, match="was edited"):
        Verdict.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"gate": "g"}', '{"value": NaN}'])
def test_what_is_no_verdict_is_not_read_as_one(tmp_path, text):
    (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(ValidationError):
        Verdict.load(tmp_path / "verdict.json")
