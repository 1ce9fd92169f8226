"""ISO/IEC 27559:2022, privacy enhancing data de-identification framework: its clauses by number, in our words, and what stands for each.

Clause numbers after the published table of contents; what each asks must be read in the standard.
"""

from typing import Any

from tasks.documents import Document, Evidence, _gates, _people
from tasks.documents._blocks import NOTHING, Section, Table
from tasks.documents._edition import Edition

COLUMNS = ("Clause", "As the record has it")


class Plugin(Document):
    kind = "iso-27559"
    title = "Clause map of ISO/IEC 27559:2022"
    about = (
        "For whoever keeps a de-identification framework after ISO/IEC 27559: what in the record speaks to each clause. Not a "
        "statement of conformity."
    )
    judge = "the person who keeps the organisation's de-identification framework"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        return [
            Section("Clause 6: the context that data go into", [Table("Context", COLUMNS, _context(evidence, edition))]),
            Section("Clause 7: the data", [Table("Data", COLUMNS, _data(evidence, edition))]),
            Section(
                "Clause 8: how identifiable they are, and what is done",
                [Table("Identifiability", COLUMNS, _identifiability(evidence, edition))],
            ),
            Section(
                "Clause 9: governance", [Table("Governance", COLUMNS, _governance(evidence, edition)), _people.signed(evidence, edition)]
            ),
        ]


def _context(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("6.2.2 Recipients' security and privacy practice", NOTHING),
        ("6.2.3 Recipients' motives and means", NOTHING),
        ("6.3.2 Openness: the use it is released for", evidence.fact(evidence.sheet, "params.policy.use", edition.words)),
        ("6.3.2 Openness: approval that the source was taken under", evidence.fact(evidence.checks, "approval.reference", edition.words)),
        ("6.3.3 Harm to people if it failed", NOTHING),
    ]


def _data(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    ingest, checks = evidence.run("ingest"), evidence.checks
    return [
        ("7.2.2 The people: patients trained on", evidence.fact(checks, "splits.train.patients", edition.count)),
        ("7.2.3 Type of data", evidence.fact(evidence.sheet, "params.card.modality", edition.words)),
        ("7.2.4 Attributes kept", evidence.fact(ingest, "params.attributes", lambda kept: ", ".join(kept) or "none beside the class")),
        ("7.2.5 The dataset: synthetic images", evidence.fact(evidence.run("sample"), "said.n")),
        ("7.3.2 Largest or mean risk: the class that attacks tell best", _worst(evidence, edition)),
        ("7.3.3 Attack by a sample or a population: members against unseen patients", _gates.line(evidence, edition, "mia-release")),
        ("7.3.4 Model of privacy", _gates.privacy_claimed(evidence, edition)),
    ]


def _worst(evidence: Evidence, edition: Edition) -> Any:
    return _gates.number(evidence, edition, "mia-release", "evidence.worst_class.auc", "upper")


def _identifiability(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    ingest = evidence.run("ingest")
    return [
        ("8.2.2 Quantified: copies", _gates.near_copies(evidence, edition)),
        *((f"8.2.3 Tested as an adversary: {gate}", _gates.line(evidence, edition, gate)) for gate in (*_gates.ATTACKS, "canary")),
        ("8.3.2 The environment changed (contracts, access)", NOTHING),
        (
            "8.3.3 The data changed: what a release holds",
            evidence.fact(evidence.run("train"), "said.kind", "images drawn by a generator ({})".format),
        ),
        (
            "8.3.3 The data changed: letters burned into images",
            evidence.fact(ingest, "params.burned_in.action", "the setting at ingest is: {}".format),
        ),
        ("8.3.4 Looked at again after the change", _people.built(evidence)),
    ]


def _governance(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    sheet = evidence.sheet
    return [
        ("9.2.2 Roles: whose approval is asked for", evidence.fact(sheet, "params.policy", _roles)),
        ("9.2.3 Rules and procedures of the organisation", NOTHING),
        ("9.2.4 The disclosure: decision", _people.decision(evidence)),
        ("9.2.4 The disclosure: until when", _people.until(evidence)),
        ("9.2.5 Told to those concerned", NOTHING),
        ("9.3.2 The surroundings watched after the release", NOTHING),
        ("9.4 Readiness for an incident", NOTHING),
    ]


def _roles(policy: dict[str, Any]) -> str:
    return f"{policy['approvals']} approvals; roles: {', '.join(policy['roles']) or 'none named'}"
