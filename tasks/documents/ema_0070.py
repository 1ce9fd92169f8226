"""A risk table beside the threshold of 0.09 that EMA's guidance on Policy 0070 names (EMA/90915/2016).

The guidance is on clinical reports; it recommends 0.09 as the largest probability that a person is re-identified in what is given to
the public.
"""

from typing import Any

from tasks.documents import Document, Evidence, Judged, _gates
from tasks.documents._blocks import NOTHING, Claim, Section, Table, Words
from tasks.documents._edition import Edition, exact
from tasks.reporting.wording import question

THRESHOLD = 0.09
KIND_OF_COPIES = "share of images, not of people"
KIND_OF_ADVANTAGE = "difference of rates, not the probability that a person is re-identified"
RATES = ("TPR at 1 % FPR", "TPR at 0.1 % FPR")

IS = (
    "A membership advantage is how much more often an attacker calls members members than would happen with nothing to find: the "
    "true positive rate of the best attack at a false positive rate of 1 % or 0.1 %, less the same rate where members are held "
    "against members (the null). Its upper bound is the upper end of the 95 % interval of that difference. It is a difference of "
    "rates, over people whose images the attacker holds already."
)
IS_NOT = (
    "It is not the probability that a person is re-identified. Who infers membership starts from a named person's image and learns "
    "at most that it was trained on; nobody is found by it in the release. It is no upper bound on re-identification either: an "
    "attacker may do better on a few people than on average, or by an attack that was not tried. The guidance has no threshold for "
    "it; the table sets it beside 0.09 for scale, and being below means no more than that."
)
COPY = (
    "A copy is nearer to what the threshold means: who knows the person may recognise a synthetic image that is a near copy of a "
    "real one. The share of images that are near copies, at the upper end of its interval, is the chance that an image drawn from "
    "the release is one, not the chance that anybody recognises it."
)


class Plugin(Document):
    kind = "ema-0070"
    title = "Risk table beside EMA Policy 0070"
    about = "For an anonymisation report in the manner of EMA/90915/2016: each measured risk, its upper bound, and the threshold of 0.09."
    judge = "the applicant's expert in anonymisation"
    form = ("Risk of re-identification as judged, and how", "Threshold that is used, and why", "Name and role", "Date and signature")

    def sections(self, evidence: Evidence, edition: Edition) -> list[Section]:
        rows = [_copies(evidence, edition)]
        for gate in _gates.ATTACKS:
            rows += [_advantage(evidence, edition, gate, rate) for rate in RATES]
        rows += [
            ("Linking records of one person", NOTHING, NOTHING, "probability"),
            ("Inferring an attribute", NOTHING, NOTHING, "probability"),
            ("Re-identification of a person by an intruder: what 0.09 is the threshold of", NOTHING, NOTHING, "probability"),
        ]
        return [
            Section("What the numbers are", [Words(IS), Words(IS_NOT), Words(COPY)]),
            Section(
                "Risk table", [Table("Each risk beside 0.09", ("Risk", "Measured", "Upper bound, beside 0.09", "What the number is"), rows)]
            ),
            Section(
                "The steps of an anonymisation report",
                [
                    Table(
                        "Where each is evidenced",
                        ("Step", "As the record has it"),
                        [
                            ("Identifiers determined", evidence.fact(evidence.run("ingest"), "params.attributes", _kept)),
                            ("Adversaries and attacks", _attacks(evidence)),
                            ("Usefulness of the data", _gates.line(evidence, edition, "utility")),
                            (
                                "Thresholds of the gates, set before they measured",
                                evidence.fact(evidence.sheet, "params.gates", _thresholds),
                            ),
                            ("Risk evaluated", _gates.near_copies(evidence, edition)),
                            (
                                "Method",
                                evidence.fact(
                                    evidence.run("train"), "said.kind", "images drawn by a generator ({}), none released as it was".format
                                ),
                            ),
                            (
                                "Context of the release: who receives it, on which terms",
                                evidence.fact(evidence.sheet, "params.policy.use", edition.words),
                            ),
                        ],
                    )
                ],
            ),
        ]


def _copies(evidence: Evidence, edition: Edition) -> tuple[Any, ...]:
    name = "Near copies: share of the synthetic images"
    judged = _gates.standing(evidence, "replica")
    if not isinstance(judged, Judged) or judged.source.get("evidence.share_interval") is None:
        nothing = judged if isinstance(judged, Claim) else NOTHING
        return (name, nothing, nothing, KIND_OF_COPIES)
    share, high = judged.source.get("evidence.share"), judged.source.get("evidence.share_interval")[1]
    return (name, *_beside(judged, edition, share, high), KIND_OF_COPIES)


def _advantage(evidence: Evidence, edition: Edition, gate: str, rate: str) -> tuple[Any, ...]:
    """The excess of the true positive rate over the null, at the false positive rate that the claim names."""
    name = f"Membership advantage, {question(gate).title.split(': ')[-1]}, at {rate.split(' at ')[1].replace('FPR', 'false positives')}"
    judged = _gates.standing(evidence, gate)
    if not isinstance(judged, Judged):
        return (name, judged, judged, KIND_OF_ADVANTAGE)
    found = next((one for one in judged.source.get("evidence.claims", []) if one["claim"] == rate), None)
    if found is None or found["measured"] is None or found["interval"] is None:
        nothing = Claim(None, (judged.digest,), "the gate ran and has no such number")
        return (name, nothing, nothing, KIND_OF_ADVANTAGE)
    measured, bound = _beside(judged, edition, found["value"], found["interval"][1])
    if found["n"] < found["needed"]:
        bound = Claim("too few images to judge by", bound.on, status="INSUFFICIENT")
    return (name, measured, bound, KIND_OF_ADVANTAGE)


def _beside(judged: Judged, edition: Edition, value: float, high: float) -> tuple[Claim, Claim]:
    """The number, and its upper bound with how that lies to 0.09."""
    on = (judged.digest,)
    lies = "at most" if high <= THRESHOLD else "above"
    return Claim(edition.number(value), on), Claim(f"{edition.upper(high)}, which is {lies} {THRESHOLD}", on)


def _attacks(evidence: Evidence) -> Claim:
    stood = [judged for gate in _gates.ATTACKS if isinstance(judged := _gates.standing(evidence, gate), Judged)]
    if not stood:
        return NOTHING
    names = [one["attack"] for judged in stood for one in judged.source.get("evidence.attacks", [])]
    return Claim(", ".join(dict.fromkeys(names)) or "none has a name", tuple(judged.digest for judged in stood))


def _kept(kept: dict[str, Any]) -> str:
    return f"attributes kept beside the class: {', '.join(kept) or 'none'}"


def _thresholds(gates: dict[str, Any]) -> str:
    return ", ".join(f"{gate} {exact(config['threshold'])}" for gate, config in gates.items() if gate in _gates.PRIVACY)
