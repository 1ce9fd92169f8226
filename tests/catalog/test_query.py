"""What is asked for: the query language and plain words become one Filter; what cannot be is refused, what is strange is given back."""

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.parser import read
from catalog.query import AttributeCount, Bound, Count, Day, Filter, Ruling, check_gates, make, shipped_gates
from catalog.words import key, tokens
from schema.errors import UsageError
from schema.plugins import find
from tests.conftest import CHECKOUT

GATES = {"fid", "utility", "mia-white-box"}

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(str.strip)
words = names.filter(tokens)
numbers = st.floats(allow_nan=False, allow_infinity=False)
ops = st.sampled_from(["<", "<=", ">", ">=", "="])
whole = st.integers(0, 2**31 - 1)
slugs = st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,8}", fullmatch=True)


def several(strategy):
    return st.lists(strategy, max_size=3).map(tuple)


filters = st.builds(
    Filter,
    text=several(words),
    dataset=several(slugs),
    release=several(slugs.map(lambda name: f"{name}@v1.20.3")),
    modality=several(words),
    license=several(names),
    label=several(st.builds(Count, name=names, op=ops, value=whole)),
    attribute=several(
        st.builds(AttributeCount, name=names, op=ops, value=whole, attribute=st.sampled_from(["view", "body_part", "a-b.c"]))
    ),
    number=several(st.builds(Bound, name=st.sampled_from(["images", "size", "epsilon", "delta"]), op=ops, value=numbers)),
    gate=several(st.builds(Bound, name=st.sampled_from(sorted(GATES)), op=ops, value=numbers)),
    verdict=several(st.builds(Ruling, gate=st.sampled_from(sorted(GATES)), status=st.sampled_from(["PASS", "FAIL", "INSUFFICIENT"]))),
    published=several(st.builds(Day, op=ops, day=st.dates())),
    seed=st.none() | st.tuples(whole, whole).map(lambda pair: (min(pair), max(pair))),
    latest=st.booleans(),
    recalled=st.sampled_from(["no", "yes", "any"]),
)


@given(filters)
@settings(max_examples=300, deadline=None)
def test_a_filter_as_text_is_read_as_the_same_filter(asked):
    found = read(str(asked), GATES)
    assert found.filter == asked
    assert found.not_understood == ()


PIECES = ("with", "fid", "<", "20", "under", "at", "least", "500", ",", ":", "label", "pneumonia", "and", "no", '"', "or", "more", "images")


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    """Refused is by UsageError alone: anything else that is raised fails here."""
    try:
        found = read(text, GATES)
    except UsageError:
        return
    assert read(str(found.filter), GATES).filter == found.filter


SAID = Filter(
    text=["frontal"],
    label=[Count(name="pneumonia", op=">=", value=500)],
    gate=[Bound(name="fid", op="<", value=20)],
    number=[Bound(name="epsilon", op="<", value=10)],
)


def test_the_query_language_says_every_condition():
    asked = 'modality:"chest radiograph" label:pneumonia>=500 images>=500 fid<20 epsilon ≤ 10 license:CC-BY-4.0,CC0-1.0 "frontal view" '
    asked += (
        "attribute.view:PA>=100 attribute.view:AP utility:pass published>=2026-01-31 seed:5..9 latest:yes recalled:any release:a-b@v1.0.0"
    )
    assert read(asked, GATES).filter == Filter(
        text=["frontal view"],
        release=["a-b@v1.0.0"],
        modality=["chest radiograph"],
        license=["CC-BY-4.0", "CC0-1.0"],
        label=[Count(name="pneumonia", value=500)],
        attribute=[AttributeCount(attribute="view", name="PA", value=100), AttributeCount(attribute="view", name="AP")],
        number=[Bound(name="images", op=">=", value=500), Bound(name="epsilon", op="<=", value=10)],
        gate=[Bound(name="fid", op="<", value=20)],
        verdict=[Ruling(gate="utility", status="PASS")],
        published=[Day(op=">=", day=date(2026, 1, 31))],
        seed=(5, 9),
        latest=True,
        recalled="any",
    )


@pytest.mark.parametrize(
    ("said", "language"),
    [
        ("frontal with pneumonia, at least 500, FID under 20, epsilon under 10", str(SAID)),
        ("Show me frontal X-rays with pneumonia; epsilon of less than 10.", '"frontal" "X-rays" label:pneumonia epsilon<10'),
        ("at least 1,000 images of dermoscopy with an FID of at most 20.5", '"dermoscopy" images>=1000 fid<=20.5'),
        ("fundus photographs, 500 or more, licensed under CC-BY-4.0", '"fundus" "photographs" images>=500 license:CC-BY-4.0'),
        ("with lung opacity and effusion and utility over 0.9", 'label:"lung opacity" label:effusion utility>0.9'),
        ("no more than 20 FID", "fid<=20"),
        ("heads with tumour, no fewer than 30 images", '"heads" label:tumour images>=30'),
        ("mia-white-box below 0.05 and utility exactly 1", "mia-white-box<0.05 utility=1"),
        ("frontal X-rays (500 or more), utility over .9", '"frontal" "X-rays" images>=500 utility>0.9'),
        ("dataset:Pneumonia release:Pneumonia@v1.0.0", "dataset:pneumonia release:pneumonia@v1.0.0"),
    ],
)
def test_plain_words_become_the_same_filter(said, language):
    found = read(said, GATES)
    assert found.not_understood == ()
    assert found.filter == read(language, GATES).filter


