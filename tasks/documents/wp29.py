"""Opinion 05/2014 of the Article 29 Working Party on anonymisation techniques (WP216, 10 April 2014): its three criteria."""

from typing import Any

from tasks.documents import Document, Evidence, _gates
from tasks.documents._blocks import NOTHING, Section, Table, Words
from tasks.documents._edition import Edition

SINGLING_OUT = (
    "Can records that belong to one person be isolated? A synthetic image belongs to nobody by its making; it does where it is a copy of a "
    "training image, or so near one that the person is shown."
)
LINKABILITY = (
    "Can two records of the same person or group be linked, within the data or with other data? Who holds a person's image asks "
    "whether it was among those trained on: membership inference links that image to the training set. It does not by itself name "
    "anybody."
)
INFERENCE = (
    "Can the value of an attribute be deduced with significant probability? No gate deduces an attribute of a person from the release. "
    "Differential privacy bounds what can be learned because one was in the training set, and not what is true of all such patients."
)


class Plugin(Document):
    kind = "wp29"
    title = "Singling out, linkability, inference (WP29)"
    about = "For data protection officers: the three criteria of Opinion 05/2014 (WP216), which gate speaks to each, and what is left."
    judge = "the controller, with the advice of its data protection officer"
    form = (
        "Singling out: risk left",
        "Linkability: risk left",
        "Inference: risk left",
        "Anonymous in the sense of the law (yes, no, undecided)",
        "Name and role",
        "Date and signature",
    )

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        def rows(gates: tuple[str, ...]) -> list[tuple[Any, ...]]:
            return [(f"Gate {gate}", _gates.line(evidence, edition, gate), _gates.reason(evidence, edition, gate)) for gate in gates]

        columns = ("What speaks to it", "Excess over the null, with its interval", "In a sentence")
        return [
            Section(
                "Singling out",
                [
                    Words(SINGLING_OUT),
                    Table("Singling out: evidence", columns, rows(("replica", "split"))),
                    Table(
                        "Singling out: what is left",
                        ("Matter", "As the record has it"),
                        [
                            ("Copies and near copies", _gates.near_copies(evidence, edition)),
                            ("Whether a person is recognised by features other than likeness of pixels", NOTHING),
                        ],
                    ),
                ],
            ),
            Section(
                "Linkability",
                [
                    Words(LINKABILITY),
                    Table("Linkability: evidence", columns, rows(_gates.ATTACKS)),
                    Table(
                        "Linkability: what is left",
                        ("Matter", "As the record has it"),
                        [
                            ("Release alone, per patient", _gates.sub_claim(evidence, edition, "mia-release", "AUC per patient")),
                            (
                                "Release alone, the few told with most certainty",
                                _gates.sub_claim(evidence, edition, "mia-release", "TPR at 0.1 % FPR"),
                            ),
                            ("Linking with other releases made from the same patients", NOTHING),
                        ],
                    ),
                ],
            ),
            Section(
                "Inference",
                [
                    Words(INFERENCE),
                    Table("Inference: evidence", columns, rows(("canary", "dp-claim"))),
                    Table(
                        "Inference: what is left",
                        ("Matter", "As the record has it"),
                        [
                            ("Differential privacy", _gates.privacy_claimed(evidence, edition)),
                            ("Attributes deduced from the release", NOTHING),
                        ],
                    ),
                ],
            ),
            Section(
                "All the means likely reasonably to be used",
                [
                    Words(
                        "The Opinion asks for the means that anybody is reasonably likely to use, and to look again as they "
                        "change. A gate tries known attacks at the size of this dataset, on one day. Whether these are the likely "
                        "means is a judgement."
                    )
                ],
            ),
        ]
