"""What the report says of what nobody measured, and of what its numbers cannot carry."""

from typing import Any, NamedTuple

from tasks.reporting import evidence
from tasks.reporting.wording import NOTHING_CLAIMED, question

ATTACKERS = frozenset({"mia-white-box", "mia-query", "mia-release"})


class Absent(NamedTuple):
    """What is said to be left open, and why it matters, unless the panel has one of the gates `measured_by` or ran an attack of that
    name; if `beside` is not empty, only where the panel has one of those."""

    measured_by: set[str]
    what: str
    why: str
    beside: frozenset[str] = frozenset()


ABSENT = (
    Absent(
        set(ATTACKERS),
        "Membership inference",
        "No gate of this panel measures it: whether an attacker can tell which images the generator was trained on is not known.",
    ),
    Absent(
        {"mia-white-box"},
        "Attackers who hold the weights",
        "No gate of this panel measures what they can tell, who are the strongest. It matters if the weights may ever leave.",
        beside=ATTACKERS,
    ),
    Absent(
        {"mia-query"},
        "Attackers who may query the model",
        "No gate of this panel measures what they can tell. It matters if the model is ever served.",
        beside=ATTACKERS,
    ),
    Absent(
        {"mia-release"},
        "Attackers who have the release alone",
        "No gate of this panel measures what they can tell, and every recipient is one.",
        beside=ATTACKERS,
    ),
    Absent(
        {"LiRA"},
        "Attackers with shadow models (LiRA)",
        "Not run: it takes many trainings. Attackers who train shadow models of their own can find more than those tried here, "
        "above all on the few images that are learnt best.",
        beside=ATTACKERS,
    ),
    Absent(
        {"utility"},
        "Usefulness",
        "No gate of this panel measures it: whether anything can be learned from the synthetic images for real ones is not known.",
    ),
    Absent(
        {"fid", "fd-domain", "frd", "cmmd"},
        "Realism",
        "No gate of this panel measures it: whether the synthetic images look like real ones to a network is not known.",
    ),
    Absent({"dp-claim"}, "Differential privacy", f"{NOTHING_CLAIMED} No gate of this panel would check a claim: nothing here is a proof."),
    Absent(
        {"canary"},
        "Audit by canaries",
        "No gate of this panel looks for planted canaries, so no lower bound on ε is known.",
    ),
    Absent(
        {"replica"},
        "Copies that are not exact",
        "An image that equals a real one pixel for pixel holds the release back. Near copies and mirrored ones do not: "
        "distances to the nearest training image are shown, but no threshold is set for them.",
    ),
    Absent(
        {"split"},
        "Integrity of the split",
        "No gate of this panel looks for patients or images on two sides of the split. Where some are, nulls are milder than they seem.",
    ),
    Absent(
        {"attribute-inference"},
        "Attribute inference",
        "Whether someone who knows part of a record can learn the rest (age, sex, diagnosis) from the synthetic data.",
    ),
    Absent(
        {"extraction"},
        "Extraction of training images",
        "Whether images can be drawn out of the generator on purpose. "
        "Only the images of this dataset were compared with the training images.",
    ),
    Absent(
        {"linkage", "singling-out"},
        "Linkage and singling out",
        "Whether a synthetic image can be tied to a person by means of other data, such as other archives of the same hospital.",
    ),
    Absent(
        {"subgroups", "fairness"},
        "Patient groups",
        "Whether realism, usefulness and privacy hold alike for each sex, age, site or device. "
        "Only the classes listed here were told apart.",
    ),
    Absent(
        {"reader-study", "clinician"},
        "Reading by clinicians",
        "No clinician has judged whether the anatomy and the findings are plausible.",
    ),
    Absent(
        {"composition"},
        "Several releases together",
        "Each release was judged alone. What several releases made from the same patients give away together was not measured.",
    ),
)


