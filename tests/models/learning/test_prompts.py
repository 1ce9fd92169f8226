"""A prompt is made of the template and of words of params.yaml; nothing else can get into it."""

import pytest

from models.learning.prompts import Prompts
from schema.conditions import WITHHELD, Condition, codes, conditions_of

SEX = Condition(attribute="sex", values=["female", "male"])
AGE = Condition(attribute="age", values=["0 to 40", "40 to 80"], edges=[40])
FINDINGS = [Condition(attribute="findings", label=label, values=["no", "yes"]) for label in ("Mass", "Pleural_Thickening")]
TEMPLATE = "a photograph of {token} {class_noun}, {label}, {sex}, aged {age}, with {findings}"


def prompts(template: str = TEMPLATE, class_prompt: str = "a photograph of {class_noun}", conditions=(SEX, AGE, *FINDINGS)) -> Prompts:
    return Prompts(template, class_prompt, "skin lesion", ["nevus", "basal-cell_carcinoma"], ["zkq", "vhx"], conditions)


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ([0, 1, 0, 1, 1], "a photograph of zkq skin lesion, nevus, male, aged 0 to 40, with Mass and Pleural Thickening"),
        ([1, 0, 1, 0, 0], "a photograph of vhx skin lesion, basal cell carcinoma, female, aged 40 to 80, with no findings"),
        ([1, WITHHELD, 1, WITHHELD, WITHHELD], "a photograph of vhx skin lesion, basal cell carcinoma, aged 40 to 80"),
        ([0, *[WITHHELD] * 4], "a photograph of zkq skin lesion, nevus"),
        ([WITHHELD] * 5, ""),
        ([2, *[WITHHELD] * 4], "a photograph of skin lesion"),
    ],
)
def test_a_prompt_says_what_is_said_and_leaves_out_the_rest(row, prompt):
    assert prompts().of(row) == prompt


def test_no_word_of_the_source_can_get_into_a_prompt():
    """A name in the wrong column stops at the codes: a prompt holds words that were declared, or that part is not said."""
    told = conditions_of({"sex": []}, {"sex": {"kind": "class", "values": ["female", "male"]}})
    with pytest.raises(ValueError, match="not in list"):
        codes(told, {"sex": ["Jane Doe"]}, 1)
    made = prompts("{label}, {sex}", conditions=tuple(told))
    allowed = {"nevus", "basal", "cell", "carcinoma", "female", "male"}
    for row in [[label, code] for label in (0, 1) for code in (WITHHELD, 0, 1)]:
        assert {*made.of(row).replace(",", "").split()} <= allowed


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "a {tokn} lesion",
            r"has \{tokn\} \(did you mean 'token'\?\), which nothing fills: known are \{token\}, \{label\}, ",
        ),
        ("{token}, {patient_name}", r"\{patient_name\}, which nothing fills"),
        ("{token}, {}", r"has \{\}"),
        ("a {token lesion", "brace that stands alone"),
        ("a lesion, {sex}", r"must hold \{token\} or \{label\}"),
        ("{token} of a {sex} person", "part '{token} of a {sex} person' by commas"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(template, message):
    with pytest.raises(ValueError, match=message):
        prompts(template)


def test_the_prompt_of_the_prior_cannot_name_a_class():
    with pytest.raises(ValueError, match=r"train\.class_prompt has \{token\}"):
        prompts(class_prompt="a photograph of {token}")


def test_every_word_of_every_prompt_is_among_its_words():
    made, known = prompts(), {*prompts().words()}
    rows = [[label, sex, age, mass, thick] for label in (0, 1) for sex in (0, 1) for age in (0, 1) for mass in (0, 1) for thick in (0, 1)]
    said = {word.lower() for row in rows for word in made.of(row).replace(",", "").split() if word.isalpha()}
    assert said - known == {"zkq", "vhx"}
