"""What documents say of gates, in one place: a line a gate, an attack's numbers, what lets a verdict pass."""

from typing import Any

from tasks.documents import Evidence, Judged
from tasks.documents._blocks import Claim, Table
from tasks.documents._edition import Edition, exact
from tasks.reporting.wording import QUESTIONS, question

ATTACKS = ("mia-white-box", "mia-query", "mia-release")
QUALITY = ("utility", "coverage", "fd-domain", "frd", "fid", "cmmd")
PRIVACY = (*ATTACKS, "replica", "canary", "dp-claim", "split")
MEANS = {
    "PASS": "The whole interval keeps within what is allowed.",
    "FAIL": "More was found than is allowed.",
    "INSUFFICIENT": "Too little to judge by; this is no pass.",
}
BOUND = {"at_most": "at most", "at_least": "at least"}


def standing(evidence: Evidence, gate: str) -> Judged | Claim:
    """The newest verdict if it is of the newest bytes, else the claim that there is none."""
    judged = evidence.gates.get(gate)
    if judged is None:
        return Claim(None)
    return judged if judged.stands else Claim(None, (judged.digest,), judged.why)


def line(evidence: Evidence, edition: Edition, gate: str) -> Claim:
    """Status, excess with its interval, and what is allowed."""
    judged = standing(evidence, gate)
    if isinstance(judged, Claim):
        return judged
    said = judged.verdict
    allowed = f"{BOUND[said['direction']]} {exact(said['threshold'])} is allowed"
    if said["value"] is None or said["interval"] is None:
        words = f"nothing was measured; {allowed}"
    else:
        words = f"{edition.number(said['value'])} ({edition.interval(said['interval'])}); {allowed}. Unit: {edition.words(said['unit'])}"
    return Claim(words, (judged.digest,), status="WAIVED" if judged.waiver else said["status"])


def weight(evidence: Evidence, gate: str) -> Claim:
    """Whether the verdict can hold a release back."""
    judged = standing(evidence, gate)
    if isinstance(judged, Claim):
        return judged
    return Claim("required" if judged.verdict["required"] else "informs only", (judged.digest,))


def reason(evidence: Evidence, edition: Edition, gate: str) -> Claim:
    """What the gate said in a sentence. That has exact numbers, so the public edition says what the status means."""
    judged = standing(evidence, gate)
    if isinstance(judged, Claim):
        return judged
    if edition is Edition.PUBLIC:
        return Claim(MEANS[judged.verdict["status"]], (judged.digest,))
    return Claim(judged.verdict["reason"], (judged.digest,))


def number(evidence: Evidence, edition: Edition, gate: str, path: str, shown: str = "number") -> Claim:
    """One number of a standing verdict by dotted name, shown by that method of the edition."""
    judged = standing(evidence, gate)
    if isinstance(judged, Claim):
        return judged
    return evidence.fact(judged.source, path, getattr(edition, shown))


def sub_claim(evidence: Evidence, edition: Edition, gate: str, name: str) -> Claim:
    """One of the claims that a gate makes one by one (`evidence.claims`): measured, excess with interval, status."""
    judged = standing(evidence, gate)
    if isinstance(judged, Claim):
        return judged
    found = next((one for one in judged.source.get("evidence.claims", []) if one["claim"] == name), None)
    if found is None or found["measured"] is None or found["interval"] is None:
        return Claim(None, (judged.digest,), "the gate ran and has no such number")
    words = (
        f"{edition.number(found['measured'])}, in excess of its null {edition.number(found['value'])} "
        f"({edition.interval(found['interval'])}); "
        f"{BOUND[judged.verdict['direction']]} {exact(found['threshold'])} is allowed"
    )
    return Claim(words, (judged.digest,), status=found["status"])


def near_copies(evidence: Evidence, edition: Edition) -> Claim:
    """Copies and near copies of training images: how many, their share, and its upper bound (95 %)."""
    judged = standing(evidence, "replica")
    if isinstance(judged, Claim):
        return judged
    found, n = judged.source.get("evidence", {}), judged.source.get("n.synthetic")
    if not n or "share_interval" not in found:
        return Claim(None, (judged.digest,), "the gate ran and has no such number")
    copies = found["copies"] + found["near_copies"]
    return Claim(
        f"{edition.count(copies)} of {n} synthetic images; share at most {edition.upper(found['share_interval'][1])} "
        "(upper end of the 95 % interval)",
        (judged.digest,),
    )


def names(evidence: Evidence) -> list[str]:
    """The gates of the panel that the record knows, after them those that synthmill has a name for."""
    told = evidence.sheet.get("params.gates") or {} if evidence.sheet else {}
    return list(dict.fromkeys([*told, *evidence.gates, *QUESTIONS]))


def table(evidence: Evidence, edition: Edition, gates: Any, caption: str) -> Table:
    """A line a gate."""
    rows = [(question(gate).title, question(gate).asks, line(evidence, edition, gate), weight(evidence, gate)) for gate in gates]
    return Table(caption, ("Gate", "It asks", "Excess over the null, with its interval", "Weight"), rows)


def privacy_claimed(evidence: Evidence, edition: Edition) -> Claim:
    """Epsilon, delta and unit as training claims them, or that it claims none."""
    told = evidence.privacy
    if told is None:
        return Claim(None)
    said, digest = told
    if said is None:
        return Claim("No differential privacy is claimed.", (digest,))
    epsilon = edition.upper(said["epsilon"])
    words = (
        f"({epsilon}, {exact(said['delta'])})-differential privacy for each {said['unit']}, by {said['mechanism']} ({said['adjacency']})"
    )
    return Claim(words, (digest,))


def account(evidence: Evidence, name: str, shown: Any = str) -> Claim:
    """One entry of what training wrote down of its differential privacy."""
    told = evidence.privacy
    if told is None or told[0] is None or told[0].get(name) is None:
        return Claim(None)
    return Claim(shown(told[0][name]), (told[1],))
