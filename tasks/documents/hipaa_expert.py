"""What an expert needs for a determination under 45 CFR 164.514(b)(1), and what became of the identifiers of 164.514(b)(2).

Elements: HHS Office for Civil Rights, Guidance Regarding Methods for De-identification of Protected Health Information, 26 November 2012.
"""

from typing import Any

from tasks.documents import Document, Evidence, _gates
from tasks.documents._blocks import NOTHING, Claim, Form, Section, Table, Words
from tasks.documents._edition import Edition

IDENTIFIERS = (
    ("A", "Names", "text"),
    ("B", "Places smaller than a state", "place"),
    ("C", "Days and months of dates, and ages over 89", "dates"),
    ("D", "Telephone numbers", "text"),
    ("E", "Fax numbers", "text"),
    ("F", "E-mail addresses", "text"),
    ("G", "Social security numbers", "text"),
    ("H", "Medical record numbers", "ids"),
    ("I", "Health plan numbers", "text"),
    ("J", "Account numbers", "text"),
    ("K", "Certificate and licence numbers", "text"),
    ("L", "Vehicle identifiers and plates", "text"),
    ("M", "Device identifiers and serial numbers", "ids"),
    ("N", "Web addresses", "text"),
    ("O", "Internet addresses", "text"),
    ("P", "Biometric identifiers", "pixels"),
    ("Q", "Full-face photographs and images like them", "pixels"),
    ("R", "Any other unique number, mark or code", "ids"),
)
"""Letter in 164.514(b)(2)(i), what it is in our words, and where in an image dataset it could hide."""


class Plugin(Document):
    kind = "hipaa-expert"
    title = "Packet for an expert determination (HIPAA)"
    about = "For the expert of 45 CFR 164.514(b)(1): methods and results, by the elements that HHS guidance of 2012 names."
    judge = "an expert with the knowledge and experience that 45 CFR 164.514(b)(1) asks for"
    form = (
        "The risk is very small that an anticipated recipient could identify a person (yes or no)",
        "Grounds, and conditions that it depends on",
        "Until when it holds",
        "Name of the expert",
        "Knowledge of and experience with methods of de-identification",
        "Date and signature",
    )

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        return [
            Section(
                "Who determines",
                [Form("Filled in by the institution", ("Covered entity", "Anticipated recipients", "Other data they may hold"))],
            ),
            Section("What the determination is about", [Table("Data", ("Matter", "As the record has it"), _data(evidence, edition))]),
            Section("The elements of risk", [Words(ELEMENTS), *_elements(evidence, edition)]),
            Section("Methods and results, documented", [_documented(evidence, edition)]),
            Section("The identifiers of 164.514(b)(2)(i)", [Words(HARBOUR), _identifiers(evidence, edition)]),
        ]


ELEMENTS = (
    "The guidance asks how far a feature recurs with the same person (replicability), who has access to sources that hold it with "
    "a name (data source availability), how far it tells people apart (distinguishability), and what these come to together "
    "(assess risk). Here the features are the pixels of synthetic images and the classes and attributes that they were drawn for."
)
HARBOUR = (
    "This is no claim of the safe harbour: that also asks that nobody knows of a way to identify a person by what is left. It "
    "shows what ingest takes from the source for each identifier. Rows of the source are not released; training sees what is "
    "listed here."
)


