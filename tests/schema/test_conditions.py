"""Attributes become words that a generator can be told, and the words become attributes again."""

import numpy as np
import pytest

from schema.conditions import WITHHELD, attributes, codes, conditions_of

DECLARED = {
    "findings": {"kind": "multi-label", "values": ["Effusion", "Mass"]},
    "view": {"kind": "class", "values": ["PA", "AP"]},
    "age": {"kind": "number", "min": 0, "max": 100, "strata": 4},
    "study": {"kind": "id"},
}
COLUMNS = {"findings": [["Mass"], [], None], "view": ["AP", None, "PA"], "age": [24.9, 25.0, 100.0]}


def test_each_kind_of_attribute_has_its_codes_and_comes_back_from_them():
    told = conditions_of({"findings": [], "view": [], "age": []}, DECLARED)
    assert [(one.name, len(one.values)) for one in told] == [("findings: Effusion", 2), ("findings: Mass", 2), ("view", 2), ("age", 4)]
    found = codes(told, COLUMNS, 3)
    assert found.tolist() == [[0, 1, 1, 0], [0, 0, WITHHELD, 1], [WITHHELD, WITHHELD, 0, 3]]
    assert [attributes(told, row) for row in found] == [
        {"findings": ["Mass"], "view": "AP", "age": "0 to 25"},
        {"findings": [], "view": None, "age": "25 to 50"},
        {"findings": None, "view": "PA", "age": "75 to 100"},
    ]


def test_a_number_is_cut_where_it_is_said():
    (age,) = conditions_of({"age": [65, 18]}, DECLARED)
    assert age.values == ["0 to 18", "18 to 65", "65 to 100"]
    assert [age.code(years) for years in (17.9, 18, 64, 65, None, float("nan"))] == [0, 1, 1, 2, WITHHELD, WITHHELD]


def test_no_conditions_are_no_columns():
    assert codes([], {}, 5).shape == (5, 0)
    assert codes([], {}, 5).dtype == np.int64


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"study": []}, "who an image is of"),
        ({"sex": []}, "'sex' is no attribute of ingest: declared are findings, view, age, study"),
        ({"view": [1.0]}, "only a number is cut into bins"),
        ({"age": [50, 50]}, "different numbers between 0 and 100"),
        ({"age": [0]}, "different numbers between 0 and 100"),
    ],
)
def test_what_cannot_be_a_condition_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        conditions_of(asked, DECLARED)
