"""What a release's commit says of it, for anybody and without a network: in-toto statements, signed if a key was given.

`evidence/<dataset>.intoto.jsonl` in the tree of the release's commit is the public part of the record: where the release comes from
(SLSA provenance), each gate's verdict as the release shows it (Test Results), who signed it off, and the head of the record inside,
which can so never be made anew. Reasons of sign-offs, exact scores and real digests' files stay inside.
"""

import json
from pathlib import Path
from typing import Any

from catalog import evidence, git, signing
from catalog.signoff import Standing
from catalog.sums import some
from schema.errors import IntegrityError, UsageError
from schema.evidence import PREVIOUS, SIGN_OFF, SLSA, TEST_RESULT, Statement, described, now, stage_run, test_result
from schema.release import Release

RESULTS = {"PASS": "PASSED"}


def path(dataset: str) -> str:
    return f"evidence/{dataset}.intoto.jsonl"


def bundle(release: Release, said: dict[str, Any], standing: Standing, signed: bool = False) -> str:
    """The statements of a release that is about to be tagged, a line each. `said`: its provenance.json; `signed`: whether the policy asks
    for signatures. Raises UsageError where there is no key then, or a statement that is not signed, IntegrityError where the record was
    tampered with."""
    by = signing.signer()
    if signed:
        demand_signed(release.dataset, standing)
    entries = evidence.read(evidence.record_file(release.dataset))
    lines, previous = [], None
    for statement in statements(release, said, standing, entries[-1].digest if entries else None):
        chained = statement.after(previous)
        previous = chained.digest
        lines.append(json.dumps(evidence.envelope(chained, by)))
    return "\n".join(lines) + "\n"


def demand_key(dataset: str) -> None:
    """Raises UsageError where there is no key to sign with."""
    if signing.signer() is None:
        raise UsageError(f"the policy of {dataset} asks for a signed record: set SYNTHMILL_SIGNING_KEY ({signing.REMEDY})")


def demand_signed(dataset: str, standing: Standing | None = None) -> None:
    """Raises UsageError where there is no key, or the newest statement about a stage, a check or a gate, or a sign-off that counts, is not
    signed."""
    demand_key(dataset)
    entries = evidence.read(evidence.record_file(dataset))
    missing = unsigned(entries)
    counted = {one.evidence for one in standing.counted} if standing else set()
    missing += ["a sign-off" for entry in entries if entry.digest in counted and entry.signed_by is None]
    if missing:
        raise UsageError(
            f"the policy of {dataset} asks for a signed record, and {len(missing)} statements were written without SYNTHMILL_SIGNING_KEY "
            f"({some(missing)}): with it set, `run {dataset} --force-stage NAME` of the first of them runs it and all that follow; then "
            "sign off again"
        )


def unsigned(entries: list[evidence.Entry]) -> list[str]:
    """Of the newest statements about a stage, a check or a gate, those that are not signed."""
    newest = {entry.statement.about: entry for entry in entries if entry.statement.predicate_type in (SLSA, TEST_RESULT)}
    return [what for what, entry in newest.items() if entry.signed_by is None]


def statements(release: Release, said: dict[str, Any], standing: Standing, head: str | None) -> list[Statement]:
    parts = {
        "real images": said["ingest"],
        "model": said["model"]["digest"],
        "samples": said["samples"],
        "source": said["source"]["digest"],
    }
    inputs = [described(name, digest) for name, digest in parts.items()]
    inputs.append(described("code", said["code"]["commit"], "gitCommit"))
    inputs.append(described("requirements.lock", said["code"]["requirements_lock"]))
    inputs += [described("record", head)] if head else []
    at = now()
    subject = [
        described(release.tag, release.sums),
        described("records", release.digests.records),
        described("files", release.digests.files),
    ]
    made = stage_run("release", release.dataset, subject, inputs, said["params"], said["code"], at, at)
    about = [described(name, digest) for name, digest in parts.items() if name != "source"]
    found = []
    for gate in said["gates"]:
        result = RESULTS.get(gate["status"], "FAILED" if gate["required"] and "waived" not in gate else "WARNED")
        found.append(test_result(gate["gate"], result, about, [], gate))
    return [made, *found, *(signed_off(release, one) for one in standing.counted)]


def heads(statement: Statement) -> list[str]:
    """The head of the record that a release's first statement attests."""
    inputs = statement.predicate.get("buildDefinition", {}).get("resolvedDependencies", [])
    return [one["digest"]["sha256"] for one in inputs if one.get("name") == "record"]


def signed_off(release: Release, one: Any) -> Statement:
    said = {field: getattr(one, field) for field in ("decision", "by", "role", "at", "expires")}
    subject = [described(release.tag, release.digests.together)]
    return Statement(subject=subject, predicateType=SIGN_OFF, predicate={**said, "evidence": {"sha256": one.evidence}, PREVIOUS: None})


def check(release: Release, repo: Path) -> list[evidence.Entry]:
    """The statements of a release, from its tag's commit; none where it was published without. Raises IntegrityError for statements that
    were changed, or that speak of other bytes, for a tag on a commit that was not made for it, and where git's own files are damaged."""
    rev = f"refs/tags/{release.tag}"
    git.check_objects(repo, rev)
    # As it was written: to git, a clone that has no history has no parents either.
    lines = git.git(repo, "cat-file", "commit", rev).splitlines()
    if next((line for line in lines if line.startswith("parent ")), None) != f"parent {release.code_commit}":
        raise IntegrityError(
            f"the tag {release.tag} is on a commit that was not made for it, {git.resolve(repo, f'{rev}^{{commit}}')}: it was moved by "
            "hand; fetch it again from where it was made"
        )
    if git.resolve(repo, f"{rev}:{path(release.dataset)}") is None:
        return []
    where = f"{path(release.dataset)} of {release.tag}"
    entries = list(evidence.parse(git.git(repo, "show", f"{rev}:{path(release.dataset)}"), where))
    expected = {release.tag: release.sums, "records": release.digests.records, "files": release.digests.files}
    found = {one["name"]: one["digest"]["sha256"] for one in entries[0].statement.subject} if entries else {}
    if found != expected:
        raise IntegrityError(f"{where} speaks of other bytes than the tag: the commit or the tag was made by hand")
    return entries


def signers(entries: list[evidence.Entry]) -> str:
    """Who signed, in words."""
    if not entries:
        return "no record is there"
    by = {entry.signed_by for entry in entries}
    if None in by:
        return "not signed"
    trusted = all(entry.trusted for entry in entries)
    note = "" if trusted else ", whom nobody here vouches for (SYNTHMILL_TRUSTED_KEYS)"
    return f"signed by {', '.join(sorted(filter(None, by)))}{note}"
