"""A datasheet: sections and questions, in our words, after Gebru et al., Datasheets for Datasets, CACM 64(12), 2021 (arXiv:1803.09010)."""

from typing import Any

from tasks.documents import Document, Evidence, _gates, _people
from tasks.documents._blocks import NOTHING, Section, Table
from tasks.documents._edition import Edition

COLUMNS = ("Question", "As the record has it")


class Plugin(Document):
    kind = "datasheet"
    title = "Datasheet"
    about = (
        "For those who may use the dataset: the questions of Datasheets for Datasets (Gebru et al. 2021), as far as the record answers "
        "them."
    )
    judge = "the dataset's creator"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        parts = {
            "Motivation": _motivation,
            "Composition": _composition,
            "Collection process": _collection,
            "Preprocessing, cleaning, labelling": _preprocessing,
            "Uses": _uses,
            "Distribution": _distribution,
            "Maintenance": _maintenance,
        }
        return [
            Section(name, [Table(f"{name}: questions and answers", COLUMNS, answers(evidence, edition))]) for name, answers in parts.items()
        ]


def _motivation(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    sheet = evidence.sheet
    return [
        ("For what purpose was it made?", evidence.fact(sheet, "params.policy.use", edition.words)),
        ("Who made it?", evidence.fact(sheet, "params.card.creator", edition.words) if edition is Edition.INTERNAL else _creator(evidence)),
        ("Who paid for it?", NOTHING),
    ]


def _creator(evidence: Evidence) -> Any:
    """A creator may be a person: the public edition leaves the name to the dataset card."""
    return evidence.fact(evidence.sheet, "params.card.creator", lambda _: "named in the dataset card")


def _composition(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    sample, checks, sheet = evidence.run("sample"), evidence.checks, evidence.sheet
    return [
        ("What is an instance?", evidence.fact(sheet, "params.card.modality", lambda words: f"a synthetic image: {edition.words(words)}")),
        ("How many are there?", evidence.fact(sample, "said.n")),
        ("How many of each class?", evidence.fact(sample, "said.labels", _counts)),
        ("Size of an image", evidence.fact(sample, "said.image", lambda size: f"{size['width']} x {size['height']} x {size['channels']}")),
        (
            "Is it a sample of something larger?",
            evidence.fact(evidence.run("train"), "said.kind", "draws of a generator ({}), which can give more".format),
        ),
        ("Do the classes show what they say? (gate coverage)", _gates.line(evidence, edition, "coverage")),
        ("Are there errors or copies in it? (gate replica)", _gates.line(evidence, edition, "replica")),
        (
            "Does it relate to people?",
            evidence.fact(
                checks, "splits.train.patients", lambda n: f"learned from images of {edition.count(n)} patients, as the source names them"
            ),
        ),
        ("Which groups of people are in it?", NOTHING),
        ("Is a training image copied in it?", _gates.near_copies(evidence, edition)),
        ("Can people be identified?", NOTHING),
        ("Might it be offensive or distressing?", NOTHING),
    ]


def _counts(labels: dict[str, int]) -> str:
    return ", ".join(f"{label} {count}" for label, count in labels.items())


def _collection(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    checks = evidence.checks
    return [
        ("How was each instance acquired?", evidence.fact(evidence.run("train"), "said.kind", "drawn by a generator ({})".format)),
        ("When?", evidence.fact(evidence.run("sample"), "finished")),
        ("From which source did the generator learn?", evidence.fact(checks, "source.kind", edition.words)),
        ("Was there ethical review or another approval?", evidence.fact(checks, "approval.reference", edition.words)),
        ("For what was it approved?", evidence.fact(checks, "approval.purpose", edition.words)),
        ("Were the people told, and did they consent?", NOTHING),
        ("Can consent be withdrawn?", NOTHING),
    ]


def _preprocessing(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    ingest, checks = evidence.run("ingest"), evidence.checks
    return [
        ("What was done to the source images?", evidence.fact(ingest, "params.image", _made)),
        (
            "What was left out?",
            evidence.fact(
                checks, "counts", lambda counts: f"{edition.count(counts['in'] - counts['out'])} of {edition.count(counts['in'])} records"
            ),
        ),
        ("What was done about letters burned in?", evidence.fact(ingest, "params.burned_in.action")),
        ("Were the raw data kept?", NOTHING),
        ("Is the software there?", evidence.fact(evidence.run("sample"), "code.commit", "commit {}".format)),
    ]


def _made(image: dict[str, Any]) -> str:
    return f"made {image['width']} x {image['height']} pixels by {image['fit']}, {image['channels']} channels"


def _uses(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("For which task was it tried? (gate utility)", _gates.line(evidence, edition, "utility")),
        ("Does it look like the real images? (gate fd-domain)", _gates.line(evidence, edition, "fd-domain")),
        ("For what should it be used?", evidence.fact(evidence.sheet, "params.policy.use", edition.words)),
        ("Who has used it?", NOTHING),
        ("Could its making harm some users or groups?", NOTHING),
    ]


def _distribution(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("Which version?", evidence.fact(evidence.run("release"), "said.version")),
        ("Under which licence?", evidence.fact(evidence.sheet, "params.card.license", edition.words)),
        ("Under which licence was the source?", evidence.fact(evidence.sheet, "params.card.source_license", edition.words)),
        ("May it go out?", _people.decision(evidence)),
        ("Export controls or other rules", NOTHING),
    ]


def _maintenance(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("Who keeps it, and how to reach them", NOTHING),
        ("Are older versions there?", evidence.fact(evidence.run("release"), "said.previous", "the version before is {}".format)),
        ("Will it be updated, and are errors told of?", NOTHING),
    ]
