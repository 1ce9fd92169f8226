"""What documents read in a record: the newest of each kind, whose bytes it is of, what people decided, and how numbers are shown."""

import document_record as dr
import pytest

from schema.evidence import RECALL, Statement, described
from tasks import evidencing
from tasks.documents import Evidence, _gates, _people, ema_0070, privacy_summary
from tasks.documents._blocks import Claim, claims
from tasks.documents._edition import Edition


def evidence(folder, *more) -> Evidence:
    return Evidence(dr.DATASET, dr.record(folder, *more))


def released(*waivers: dict):
    sheet = {**dr.SHEET, "policy": {**dr.SHEET["policy"], "waivers": list(waivers)}}
    return dr.of_stage("release", sheet, {"version": "v1.0.1", "previous": "v1.0.0", "digests": dr.RELEASE.model_dump()})


def test_the_newest_verdict_counts(tmp_path):
    found = evidence(tmp_path, dr.of_gate("replica", status="FAIL"))
    assert _gates.line(found, Edition.INTERNAL, "replica").status == "FAIL"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"subject": {"real": dr.REAL, "synthetic": dr.SYNTHETIC, "model": "0" * 64}}, "the newest verdict is of other model"),
        ({"config": {"required": True, "threshold": 0.2}}, "its threshold or another of its settings changed after it measured"),
    ],
)
def test_a_verdict_of_another_model_or_under_other_settings_evidences_nothing(tmp_path, other, why):
    line = _gates.line(evidence(tmp_path, dr.of_gate("replica", **other)), Edition.INTERNAL, "replica")
    assert (line.words, line.why) == (None, why)


def test_a_waiver_is_for_one_verdict_alone_and_stands_in_both_editions(tmp_path):
    failed = dr.of_gate("utility", status="FAIL")
    waiver = {"gate": "utility", "verdict": dr.verdict("utility", status="FAIL")["sha256"], "reason": "Agreed by the board."}
    found = evidence(tmp_path / "a", failed, released({**waiver, "by": ["Ada Example", "Bo Example"], "until": "2026-12-31"}))
    assert _gates.line(found, Edition.PUBLIC, "utility").status == "WAIVED"
    for edition in Edition:
        assert ("Agreed by the board.", "Ada Example, Bo Example", "2026-12-31") in [row[2:] for row in _people.waived(found, edition).rows]
    other = evidence(tmp_path / "b", dr.of_gate("utility", status="FAIL", value=9.0), released({**waiver, "by": ["A", "B"], "until": None}))
    assert _gates.line(other, Edition.PUBLIC, "utility").status == "FAIL"


def test_only_decisions_about_the_newest_releases_bytes_count_the_last_of_each_person(tmp_path):
    assert _people.decision(evidence(tmp_path / "a")).status == "APPROVED"
    assert _people.until(evidence(tmp_path / "a")).words.startswith("2026-02-02")
    assert _people.decision(evidence(tmp_path / "b", dr.signed("refused"))).status == "REFUSED"
    assert _people.decision(evidence(tmp_path / "c", dr.signed("refused", by="Bo Example", digest="0" * 64))).status == "APPROVED"
    rebuilt = dr.of_stage("release", dr.SHEET, {"version": "v2.0.0", "digests": {"records": "0" * 64, "files": "1" * 64}})
    assert _people.decision(evidence(tmp_path / "d", rebuilt)).words is None


def test_an_approval_in_another_role_than_the_policys_leaves_the_release_waiting(tmp_path):
    found = evidence(tmp_path, dr.signed(role="clerk"))
    decision = _people.decision(found)
    assert decision.status == "WAITING"
    assert f"nobody approved it as {dr.ROLE}" in decision.words


def test_words_without_evidence_are_no_claim():
    with pytest.raises(ValueError, match="without evidence"):
        Claim("anonymous")


def test_the_emas_threshold_is_set_beside_the_upper_bound_and_an_advantage_is_never_called_a_probability(tmp_path):
    rows = next(s for s in ema_0070.Plugin().sections(evidence(tmp_path), Edition.INTERNAL) if s.title == "Risk table").blocks[0].rows
    told = {row[0]: (row[2].words or "", row[3]) for row in rows}
    assert told["Near copies: share of the synthetic images"] == ("0.002379, which is at most 0.09", ema_0070.KIND_OF_COPIES)
    advantages = [told[name] for name in told if "advantage" in name]
    assert len(advantages) == 6
    assert {kind for _, kind in advantages} == {ema_0070.KIND_OF_ADVANTAGE}
    assert advantages[0][0] == "0.04568, which is at most 0.09"
    assert [bound for bound, _ in advantages].count("too few images to judge by") == 3


@pytest.mark.parametrize(("value", "lower", "upper"), [(0.031234, "0.031", "0.032"), (-0.0123456, "−0.013", "−0.012"), (7.999, "7.9", "8")])
def test_public_bounds_are_rounded_outward_to_two_digits(value, lower, upper):
    assert (Edition.PUBLIC.lower(value), Edition.PUBLIC.upper(value)) == (lower, upper)
    assert Edition.INTERNAL.lower(0.0312345) == "0.03123"


def test_public_counts_of_people_are_rounded_and_small_ones_not_told():
    assert [Edition.PUBLIC.count(n) for n in (0, 3, 3644)] == ["0", "fewer than 10", "about 3600"]
    assert Edition.INTERNAL.count(3) == "3"


def test_the_record_takes_what_training_claims_of_privacy(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    model = tmp_path / "data" / "models" / dr.DATASET / "model.json"
    model.parent.mkdir(parents=True)
    model.write_text('{"digest": "d", "kind": "ddpm", "loss": 0.1, "privacy": null}')
    assert evidencing.summary("train", dr.DATASET) == {"digest": "d", "kind": "ddpm", "privacy": None}
    assert evidencing.summary("gate", dr.DATASET) == {}


def test_no_claim_of_privacy_is_told_from_no_evidence_of_one(tmp_path):
    none = dr.of_stage("train", {}, {"digest": dr.MODEL, "privacy": None})
    assert _gates.privacy_claimed(evidence(tmp_path / "a", none), Edition.PUBLIC).words == "No differential privacy is claimed."
    silent = dr.of_stage("train", {}, {"digest": dr.MODEL})
    assert _gates.privacy_claimed(evidence(tmp_path / "b", silent), Edition.PUBLIC).words is None
    assert claims([]) == []


def test_a_recalled_release_says_so_first_and_another_says_nothing_of_it(tmp_path):
    assert "recalled" not in str(privacy_summary.Plugin().sections(evidence(tmp_path / "whole"), Edition.PUBLIC))
    said = {
        "releases": [f"{dr.DATASET}@v1.0.0"],
        "reason": "consent withdrawn",
        "by": "Ada",
        "at": "2026-01-02T03:04:05Z",
        "withdrawal": "0",
    }
    for number, tags in enumerate(([f"{dr.DATASET}@v1.0.0"], [f"{dr.DATASET}@v0.9.0"])):
        gone = Statement(subject=[described("x", "0" * 64)], predicateType=RECALL, predicate={**said, "releases": tags})
        found = evidence(tmp_path / str(number), gone)
        told = dict(_people.recalled(found))
        assert bool(told) == (number == 0)
        if told:
            assert told["Recall"].words == "recalled on 2026-01-02 by Ada: consent withdrawn. It is not to be used"
            assert told["Recall"].on == (found.entries[-1].digest,)
