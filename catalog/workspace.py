"""Whether what a workspace holds of a dataset is still what its stages made, by the record that they wrote as they ran."""

from dataclasses import asdict, dataclass
from typing import Any

from catalog import attestation, evidence, ledger, versions
from catalog.attestation import signers
from catalog.sums import some
from schema.digest import sha256_file
from schema.errors import IntegrityError
from schema.evidence import SLSA
from schema.settings import root


@dataclass(frozen=True)
class Checked:
    """`statements` of the record and rows of the `ledger` hold together; `files` are as stages made them, `gone` are not there now."""

    dataset: str
    statements: int
    ledger: int
    files: int
    gone: int
    signed: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(dataset: str) -> Checked | None:
    """Holds every file that a stage of the dataset made against the digests in its record; None where there is no record.

    Raises IntegrityError naming the line of the record or of the ledger that was tampered with or is not signed though the policy asks for
    it, every file whose bytes are none that its stage ever made, or a tag of the ledger's that was moved.
    """
    from schema.params import load

    entries = evidence.read(evidence.record_file(dataset))
    rows = evidence.read(ledger.ledger_file())
    tags = [one.statement.subject[0]["name"] for one in rows]
    if any(tag.startswith(f"{dataset}@") for tag in tags):
        versions.refuse_moved(dataset, tags)
    if not entries:
        return None
    section = load().datasets.get(dataset)
    missing = attestation.unsigned(entries) if section and section.policy.signed else []
    if missing:
        raise IntegrityError(
            f"the policy of {dataset} asks for a signed record, and {len(missing)} statements are not signed ({some(missing)}): stages ran "
            "without a key, or signatures were taken away; put the record back from a copy, or run those stages again with the key"
        )
    _hold_against_releases(dataset, {entry.digest for entry in entries}, set(tags))
    made: dict[str, set[str]] = {}
    for entry in entries:
        if entry.statement.predicate_type == SLSA:
            for one in entry.statement.subject:
                made.setdefault(one["name"], set()).add(one["digest"]["sha256"])
    there = [name for name in made if (root() / name).is_file()]
    changed = [name for name in there if sha256_file(root() / name) not in made[name]]
    if changed:
        raise IntegrityError(
            f"{len(changed)} of the {len(there)} files that stages of {dataset} made were changed since ({some(sorted(changed))}): "
            "delete them and run again, so that the stage makes them anew"
        )
    return Checked(dataset, len(entries), len(rows), len(there), len(made) - len(there), signers(entries))


def _hold_against_releases(dataset: str, record: set[str], ledger_tags: set[str]) -> None:
    """A release that was published by this record, whose head its commit attests, has a row in the ledger here. Raises IntegrityError
    where that row is gone: a chain that was cut at its end is whole otherwise."""
    for release in versions.releases(dataset):
        attested = attestation.check(release, root())
        heads = {head for entry in attested for head in attestation.heads(entry.statement)}
        if heads & record and release.tag not in ledger_tags:
            raise IntegrityError(
                f"{ledger.ledger_file()} has no row of {release.tag}, which was published from here: its end was cut off. Put it back from "
                "a copy; where there is none, `ledger --rebuild` enters the row again"
            )