def not_measured(gates: list[dict[str, Any]], init: dict[str, Any] | None = None) -> list[dict[str, str]]:
    """What this panel leaves open: gates that settled nothing, gates that cannot refuse, and what no gate looks at; among that, the
    patients whose images trained the model that training started from (`init`, as in model.json), unless those are public."""
    open_gates = [entry for entry in map(_left_open, gates) if entry is not None]
    kinds = {gate["gate"] for gate in gates}
    done = kinds | {row["attack"] for gate in gates for row in evidence.known(gate["evidence"]).get("attacks", [])}
    absent = [entry for entry in ABSENT if not entry.measured_by & done and (not entry.beside or entry.beside & kinds)]
    borrowed = [] if init is None or init["public"] else [_borrowed(init)]
    return open_gates + borrowed + [{"what": entry.what, "why": entry.why} for entry in absent]


def _borrowed(init: dict[str, Any]) -> dict[str, str]:
    return {
        "what": "Patients of the model that training started from",
        "why": f"Training started from weights ({init['digest'][:12]}) that had learned other images, which are not known to be public. "
        "Every gate compares with the images of this dataset alone: whether those others can be copied or recognised is not known. "
        "The report of that model's own release says what was found for them then.",
    }


def _left_open(gate: dict[str, Any]) -> dict[str, str] | None:
    name = f"{question(gate['gate']).title} ({gate['gate']})"
    if gate["status"] is None:
        return {"what": name, "why": gate["reason"]}
    if gate["status"] == "INSUFFICIENT":
        unsaid = [need for need in gate["needs"] if need not in gate["reason"]]
        return {"what": name, "why": gate["reason"] + (f" To measure it, set {', '.join(unsaid)}." if unsaid else "")}
    if not gate["required"]:
        return {"what": name, "why": "Measured, but not required for this dataset: whatever it finds, it does not hold a release back."}
    return None


def limits(facts: dict[str, Any]) -> list[str]:
    """What the numbers of this report cannot carry, whatever they are."""
    measured = {gate["gate"] for gate in facts["gates"] if gate["value"] is not None}
    said = [
        "The numbers are of these images, this model and these real images, by digest. "
        "They say nothing of another release, even by the same method.",
        "A passed gate bounds what its own attack or test can find. Absence of evidence against privacy is not proof of privacy.",
        "Each gate is judged by itself at 95 %. Of so many intervals some miss the true value: one gate alone settles little.",
        "The distances to the nearest training images are pixel RMSE, which finds copies and copies mirrored left to right. "
        "It is blind to copies that are shifted, zoomed, rotated or changed in contrast.",
        "Whatever is biased or missing in the real images is likely so in the synthetic ones.",
    ]
    if measured & ATTACKERS:
        said.append(
            "Membership attacks give averages over patients; someone with an unusual image can be at higher risk than the average. "
            "Each attacker is as strong as the attacks that were tried, and no stronger."
        )
    if "replica" in measured:
        said.append(
            "Near copies are found where they were mirrored, shifted a little, or changed in brightness or contrast; not where they were "
            "rotated, zoomed or cropped. What counts as near was calibrated on real images that the generator never saw."
        )
    if "canary" in measured:
        said.append(
            "Canaries bound ε from below for patterns that stand out. A low bound is no proof of a low ε, and says nothing of differential "
            "privacy where none is claimed."
        )
    if "utility" in measured:
        said.append(
            "Usefulness was measured for telling the listed classes apart. "
            "It does not carry over to other tasks, finer classes or other image sizes."
        )
    if facts["power"]["made"] is None:
        said.append("How often these gates catch a bad release was not measured: what a passed gate is worth is not known.")
    else:
        said.append(
            "How often each gate catches a bad release was measured on small releases made bad on purpose. "
            "Other defects, and smaller ones, can go unseen."
        )
    if facts["nearest"]["n"]["holdout"] < 1000:
        said.append(
            "There are fewer than 1000 holdout images: "
            "the closest 0.1 % of them is a single image, and the tail of their distances is known only roughly."
        )
    if facts["nearest"]["copies"]["holdout"]:
        said.append(
            "Some holdout images equal a training image although they count as other patients: "
            "the source holds duplicates, which makes the null milder."
        )
    return said
