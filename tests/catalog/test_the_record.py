"""The record of a dataset: chained, signed, and no line of it can be bent; judged by in-toto's own reader and by openssl."""

import base64
import json
import os
import subprocess
import sys

import pytest
import release_workspace as rw
from google.protobuf.json_format import ParseDict
from in_toto_attestation.v1.statement import Statement as Judge
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from catalog import evidence, publish, reader, workspace
from schema.digest import sha256_file
from schema.errors import IntegrityError, UsageError
from schema.evidence import SLSA, TEST_RESULT, described, stage_run
from schema.evidence import test_result as result_of
from schema.settings import root


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    for name in ("SYNTHMILL_SIGNING_KEY", "SYNTHMILL_TRUSTED_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return evidence.record_file("pneumonia")


def key(path, kind="ed25519"):
    options = ["-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "EC" else []
    subprocess.run(["openssl", "genpkey", "-algorithm", kind, *options, "-out", str(path)], check=True, capture_output=True)
    return path


def public(private, path):
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(path)], check=True, capture_output=True)
    return path


def run_of(name, digest="a" * 64):
    return stage_run(name, "pneumonia", [described("data/x", digest)], [], {}, {}, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z")


def a_record(path, n=3):
    return evidence.append(path, *(run_of(f"stage-{number}") for number in range(n)))


def test_statements_are_in_toto_s_by_its_own_reader(place):
    checked = result_of("fid", "WARNED", [described("samples", "b" * 64)], [described("config", "c" * 64)], {"value": 1})
    evidence.append(place, run_of("train"), checked)
    kinds = []
    for line in place.read_text().splitlines():
        said = json.loads(base64.b64decode(json.loads(line)["payload"]))
        Judge.copy_from_pb(ParseDict(said, StatementMessage())).validate()
        kinds.append(said["predicateType"])
    assert kinds == [SLSA, TEST_RESULT]
    assert said["predicate"]["warnedTests"] == ["fid"]


def test_each_statement_names_the_one_before_it(place):
    first, second, third = a_record(place)
    [fourth] = evidence.append(place, run_of("later"))
    entries = evidence.read(place)
    assert [entry.digest for entry in entries] == [first.digest, second.digest, third.digest, fourth.digest]
    assert [entry.statement.previous for entry in entries] == [None, first.digest, second.digest, third.digest]


BENDS = {
    "a word": lambda lines: [lines[0], lines[1].replace("a", "b", 1), lines[2]],
    "the last": lambda lines: [*lines[:2], lines[2].replace("payloadType", "payloadtype")],
    "taken out": lambda lines: [lines[0], lines[2]],
    "swapped": lambda lines: [lines[1], lines[0], lines[2]],
    "twice": lambda lines: [lines[0], lines[0], lines[1]],
    "garbage": lambda lines: [lines[0], "{}", lines[2]],
}


@pytest.mark.parametrize("bend", BENDS)
def test_a_record_that_was_bent_is_named_with_the_line(place, bend):
    a_record(place)
    lines = BENDS[bend](place.read_text().splitlines())
    place.write_text("\n".join(lines) + "\n")
    with pytest.raises(IntegrityError, match=r"line [123] of .*pneumonia\.intoto\.jsonl"):
        evidence.read(place)


def test_a_line_that_was_made_anew_with_its_digest_still_breaks_the_chain(place, tmp_path):
    a_record(place)
    forged = tmp_path / "forged.intoto.jsonl"
    evidence.append(forged, run_of("stage-0", "f" * 64))
    lines = place.read_text().splitlines()
    place.write_text("\n".join([forged.read_text().strip(), *lines[1:]]) + "\n")
    with pytest.raises(IntegrityError, match=r"line 2 of .* does not follow"):
        evidence.read(place)


def test_a_torn_line_of_a_killed_process_goes_and_nothing_else(place):
    a_record(place)
    with place.open("a") as stream:
        stream.write('{"payload": "eyJ')
    assert len(evidence.read(place)) == 3
    evidence.append(place, run_of("next"))
    assert len(evidence.read(place)) == 4


def test_nothing_is_added_behind_a_line_that_was_bent(place):
    a_record(place)
    lines = place.read_text().splitlines()
    for bent in ("{}", "garbage", lines[2].replace("payload", "Payload", 1)):
        place.write_text("\n".join([*lines[:2], bent]) + "\n")
        before = place.read_bytes()
        with pytest.raises(IntegrityError, match=r"line 3 of .*pneumonia\.intoto\.jsonl"):
            evidence.append(place, run_of("next"))
        assert place.read_bytes() == before


def test_processes_that_append_at_once_lose_nothing(place):
    code = (
        "import sys; from catalog import evidence; from tests.catalog.test_the_record import run_of\n"
        "for number in range(20): evidence.append(evidence.record_file('pneumonia'), run_of(f'{sys.argv[1]}-{number}'))"
    )
    env = {**os.environ, "PYTHONPATH": f"{rw.CHECKOUT}:{rw.CHECKOUT / 'tests'}"}
    both = [subprocess.Popen([sys.executable, "-c", code, name], env=env, cwd=rw.CHECKOUT) for name in ("one", "two")]
    assert [process.wait() for process in both] == [0, 0]
    entries = evidence.read(place)
    names = {entry.statement.predicate["buildDefinition"]["externalParameters"]["stage"] for entry in entries}
    assert (len(entries), len(names)) == (40, 40)


@pytest.mark.parametrize("kind", ["ed25519", "EC"])
def test_a_signature_is_one_that_openssl_verifies(place, tmp_path, monkeypatch, kind):
    private = key(tmp_path / "key.pem", kind)
    monkeypatch.setenv("SYNTHMILL_SIGNING_KEY", str(private))
    a_record(place, 1)
    sealed = json.loads(place.read_text())
    payload, kind_of = base64.b64decode(sealed["payload"]), sealed["payloadType"].encode()
    (tmp_path / "pae").write_bytes(b"DSSEv1 %d %b %d %b" % (len(kind_of), kind_of, len(payload), payload))
    (tmp_path / "sig").write_bytes(base64.b64decode(sealed["signatures"][0]["sig"]))
    (tmp_path / "pub.pem").write_text(sealed["publicKey"])
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "pub.pem", "-rawin", "-in", tmp_path / "pae"]
    said = subprocess.run([*words, "-sigfile", tmp_path / "sig"], capture_output=True, text=True, check=True)
    assert "Verified Successfully" in said.stdout
    monkeypatch.setenv("SYNTHMILL_TRUSTED_KEYS", str(public(private, tmp_path / "officer.pem")))
    [entry] = evidence.read(place)
    assert (entry.signed_by, entry.trusted) == ("officer", True)


