"""A model card: the sections of Mitchell et al., Model Cards for Model Reporting, FAT* 2019 (arXiv:1810.03993)."""

from typing import Any

from tasks.documents import Document, Evidence, _gates
from tasks.documents._blocks import NOTHING, Section, Table
from tasks.documents._edition import Edition, exact

COLUMNS = ("Matter", "As the record has it")


class Plugin(Document):
    kind = "model-card"
    title = "Model card of the generator"
    about = "For whoever keeps or is asked for the generator: the sections of Model Cards for Model Reporting (Mitchell et al. 2019)."
    judge = "the person who answers for the model"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        parts = {
            "Model details": _details(evidence),
            "Intended use": [
                ("Use of the images it draws", evidence.fact(evidence.sheet, "params.policy.use", edition.words)),
                ("Use of the weights themselves", NOTHING),
            ],
            "Factors": [
                ("Classes", evidence.fact(evidence.run("train"), "said.labels", ", ".join)),
                ("Groups of patients, devices, sites", NOTHING),
            ],
            "Metrics": [
                ("What is measured, and against what", evidence.fact(evidence.sheet, "params.gates", _thresholds)),
                ("How usefulness is measured (gate utility)", _gates.number(evidence, edition, "utility", "method", "words")),
            ],
            "Evaluation data": [
                ("Images held out", evidence.fact(evidence.checks, "splits.holdout.images", edition.count)),
                ("Images for testing", evidence.fact(evidence.checks, "splits.test.images", edition.count)),
                ("Kept apart by patient (gate split)", _gates.line(evidence, edition, "split")),
            ],
            "Training data": [
                ("Images", evidence.fact(evidence.checks, "splits.train.images", edition.count)),
                ("Patients", evidence.fact(evidence.checks, "splits.train.patients", edition.count)),
                ("Digest of the images", evidence.fact(evidence.run("train"), "said.dataset_digest")),
            ],
            "Quantitative analyses": [(f"Gate {gate}", _gates.line(evidence, edition, gate)) for gate in _gates.QUALITY],
            "Ethical considerations": [
                ("Differential privacy", _gates.privacy_claimed(evidence, edition)),
                *((f"Gate {gate}", _gates.line(evidence, edition, gate)) for gate in ("mia-white-box", "mia-query", "canary")),
            ],
            "Caveats and recommendations": [
                ("Fit for diagnosis", NOTHING),
                ("Shown on images of another hospital", NOTHING),
            ],
        }
        return [Section(name, [Table(f"{name}, as far as the record goes", COLUMNS, rows)]) for name, rows in parts.items()]


def _details(evidence: Evidence) -> list[tuple[Any, ...]]:
    train = evidence.run("train")
    return [
        ("Kind", evidence.fact(train, "said.kind")),
        ("Parameters", evidence.fact(train, "said.parameters")),
        ("Digest of the weights", evidence.fact(train, "said.digest")),
        ("Steps of training", evidence.fact(train, "params.steps")),
        ("Learning rate", evidence.fact(train, "params.lr", exact)),
        ("Batch size", evidence.fact(train, "params.batch_size")),
        ("Trained, finished at", evidence.fact(train, "finished")),
        ("Code, by commit", evidence.fact(train, "code.commit")),
        ("Code, by digest", evidence.fact(train, "code.code_sha256")),
    ]


def _thresholds(gates: dict[str, Any]) -> str:
    return ", ".join(f"{gate} {exact(config['threshold'])}" for gate, config in gates.items())
