"""The properties of Croissant's vocabulary for responsible AI, each with the evidence for it, and as JSON-LD.

Croissant RAI specification 1.0 (MLCommons, 6 March 2024).
"""

import json
from typing import Any

from tasks.cards import RAI
from tasks.documents import Document, Evidence, _gates
from tasks.documents._blocks import NOT_EVIDENCED, NOTHING, Claim, Code, Section, Table, Words
from tasks.documents._edition import Edition

MANY = {
    *("dataCollectionType", "dataCollectionTimeframe", "dataPreprocessingProtocol", "dataAnnotationPlatform", "dataAnnotationAnalysis"),
    *("dataReleaseMaintenancePlan", "personalSensitiveInformation", "dataBiases", "dataLimitations", "dataUseCases"),
    *("annotatorDemographics", "machineAnnotationTools"),
}
"""Properties of cardinality MANY; the others have one value."""


class Plugin(Document):
    kind = "croissant-rai"
    title = "Croissant RAI properties"
    about = "For catalogues and reviewers of datasets: the properties of Croissant RAI 1.0, in a table and as JSON-LD."
    judge = "the dataset's maintainer"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        told = properties(evidence, edition)
        rows = [(f"rai:{name}", claim) for name, claim in told.items()]
        on = tuple(dict.fromkeys(digest for claim in told.values() if claim.evidenced for digest in claim.on))
        return [
            Section("Properties", [Table("Each property of the vocabulary", ("Property", "Value"), rows)]),
            Section(
                "As JSON-LD",
                [
                    Words(
                        f"A property that the record holds no evidence for has the value “{NOT_EVIDENCED}”, so that its absence is seen."
                    ),
                    Code("To lay beside the core of croissant.json", json.dumps(as_json(evidence, told), indent=2, ensure_ascii=False), on),
                ],
            ),
        ]


def as_json(evidence: Evidence, told: dict[str, Claim]) -> dict[str, Any]:
    values = {name: claim.words if claim.evidenced else NOT_EVIDENCED for name, claim in told.items()}
    return {
        "@context": {"@vocab": "https://schema.org/", "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/"},
        "@type": "Dataset",
        "dct:conformsTo": RAI,
        "name": evidence.dataset,
        **{f"rai:{name}": [value] if name in MANY else value for name, value in values.items()},
    }


def properties(evidence: Evidence, edition: Edition) -> dict[str, Claim]:
    """Property: its claim, in the order of the specification."""
    checks, sample, train, sheet = evidence.checks, evidence.run("sample"), evidence.run("train"), evidence.sheet
    drawn = evidence.fact(train, "said.kind", "Drawn by a generator ({}) that learned from the source images.".format)
    return {
        "dataCollection": drawn,
        "dataCollectionType": Claim("Software Collection", drawn.on) if drawn.evidenced else NOTHING,
        "dataCollectionMissingData": evidence.fact(checks, "missing", _missing),
        "dataCollectionRawData": evidence.fact(checks, "source.kind", "Images taken in by the source {}.".format),
        "dataCollectionTimeframe": evidence.fact(sample, "finished"),
        "dataImputationProtocol": NOTHING,
        "dataManipulationProtocol": evidence.fact(evidence.run("ingest"), "params.image", _size),
        "dataPreprocessingProtocol": evidence.fact(checks, "counts", lambda counts: _counts(counts, edition)),
        "dataAnnotationProtocol": evidence.fact(
            sample, "said.labels", lambda labels: f"The class an image was drawn for: {', '.join(labels)}."
        ),
        "dataAnnotationPlatform": NOTHING,
        "dataAnnotationAnalysis": _gates.line(evidence, edition, "coverage"),
        "dataReleaseMaintenancePlan": evidence.fact(evidence.run("release"), "said.version", _plan),
        "personalSensitiveInformation": _sensitive(evidence, edition),
        "dataSocialImpact": NOTHING,
        "dataBiases": evidence.fact(sample, "said.labels", _shares),
        "dataLimitations": _gates.line(evidence, edition, "utility"),
        "dataUseCases": evidence.fact(sheet, "params.policy.use", edition.words),
        "annotationsPerItem": NOTHING,
        "annotatorDemographics": NOTHING,
        "machineAnnotationTools": evidence.fact(train, "said.kind"),
    }


def _missing(missing: dict[str, Any]) -> str:
    return f"Attributes with values missing in the source: {', '.join(missing) or 'none'}."


def _size(image: dict[str, Any]) -> str:
    return f"Images made {image['width']} x {image['height']} pixels ({image['channels']} channels, {image['fit']})."


def _counts(counts: dict[str, Any], edition: Edition) -> str:
    return (
        f"Records that came in: {edition.count(counts['in'])}. Kept: {edition.count(counts['out'])}. The others were set aside by category."
    )


def _plan(version: str) -> str:
    return f"{version}. Versions never change. PATCH: serialised anew. MINOR: records added. MAJOR: records changed or gone."


def _shares(labels: dict[str, int]) -> str:
    total = sum(labels.values())
    return "Shares of the synthetic images: " + ", ".join(f"{label} {count / total:.0%}" for label, count in labels.items()) + "."


def _sensitive(evidence: Evidence, edition: Edition) -> Claim:
    """What the release may give away of people, by the gates that measured it."""
    claims = {gate: _gates.line(evidence, edition, gate) for gate in ("replica", *_gates.ATTACKS)}
    stood = {gate: claim for gate, claim in claims.items() if claim.evidenced}
    if not stood:
        return NOTHING
    words = "What it gives away of the source images was measured by " + ", ".join(
        f"{gate} ({claim.status})" for gate, claim in stood.items()
    )
    return Claim(words + ".", tuple(digest for claim in stood.values() for digest in claim.on))