def test_the_documentation_s_plain_words_are_the_filters_beside_them():
    rows = re.findall(r"^\| (\w[^|`]*) \| `([^`]+)` \|$", (CHECKOUT / "docs/search.md").read_text(), re.MULTILINE)
    assert len(rows) == 4
    for words_, language in rows:
        assert read(words_) == read(language)


@pytest.mark.parametrize(
    ("said", "strange", "rest"),
    [
        ("chest, without pneumonia, 32 pixels", ("without pneumonia", "32"), '"chest" "pixels"'),
        ("chest under ten", ("under ten",), '"chest"'),
        ("nevus or melanoma", ("or",), '"nevus" "melanoma"'),
        ("chest < 20", ("<",), None),
        ("eyes & ears", ("&",), '"eyes" "ears"'),
        ("chest, FID of 20", ("FID", "20"), '"chest"'),
        ("chest, FID under ten", ("FID", "under ten"), '"chest"'),
        ("chest, epsilon between 1 and 2", ("epsilon", "between", "1", "2"), '"chest"'),
    ],
)
def test_what_is_not_understood_is_given_back(said, strange, rest):
    if rest is None:
        with pytest.raises(UsageError, match="'chest' is no number of a release and no gate"):
            read(said, GATES)
        return
    found = read(said, GATES)
    assert (found.not_understood, str(found.filter)) == (strange, rest)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("fidd<20", r"'fidd' is no number of a release and no gate \(did you mean 'fid'\?\)"),
        ("dataset:a/b", "'a/b' is not a dataset name: use lower-case letters"),
        ("release:pneumonia", "'pneumonia' is no release: write it as pneumonia@v1.0.0"),
        ("attribute.:x", "'' is no name of an attribute"),
        ("lable:pneumonia", r"no field is called 'lable' \(did you mean 'label'\?\)"),
        ("fid:MAYBE", "fid:MAYBE is not possible"),
        ("fid<ten", "fid is compared with 'ten', which is no number"),
        ("fid<nan", "no number"),
        ("fid<1e999", "finite"),
        ("images:500", "images is compared with"),
        ("label>=500", "label takes a colon"),
        ("label:a>=0.5", "must be whole"),
        ("label:a>=-1", "greater than or equal to 0"),
        ("dataset:../etc", "dataset"),
        ("published>=yesterday", "is no day"),
        ("seed:9..5", "are no range"),
        ('"frontal', "a quote is not closed"),
        ('"!!"', "no letter or digit"),
        ("label:", "label has no value"),
        ("x" * 2001, "2000 are allowed"),
    ],
)
def test_what_cannot_be_is_refused(asked, words):
    with pytest.raises(UsageError, match=words):
        read(asked, GATES)


def test_a_filter_of_python_is_held_to_the_same():
    with pytest.raises(UsageError, match=r"no gate is called 'fids' \(did you mean 'fid'\?\)"):
        check_gates(Filter(gate=[Bound(name="fids", op="<", value=1)]), GATES)
    with pytest.raises(UsageError, match=r"'epsilom' is no number of a release \(did you mean 'epsilon'\?\)"):
        make(number=[Bound(name="epsilom", op="<", value=1)])
    with pytest.raises(UsageError, match="Extra inputs"):
        make(lable=["x"])


def test_the_gates_are_those_of_the_folder():
    import tasks.gates

    assert shipped_gates() == set(find(tasks.gates))


@pytest.mark.parametrize("said", ["Chest X-rays", "chest x-ray", "CHEST RADIOGRAPHS", "chest radiography", "chest xray", "CXR"])
def test_words_that_mean_the_same_are_the_same(said):
    assert tokens(said) == ["chest", "radiograph"]


@given(st.text(max_size=40))
def test_words_are_plain_letters_and_digits_in_every_script(text):
    assert all(token.isascii() and token.isalnum() and token == token.lower() and len(token) <= 100 for token in tokens(text))


def test_values_that_signs_tell_apart_stay_apart():
    assert key("<40") != key(">40")
    assert key("+") != key("-")
    assert key("Lung Opacities") == key("lung opacity")