def test_a_signature_of_somebody_else_is_refused_where_it_is_said_whom_to_trust(place, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_SIGNING_KEY", str(key(tmp_path / "theirs.pem")))
    a_record(place, 1)
    monkeypatch.delenv("SYNTHMILL_SIGNING_KEY")
    assert not evidence.read(place)[0].trusted, "nobody said whom to trust"
    ours = public(key(tmp_path / "ours.pem"), tmp_path / "ours.pub")
    monkeypatch.setenv("SYNTHMILL_TRUSTED_KEYS", str(ours))
    with pytest.raises(IntegrityError, match="signed by a key that is not trusted here"):
        evidence.read(place)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_missing_or_none_stops_before_anything_is_written(place, tmp_path, monkeypatch, content):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SYNTHMILL_SIGNING_KEY", str(path))
    with pytest.raises(UsageError, match=r"SYNTHMILL_SIGNING_KEY.*key\.pem"):
        a_record(place, 1)
    assert not place.exists()


@pytest.mark.usefixtures("released")
def test_a_release_s_commit_attests_of_its_bytes_and_verify_reads_it():
    found = reader.verify(rw.NAME)
    assert found.statements == 1 + len(rw.PARAMS["panel"])
    assert found.signed == "not signed"


def test_an_attestation_of_other_bytes_is_refused(released):
    """The commit is made anew with another's statements, and the tag moved onto it, as a forger would."""
    release = reader.find(rw.NAME)
    other = release.model_copy(update={"sums": "0" * 64})
    said = json.loads((root() / "data/releases" / rw.NAME / "provenance.json").read_text())
    statements = publish.attestation.bundle(other, said, publish.signoff.Standing("unasked", "", [], []))
    commit = publish.write_commit(release, (root() / "params.yaml").read_text(), statements)
    released.git("tag", "--delete", release.tag)
    made = publish.git.tag_object(root(), commit, release.tag, publish.versions.write_tag(release))
    released.git("update-ref", f"refs/tags/{release.tag}", made)
    with pytest.raises(IntegrityError, match="speaks of other bytes than the tag"):
        reader.verify(rw.NAME)


def test_a_policy_that_wants_signatures_publishes_nothing_without_a_key(workspace):
    workspace.edit_params(lambda section: section.update(policy={"signed": True}))
    workspace.dvc("repro", "--quiet")
    assert workspace.publish() != 0
    assert workspace.git("tag") == ""


def test_a_policy_that_wants_signatures_names_the_stage_that_ran_without_a_key(workspace, tmp_path, monkeypatch):
    workspace.edit_params(lambda section: section.update(policy={"signed": True}))
    workspace.dvc("repro", "--quiet")
    monkeypatch.setenv("SYNTHMILL_SIGNING_KEY", str(key(tmp_path / "key.pem")))
    with pytest.raises(UsageError, match=r"1 statements were written without SYNTHMILL_SIGNING_KEY \(release\)"):
        publish.publish(rw.NAME)
    assert workspace.git("tag") == ""
    again = Workspace.with_key(workspace, tmp_path / "key.pem")
    again.dvc("repro", "--quiet", "--force", f"release@{rw.NAME}")
    assert publish.publish(rw.NAME).version == "v1.0.0"
    assert reader.verify(rw.NAME).signed.startswith("signed by SYNTHMILL_SIGNING_KEY")


class Workspace(rw.Workspace):
    """One whose stages sign."""

    @classmethod
    def with_key(cls, workspace, path):
        made = cls(workspace.root, workspace.home)
        made.key = path
        return made

    @property
    def env(self):
        return {**super().env, "SYNTHMILL_SIGNING_KEY": str(self.key)}


FILES = ["reports/pneumonia/gates/mia-white-box/verdict.json", "data/releases/pneumonia/data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize("name", FILES)
def test_a_byte_that_was_flipped_in_what_a_stage_made_is_named(workspace, name):
    made = [described(one, sha256_file(root() / one)) for one in FILES]
    evidence.append(evidence.record_file(rw.NAME), stage_run("release", rw.NAME, made, [], {}, {}, "", ""))
    files = workspace_check().files
    assert files >= 2
    content = bytearray((root() / name).read_bytes())
    content[len(content) // 2] ^= 1
    (root() / name).unlink()
    (root() / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"1 of the {files} files .*{name.split('/')[-1]}"):
        workspace_check()


def workspace_check():
    return workspace.check(rw.NAME)
