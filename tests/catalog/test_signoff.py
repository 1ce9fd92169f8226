"""Sign-off: who approved which bytes, until when, and that nothing is published without."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import release_workspace as rw

from catalog import evidence, publish, signoff, versions
from schema.errors import ApprovalNeeded, UsageError
from schema.policy import Policy

OFFICER, STEWARD = "privacy-officer", "data-steward"
TWO = Policy(approvals=2, roles=[OFFICER, STEWARD], days=10)
LATER = datetime.now(UTC) + timedelta(days=11)


def decide(decision="approved", by="Ada", role=OFFICER, policy=TWO, **more):
    return signoff.decide(rw.NAME, decision, by, role, "read the report", policy, **more)


def standing(policy=TWO, when=None):
    return signoff.standing(rw.NAME, signoff.candidate(rw.NAME)[1], policy, when)


def ask(workspace, **policy):
    workspace.edit_params(lambda section: section.update(policy=policy))
    workspace.dvc("repro", "--quiet")


def test_nothing_is_published_until_every_approval_is_there(workspace):
    ask(workspace, approvals=2, roles=[OFFICER, STEWARD])
    with pytest.raises(ApprovalNeeded, match=r"0 of 2 approvals are there.*nobody approved it as privacy-officer.*approve pneumonia --by"):
        publish.publish(rw.NAME)
    decide()
    with pytest.raises(ApprovalNeeded, match="1 of 2 approvals are there; nobody approved it as data-steward"):
        publish.publish(rw.NAME)
    assert not versions.releases(rw.NAME)
    decide(by="Grace", role=STEWARD)
    assert publish.publish(rw.NAME).version == "v1.0.0"
    said = workspace.git("show", f"pneumonia@v1.0.0:{publish.attestation.path(rw.NAME)}")
    people = [one.statement.predicate for one in evidence.parse(said, "") if "decision" in one.statement.predicate]
    assert [(one["by"], one["role"]) for one in people] == [("Ada", OFFICER), ("Grace", STEWARD)]
    assert "read the report" not in str(people), "reasons stay inside"


def test_one_person_counts_once_however_they_write_their_name(workspace):
    decide(by="Ada Byron")
    decide(by=" ada  BYRON ", role=STEWARD)
    assert standing().lacking[0] == "1 of 2 approvals are there"


def test_an_approval_expires(workspace):
    decide()
    decide(by="Grace", role=STEWARD)
    assert standing().state == "approved"
    late = standing(when=LATER)
    assert late.state == "waiting"
    assert any(words.startswith("the approval of Ada expired on") for words in late.lacking)


def test_an_approval_is_for_those_bytes_alone(workspace):
    decide()
    decide(by="Grace", role=STEWARD)
    rw.write_samples(workspace.root, range(100, 112))
    rw.judge(workspace)
    workspace.dvc("repro", "--quiet")
    after = standing()
    assert after.state == "waiting"
    assert any("the approval of Ada is for other bytes" in words for words in after.lacking)


def test_who_read_other_bytes_cannot_approve_these(workspace):
    with pytest.raises(UsageError, match=r"has the digest \w{64}, and its images \w{64}, but beefbeef was"):
        decide(digest="beefbeef")
    for none in ("", "sha256:", "beef", "not a digest"):
        with pytest.raises(UsageError, match="is not the beginning of a digest"):
            decide(digest=none)
    digests = signoff.candidate(rw.NAME)[1]
    for digest in (digests.together[:8], f"sha256:{digests.records}"):
        assert decide(digest=digest).digest == digests.together


def test_a_refusal_stands_against_any_number_of_approvals_until_it_is_taken_back(workspace):
    policy = Policy()
    decide("refused", policy=policy)
    decide(by="Grace", policy=policy)
    with pytest.raises(ApprovalNeeded, match=r"was refused.*Ada refused it on .*read the report"):
        publish.publish(rw.NAME)
    decide(policy=policy)
    assert publish.publish(rw.NAME).version == "v1.0.0"


@pytest.mark.parametrize(("by", "role"), [("", OFFICER), ("Ada", "janitor"), ("A" * 101, OFFICER)])
def test_a_sign_off_without_a_name_or_in_no_role_of_the_policy_is_refused(workspace, by, role):
    before = len(evidence.read(evidence.record_file(rw.NAME)))
    with pytest.raises(UsageError):
        decide(by=by, role=role)
    assert len(evidence.read(evidence.record_file(rw.NAME))) == before


def test_the_form_of_the_flow_records_the_same(workspace):
    words = ["--by", "Ada", "--reason", "read the report", "--role", OFFICER]
    env = {**workspace.env, "PREFECT_HOME": str(workspace.home / "prefect"), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "200"}
    command = [sys.executable, "-m", "flows.sign_off", rw.NAME]
    done = subprocess.run([*command, "approved", *words], env=env, cwd=workspace.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = standing(Policy()).counted
    assert (made.by, made.role, made.decision) == ("Ada", OFFICER, "approved")
    (workspace.release / "provenance.json").unlink()
    assert subprocess.run([*command, "approved", *words], env=env, cwd=workspace.root, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("by", [["Ada"], ["Ada", "ada "], ["Ada", ""]])
def test_a_waiver_needs_two_people(by):
    with pytest.raises(ValueError, match=r"people|at least 2"):
        Policy(waivers=[{"gate": "fid", "verdict": "0" * 64, "reason": "The board accepted this.", "by": by}])
