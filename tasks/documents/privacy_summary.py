"""The one page that is read first: what was decided, for what use, by whom, until when, and a line a gate."""

from tasks.documents import Document, Evidence, _gates, _people
from tasks.documents._blocks import Section, Table, Words
from tasks.documents._edition import Edition, exact


class Plugin(Document):
    kind = "privacy-summary"
    title = "Privacy summary"
    about = "For whoever signs or receives the release: what was decided, for what use, by whom, until when, and what each gate found."
    judge = "the person who answers for the release"

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        sheet, checks = evidence.sheet, evidence.checks
        facts = [
            *_people.recalled(evidence),
            ("Built", _people.built(evidence)),
            ("Decision of people", _people.decision(evidence)),
            ("Holds until", _people.until(evidence)),
            ("Use that it is released for", evidence.fact(sheet, "params.policy.use", edition.words)),
            ("Synthetic images", evidence.fact(evidence.run("sample"), "said.n")),
            ("Patients trained on", evidence.fact(checks, "splits.train.patients", edition.count)),
            ("Real images trained on", evidence.fact(checks, "splits.train.images", edition.count)),
            ("Differential privacy", _gates.privacy_claimed(evidence, edition)),
            ("Copies of training images", _gates.near_copies(evidence, edition)),
        ]
        budget = [
            ("Epsilon that all releases may spend together", evidence.fact(sheet, "params.policy.budget.epsilon", exact)),
            ("Delta that they may spend together", evidence.fact(sheet, "params.policy.budget.delta", exact)),
        ]
        order = [gate for gate in _gates.names(evidence) if gate not in _gates.PRIVACY]
        return [
            Section("Decision", [Table("What was decided about the newest release", ("Matter", "As the record has it"), facts)]),
            Section("Who decided, and what was waived", [_people.signed(evidence, edition), _people.waived(evidence, edition)]),
            Section(
                "What the gates found",
                [
                    Words(
                        "A gate passes only if the whole interval of its excess over the null keeps within what is allowed, which was set "
                        "before it measured. INSUFFICIENT is not a pass. The null is the same number where there is nothing to find."
                    ),
                    _gates.table(evidence, edition, _gates.PRIVACY, "Privacy"),
                    _gates.table(evidence, edition, order, "Quality, usefulness and other gates"),
                ],
            ),
            Section(
                "Privacy budget over all releases",
                [
                    Table("The policy's budget for the same patients", ("Matter", "As the record has it"), budget),
                    Words(
                        "What earlier releases made from the same patients have spent is not in this dataset's record alone: add up the "
                        "accounts of all of them."
                    ),
                ],
            ),
        ]
