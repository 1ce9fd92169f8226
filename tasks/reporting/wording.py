"""What the report says in words: what a gate asks, what nobody measured, what the numbers cannot carry, what the terms mean."""

from typing import Any, NamedTuple


class Question(NamedTuple):
    """A gate's name in words, and the question it answers."""

    title: str
    asks: str


QUESTIONS = {
    "fid": Question("Realism (FID)", "Do the synthetic images, taken together, look like the real ones to a general-purpose network?"),
    "fd-domain": Question(
        "Realism (features of this domain)",
        "Do the synthetic images, taken together, look like the real ones to a network trained on such images?",
    ),
    "utility": Question(
        "Usefulness", "Does a classifier trained on the synthetic images do as well on real images as one trained on real images?"
    ),
    "mia": Question("Membership inference", "Can an attacker tell which images the generator was trained on?"),
}


class Absent(NamedTuple):
    """What is said to be left open, and why it matters, unless the panel has one of the gates `measured_by`; if `beside` is not
    empty, only where the panel has one of those."""

    measured_by: set[str]
    what: str
    why: str
    beside: frozenset[str] = frozenset()


ABSENT = (
    Absent(
        {"mia"},
        "Membership inference",
        "No gate of this panel measures it: whether an attacker can tell which images the generator was trained on is not known.",
    ),
    Absent(
        {"utility"},
        "Usefulness",
        "No gate of this panel measures it: whether anything can be learned from the synthetic images for real ones is not known.",
    ),
    Absent(
        {"fid", "fd-domain"},
        "Realism",
        "No gate of this panel measures it: whether the synthetic images look like real ones to a network is not known.",
    ),
    Absent(
        {"dp", "dp-sgd", "dp-audit"},
        "Differential privacy",
        "No gate of this panel shows it, so no ε is claimed: nothing here is a proof.",
    ),
    Absent(
        {"mia-lira", "lira", "mia-shadow"},
        "Stronger membership attackers",
        "One attacker model was tried at most, the one described under its gate. "
        "Attackers who train many shadow models of their own were not.",
        beside=frozenset({"mia"}),
    ),
    Absent(
        {"attribute-inference"},
        "Attribute inference",
        "Whether someone who knows part of a record can learn the rest (age, sex, diagnosis) from the synthetic data.",
    ),
    Absent(
        {"copying", "nearest", "memorization", "memorisation"},
        "Copies that are not exact",
        "An image that equals a real one pixel for pixel holds the release back. Near copies and mirrored ones do not: "
        "distances to the nearest training image are shown, but no threshold is set for them.",
    ),
    Absent(
        {"extraction", "memorization", "memorisation"},
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
        {"subgroups", "fairness", "coverage"},
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

GLOSSARY = (
    ("Training images (members)", "Real images that the generator learned from. They are whom the privacy gates protect."),
    (
        "Holdout (non-members)",
        "Real images of other patients that the generator never saw. They show what a number looks like where nothing can leak.",
    ),
    (
        "Null",
        "The same number measured where there is nothing to find, for example real images against other real images. "
        "A gate judges how far the measured number exceeds it.",
    ),
    ("Excess", "The measured number set against its null; how (a difference or a ratio) is said beside each value."),
    (
        "Interval",
        "The range in which the true value plausibly lies, given how many images there were (95 % unless the method says otherwise). "
        "A gate passes only if the whole interval is on the right side of the threshold.",
    ),
    ("Threshold", "The bound that was set in the parameters before measuring. Changing it afterwards voids the verdict."),
    ("PASS, FAIL", "PASS: the whole interval keeps within the threshold. FAIL: the measured value itself is beyond it."),
    (
        "INSUFFICIENT",
        "The claim could not be settled: too few images for so narrow a threshold, or something that the gate needs was missing. "
        "Never counted as a pass.",
    ),
    (
        "Membership inference",
        "An attack that guesses whether one given image was among the training images. "
        "To be recognised as a member can itself tell of an illness.",
    ),
    (
        "AUC",
        "How well a score separates two groups: 0.5 is guessing, 1 is always right. For an attack, low is good. "
        "For a classifier (AUROC), high is good.",
    ),
    (
        "TPR at 1 % FPR",
        "The share of training images that an attacker recognises while accusing only 1 in 100 others wrongly. "
        "It speaks of the few people at most risk, whom an average such as AUC can hide. By guessing it is 1 %.",
    ),
    (
        "ROC curve",
        "The attacker's recognised members (up) against false accusations (right), for every strictness. "
        "On the diagonal the attack is guessing.",
    ),
    (
        "Fréchet distance, FID",
        "A distance between two sets of images as a neural network sees them: 0 is alike. "
        "It depends on the network and on how many images.",
    ),
    ("Pixel RMSE", "The usual size of the difference between two images, in grey levels from 0 (the same) to 255."),
    ("Digest (SHA-256)", "A fingerprint of bytes: if one bit of the data changes, so does the digest."),
)


def question(gate: str) -> Question:
    return QUESTIONS.get(gate, Question(gate, ""))


def not_measured(gates: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What this panel leaves open: gates that settled nothing, gates that cannot refuse, and what no gate looks at."""
    open_gates = [entry for entry in map(_left_open, gates) if entry is not None]
    kinds = {gate["gate"] for gate in gates}
    absent = [entry for entry in ABSENT if not entry.measured_by & kinds and (not entry.beside or entry.beside & kinds)]
    return open_gates + [{"what": entry.what, "why": entry.why} for entry in absent]


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
        "Pixel RMSE finds copies, and copies mirrored left to right. "
        "It is blind to copies that are shifted, zoomed, rotated or changed in contrast.",
        "Whatever is biased or missing in the real images is likely so in the synthetic ones.",
    ]
    if "mia" in measured:
        said.append("Membership attacks give averages over patients; someone with an unusual image can be at higher risk than the average.")
    if "utility" in measured:
        said.append(
            "Usefulness was measured for telling the listed classes apart. "
            "It does not carry over to other tasks, finer classes or other image sizes."
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
