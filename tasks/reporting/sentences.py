"""What each gate found, in a sentence that a reader who is not of the field understands, and that its numbers bear out.

A sentence names its numbers by where they stand in the gate's facts, as `{measured:percent}`: pointer, colon, form. It is said only of a
verdict that is settled, by numbers that are there; else the gate's own reason is.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from schema.verdict import Status, judge
from tasks.reporting.layout import short_claims

FIELD = re.compile(r"\{([\w/]+):(\w+)\}")
NOT_SETTLED = "Not settled: "


class Sentence(NamedTuple):
    """`words` are true of a gate's facts where `of` says so."""

    words: str
    of: Callable[[dict[str, Any]], bool] = lambda gate: True


def _attack(who: str) -> tuple[Sentence, ...]:
    """The AUC is the share of pairs of one member and one non-member in which the member has the higher score (Hanley and McNeil 1982)."""
    return (
        Sentence(
            f"Shown a training image and the image of a stranger, {who} tells which is which {{measured:percent}} of the time; guessing "
            f"gives 50 %, and the same attacks where there is nothing to find {{null/value:percent}}."
        ),
    )


def _distance(how: str) -> tuple[Sentence, ...]:
    return (
        Sentence(
            f"{how}, the synthetic images lie {{measured:number}} from real ones; other real images lie {{null/value:number}} from them. "
            "0 would be alike."
        ),
    )


def _usefulness(score: str) -> str:
    return (
        f"On real images, a classifier that learned from the synthetic images reaches {{measured:percent}} of the {score} of one that "
        "learned from real images; one that learned from other real images reaches {null/value:percent}."
    )


SENTENCES: dict[str, tuple[Sentence, ...]] = {
    "mia-white-box": _attack("an attacker who has the model's weights"),
    "mia-query": _attack("an attacker who may only put questions to the model"),
    "mia-release": _attack("an attacker who has nothing but the synthetic images"),
    "replica": (
        Sentence(
            "{measured:percent} of the synthetic images are copies or near copies of a training image; of real images that the generator "
            "never saw, {null/value:percent} would be taken for one."
        ),
    ),
    "canary": (
        Sentence(
            "Of the guesses which planted patterns the training had seen, {evidence/accuracy_of_guesses:percent} are right, where guessing "
            "gives {evidence/null_accuracy_of_guesses:percent}. That shows, at 95 % confidence, that ε is at least "
            "{evidence/epsilon_lower_bound:number}."
        ),
    ),
    "dp-claim": (
        Sentence(
            "By proof, not by trial: whether any one {evidence/privacy_unit:plain} took part makes no result of the training more than e "
            "to the ε times as likely (ε = {value:number}; smaller is stronger), but for a probability of δ = {evidence/delta:set}.",
            lambda gate: gate["status"] == Status.PASS,
        ),
    ),
    "split": (
        Sentence(
            "{measured:percent} of the images that are held back are of a patient who is in another split too, and none may be.",
            lambda gate: "whose patient is in another split" in (gate["unit"] or ""),
        ),
        Sentence(
            "{measured:percent} of the images that are held back are copies or near copies of a training image; chance likeness makes "
            "{null/value:percent}."
        ),
    ),
    "utility": (
        Sentence(_usefulness("accuracy, balanced over classes,"), lambda gate: (gate["unit"] or "").startswith("balanced accuracy ratio")),
        Sentence(_usefulness("accuracy"), lambda gate: (gate["unit"] or "").startswith("accuracy ratio")),
    ),
    "coverage": (
        Sentence(
            "In the class that comes out worst, a classifier sees in {measured:percent} of the synthetic images what they are labelled as; "
            "in other real images of that class, in {null/value:percent}.",
            lambda gate: (gate["null"] or {}).get("what", "").startswith("other real images of that class"),
        ),
    ),
    "fid": _distance("To a general-purpose network (FID)"),
    "fd-domain": _distance("To a network that learned from these real images"),
    "frd": _distance("By their intensities and textures (radiomics)"),
    "cmmd": _distance("To a network that learned from pictures and their captions (CMMD)"),
}


def sentence(gate: dict[str, Any], at: str, cite: Callable[[str, str], Markup]) -> Markup:
    """What a gate of the facts found, as HTML. `at`: its JSON Pointer; `cite`: a number there in some form, as HTML."""
    if gate["status"] is None:
        return Markup("{}no verdict was written.").format(NOT_SETTLED)
    if not gate["stands"]:
        return Markup("{}the verdict is of other images, or of other parameters than are in force.").format(NOT_SETTLED)
    if gate["status"] == Status.INSUFFICIENT:
        return Markup("{}{}").format(NOT_SETTLED, _unsettled(gate, at, cite))
    fitting = next((one for one in SENTENCES.get(gate["gate"], ()) if one.of(gate) and all(_there(gate, one))), None)
    return _filled(fitting.words, at, cite) if fitting and _decides(gate) else escape(gate["reason"])


def _decides(gate: dict[str, Any]) -> bool:
    """Whether it is the gate's main number that the verdict comes of, and not another of its claims, which its reason tells."""
    if gate["value"] is None or gate["interval"] is None:
        return False
    return judge(gate["value"], tuple(gate["interval"]), gate["threshold"], gate["direction"]) == gate["status"]


def _unsettled(gate: dict[str, Any], at: str, cite: Callable[[str, str], Markup]) -> Markup:
    few = [(gate["evidence"]["claims"][place]["claim"], f"{at}/evidence/claims/{place}") for place in short_claims(gate)]
    if not few:
        return escape(gate["reason"])
    said = [
        Markup("{} needs {} images or patients and has {}").format(words, cite(f"{one}/needed", "count"), cite(f"{one}/n", "count"))
        for words, one in few
    ]
    return Markup("; ").join(said) + "."


def _there(gate: dict[str, Any], one: Sentence) -> list[bool]:
    return [_value(gate, pointer) is not None for pointer, _ in FIELD.findall(one.words)]


def _value(gate: Any, pointer: str) -> Any:
    for part in pointer.split("/"):
        gate = gate.get(part) if isinstance(gate, dict) else None
    return gate


def _filled(words: str, at: str, cite: Callable[[str, str], Markup]) -> Markup:
    parts = FIELD.split(words)
    numbers = zip(parts[1::3], parts[2::3], strict=True)
    filled = [escape(parts[0])]
    for (pointer, form), rest in zip(numbers, parts[3::3], strict=True):
        filled += [cite(f"{at}/{pointer}", form), escape(rest)]
    return Markup("").join(filled)