def _data(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    checks, sample = evidence.checks, evidence.run("sample")
    return [
        ("Synthetic images to be disclosed", evidence.fact(sample, "said.n")),
        ("Classes they are drawn for", evidence.fact(sample, "said.labels", ", ".join)),
        ("Kind of source", evidence.fact(checks, "source.kind", edition.words)),
        ("Real images taken in", evidence.fact(checks, "counts.out", edition.count)),
        ("Patients trained on", evidence.fact(checks, "splits.train.patients", edition.count)),
        ("Approval of the study or source", evidence.fact(checks, "approval.reference", edition.words)),
        ("Checks of each row", evidence.fact(checks, "checks", _checks)),
    ]


def _checks(said: dict[str, Any]) -> str:
    return f"{said['evaluated']} kinds of check, {'all met' if said['success'] else 'some not met'}"


def _elements(evidence: Evidence, edition: Edition) -> list[Table]:
    columns = ("Question", "As the record has it")
    return [
        Table(
            "Replicability: would the same person's feature be found again?",
            columns,
            [
                ("Copies and near copies of training images", _gates.near_copies(evidence, edition)),
                ("Gate replica", _gates.line(evidence, edition, "replica")),
                ("Copies within a patient at ingest, sets", evidence.fact(evidence.checks, "copies.sets_within_a_patient", edition.count)),
            ],
        ),
        Table(
            "Data source availability: who could hold the feature with a name?",
            columns,
            [
                ("Holders of the source images", NOTHING),
                ("Ids of the source are written as digests with a secret key", evidence.fact(evidence.checks, "source.keyed", _yes)),
                ("Public sources that hold comparable images", NOTHING),
            ],
        ),
        Table(
            "Distinguishability: can people be told apart by it?",
            columns,
            [
                ("Best attack by the release alone, per patient", _gates.sub_claim(evidence, edition, "mia-release", "AUC per patient")),
                ("The same, true positives at 1 % false positives", _gates.sub_claim(evidence, edition, "mia-release", "TPR at 1 % FPR")),
                ("Faces, devices or implants in the pixels", NOTHING),
            ],
        ),
        Table(
            "Assess risk: what an attacker gains",
            columns,
            [
                *((f"Gate {gate}", _gates.line(evidence, edition, gate)) for gate in (*_gates.ATTACKS, "canary", "dp-claim")),
                ("Differential privacy", _gates.privacy_claimed(evidence, edition)),
                ("Probability that a named recipient identifies a person", NOTHING),
            ],
        ),
    ]


def _documented(evidence: Evidence, edition: Edition) -> Table:
    rows = []
    for gate in _gates.PRIVACY:
        judged = _gates.standing(evidence, gate)
        method = judged if isinstance(judged, Claim) else evidence.fact(judged.source, "method", edition.words)
        rows.append((gate, method, _gates.reason(evidence, edition, gate)))
    return Table("Each privacy gate", ("Gate", "Method", "Result in a sentence"), rows)


def _identifiers(evidence: Evidence, edition: Edition) -> Table:
    ingest = evidence.run("ingest")
    where = {
        "text": evidence.fact(ingest, "params.attributes", _kinds),
        "place": evidence.fact(ingest, "params.attributes", _names),
        "dates": evidence.fact(ingest, "params", _dates),
        "ids": evidence.fact(evidence.checks, "source.keyed", _keyed),
        "pixels": Claim(None, (), "nothing looks for faces or other traits of a person in the pixels"),
    }
    rows: list[tuple[Any, ...]] = [(f"({letter}) {name}", where[place]) for letter, name, place in IDENTIFIERS]
    rows += [
        (
            "Any of these, as letters burned into an image",
            evidence.fact(ingest, "params.burned_in.action", "the setting at ingest is: {}".format),
        ),
        ("Images in which letters were painted over", evidence.fact(evidence.checks, "dropped.letters_painted_over", edition.count)),
    ]
    return Table("What ingest takes from the source", ("Identifier", "As the record has it"), rows)


def _names(kept: dict[str, Any]) -> str:
    return (
        f"attributes kept: {', '.join(kept)}. Judge whether one of them names a place" if kept else "no attribute is kept beside the class"
    )


def _kinds(kept: dict[str, Any]) -> str:
    if not kept:
        return "no attribute is kept beside the class, and no text of the source"
    kinds = ", ".join(sorted({one["kind"] for one in kept.values()}))
    return f"no free text is kept; attributes are of the kinds {kinds}, with values from lists set beforehand, numbers or digests"


def _dates(params: dict[str, Any]) -> str:
    kept = params.get("attributes") or {}
    ages = [f"{name} up to {one.get('max')}" for name, one in kept.items() if one["kind"] == "number"]
    dates = [name for name, one in kept.items() if one["kind"] == "date"]
    told = f"dates: {params['dates'] if dates else 'none is kept'}" + (f" ({', '.join(dates)})" if dates else "")
    return f"{told}; numbers kept: {', '.join(ages) if ages else 'none'}"


def _keyed(keyed: bool) -> str:
    if keyed:
        return "ids of images and patients are written as digests with a secret key"
    return "ids of images and patients are written as digests WITHOUT a secret key: who knows an id can find its digest"


def _yes(keyed: bool) -> str:
    return "yes" if keyed else "no"
