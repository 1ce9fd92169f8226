"""What the report calls each gate, the question that it answers, and the group that it stands in."""

from typing import NamedTuple

QUALITY, USEFULNESS, PRIVACY, SPLIT, OTHER = "Quality", "Usefulness", "Privacy", "Integrity of the split", "Other"
GROUPS = (QUALITY, USEFULNESS, PRIVACY, SPLIT, OTHER)

NOTHING_CLAIMED = "No differential privacy is claimed."


class Question(NamedTuple):
    """A gate's name in words, the question it answers, and its group."""

    title: str
    asks: str
    group: str = OTHER


QUESTIONS = {
    "fid": Question(
        "Realism (FID)", "Do the synthetic images, taken together, look like the real ones to a general-purpose network?", QUALITY
    ),
    "fd-domain": Question(
        "Realism (features of this domain)",
        "Do the synthetic images, taken together, look like the real ones to a network trained on such images?",
        QUALITY,
    ),
    "frd": Question(
        "Realism (radiomics)",
        "Do the synthetic images, taken together, have the intensities and textures of the real ones, as radiomics measures them?",
        QUALITY,
    ),
    "cmmd": Question(
        "Realism (CMMD)",
        "Do the synthetic images, taken together, look like the real ones to a network that learned from pictures and their captions?",
        QUALITY,
    ),
    "utility": Question(
        "Usefulness for classifiers",
        "Does a classifier trained on the synthetic images do as well on real images as one trained on real images?",
        USEFULNESS,
    ),
    "coverage": Question(
        "Coverage of classes",
        "Is every class there, in the share that was asked for, shown by its images, and in all the forms that real ones have?",
        USEFULNESS,
    ),
    "mia-white-box": Question(
        "Membership inference: white box",
        "Can an attacker who has the model's weights tell which images it was trained on?",
        PRIVACY,
    ),
    "mia-query": Question(
        "Membership inference: model query",
        "Can an attacker who may only ask the model to finish a noised image tell which images it was trained on?",
        PRIVACY,
    ),
    "mia-release": Question(
        "Membership inference: release alone",
        "Can someone who has nothing but the synthetic images tell which images the model was trained on?",
        PRIVACY,
    ),
    "replica": Question(
        "Copies and near copies", "Are synthetic images copies of training images, or closer to them than unseen images ever come?", PRIVACY
    ),
    "canary": Question(
        "Planted canaries",
        "How well can canaries that were planted in training be told from others, and what ε does that rule out?",
        PRIVACY,
    ),
    "dp-claim": Question(
        "Differential privacy, as claimed",
        "Does the training that really ran give the differential privacy that is claimed of it?",
        PRIVACY,
    ),
    "split": Question(
        "Splits kept apart",
        "Are holdout and test images of other patients than the training images, as the other gates take them to be?",
        SPLIT,
    ),
}


def question(gate: str) -> Question:
    """A gate that nobody has named yet goes by its kind."""
    return QUESTIONS.get(gate, Question(gate, ""))
