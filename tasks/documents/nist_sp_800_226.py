"""The differential privacy pyramid of NIST SP 800-226 (March 2025, Guidelines for Evaluating Differential Privacy Guarantees).

What a level promises depends on the levels below it. Level names in our words; parts 2, 3 and 4 are the publication's own.
"""

from typing import Any

from tasks.documents import Document, Evidence, _gates
from tasks.documents._blocks import NOTHING, Claim, Section, Table, Words
from tasks.documents._edition import Edition, exact

COLUMNS = ("Question", "As the record has it")


class Plugin(Document):
    kind = "nist-sp-800-226"
    title = "Differential privacy pyramid (NIST SP 800-226)"
    about = "For whoever weighs a claim of differential privacy: what evidence stands on each level of the pyramid of NIST SP 800-226."
    judge = "a person who knows differential privacy and the institution's systems"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        return [
            Section(
                "Top: the guarantee (part 2)",
                [
                    Words(
                        "Epsilon and the unit of privacy are the most direct measures. They hold only as far as everything below them does."
                    ),
                    Table("Parameters", COLUMNS, _parameters(evidence, edition)),
                    Table("Unit of privacy", COLUMNS, _unit(evidence, edition)),
                ],
            ),
            Section(
                "Middle: algorithms, utility and bias (part 3)",
                [
                    Table("Algorithm and its correctness", COLUMNS, _algorithm(evidence, edition)),
                    Table("Utility and bias", COLUMNS, _utility(evidence, edition)),
                ],
            ),
            Section(
                "Bottom: the deployment (part 4)",
                [Table("Trust, implementation, security, collection", COLUMNS, _deployment(evidence, edition))],
            ),
            Section("What no level covers here", [Table("Spent elsewhere", COLUMNS, _elsewhere(evidence))]),
        ]


def _parameters(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("What is claimed", _gates.privacy_claimed(evidence, edition)),
        ("Epsilon", _gates.account(evidence, "epsilon", edition.upper)),
        ("Delta", _gates.account(evidence, "delta", exact)),
        (
            "Epsilon computed again from the steps that were recorded",
            _gates.number(evidence, edition, "dp-claim", "evidence.epsilon_recomputed", "upper"),
        ),
        ("Epsilon that the gate allows", _gates.number(evidence, Edition.INTERNAL, "dp-claim", "threshold")),
    ]


def _unit(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("Unit", _gates.account(evidence, "unit")),
        ("Neighbouring datasets", _gates.account(evidence, "adjacency")),
        ("Units in training", _gates.account(evidence, "examples", edition.count)),
        ("Covers", _gates.account(evidence, "scope")),
        ("Whether the source's ids name people, and not images or visits", NOTHING),
    ]


def _algorithm(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        ("Mechanism", _gates.account(evidence, "mechanism")),
        ("Accountant", _gates.account(evidence, "accountant")),
        ("Noise multiplier", _gates.account(evidence, "noise_multiplier", exact)),
        ("Clipping norm", _gates.account(evidence, "max_grad_norm", exact)),
        ("Sampling", _gates.account(evidence, "sampling")),
        ("Steps", _gates.account(evidence, "steps")),
        ("The claim held against what ran (gate dp-claim)", _gates.line(evidence, edition, "dp-claim")),
        ("Lower bound by planted canaries", _gates.number(evidence, edition, "canary", "evidence.epsilon_lower_bound", "lower")),
        (
            "Largest lower bound that these canaries could have shown",
            _gates.number(evidence, edition, "canary", "evidence.largest_bound_possible", "lower"),
        ),
        ("What training started from", _start(evidence, edition)),
    ]


def _start(evidence: Evidence, edition: Edition) -> Claim:
    """What the weights came from: a start with private images spends too."""
    train = evidence.run("train")
    if train is None or "init" not in train.get("said", {}):
        return NOTHING
    init = train.get("said.init")
    if init is None:
        return Claim("random weights", (train.digest,))
    public = "said to be of public images" if init.get("public") else "not said to be public"
    return Claim(f"{edition.words(init['reference'])}, {public}", (train.digest,))


def _utility(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    return [
        *((f"Gate {gate}", _gates.line(evidence, edition, gate)) for gate in _gates.QUALITY),
        ("Usefulness for groups of patients", NOTHING),
    ]


def _deployment(evidence: Evidence, edition: Edition) -> list[tuple[Any, ...]]:
    train = evidence.run("train")
    return [
        (
            "Model of trust: the institution holds the images and adds the noise (central model)",
            _gates.account(evidence, "mechanism", "central, by {}".format),
        ),
        ("Code that trained, by digest", evidence.fact(train, "code.code_sha256")),
        ("Code that trained, by commit", evidence.fact(train, "code.commit")),
        ("Files that differed from that commit", evidence.fact(train, "code.modified", lambda files: str(len(files)))),
        ("Dependencies, by digest of the lock file", evidence.fact(train, "code.requirements_lock_sha256")),
        ("Randomness fit for cryptography, floating point, timing", NOTHING),
        ("Security and access control of the images and of the training machine", NOTHING),
        ("Collection of the images: who could see them before", NOTHING),
        (
            "Ids of the source written with a secret key",
            evidence.fact(evidence.checks, "source.keyed", lambda keyed: "yes" if keyed else "no"),
        ),
    ]


def _elsewhere(evidence: Evidence) -> list[tuple[Any, ...]]:
    return [
        ("Choice of hyperparameters on the same images", NOTHING),
        ("Other releases from the same patients", NOTHING),
        ("Budget that the policy sets for all of them", evidence.fact(evidence.sheet, "params.policy.budget.epsilon", exact)),
        ("What the account says that it leaves out", _gates.account(evidence, "scope")),
    ]
