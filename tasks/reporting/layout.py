"""In what order the page shows the gates, and in which tables."""

from typing import Any, NamedTuple

from tasks.reporting.evidence import known
from tasks.reporting.wording import GROUPS, QUESTIONS


class Block(NamedTuple):
    """A table of the summary: of required gates, or of those that inform; `groups` hold the gates by their places in the facts."""

    required: bool
    groups: list[tuple[str, list[int]]]


def order(gates: list[dict[str, Any]]) -> list[int]:
    """Places of the gates by group, within it the required ones first, else in the order of QUESTIONS; unnamed ones last."""
    known_kinds = list(QUESTIONS)

    def rank(place: int) -> tuple:
        gate = gates[place]
        named = known_kinds.index(gate["gate"]) if gate["gate"] in QUESTIONS else len(known_kinds)
        return GROUPS.index(gate["group"]), not gate["required"], named, place

    return sorted(range(len(gates)), key=rank)


def blocks(gates: list[dict[str, Any]]) -> list[Block]:
    """The tables of the summary, without empty ones."""
    found = []
    for required in (True, False):
        places = [place for place in order(gates) if gates[place]["required"] is required]
        groups = [(group, [place for place in places if gates[place]["group"] == group]) for group in GROUPS]
        found.append(Block(required, [(group, some) for group, some in groups if some]))
    return [block for block in found if block.groups]


def claims_privacy(gates: list[dict[str, Any]]) -> bool:
    """Whether the training claims differential privacy: only then has the gate `dp-claim` anything to compute again."""
    return any("epsilon_claimed" in known(gate["evidence"]) for gate in gates if gate["gate"] == "dp-claim")


def short_claims(gate: dict[str, Any]) -> list[int]:
    """Places of the claims that had to hold and have fewer images than they need."""
    claims = known(gate["evidence"]).get("claims", [])
    return [place for place, claim in enumerate(claims) if claim["required"] and is_short(claim)]


def is_short(claim: dict[str, Any]) -> bool:
    """Whether a claim has fewer images than it needs."""
    return None not in (claim["n"], claim["needed"]) and claim["n"] < claim["needed"]
