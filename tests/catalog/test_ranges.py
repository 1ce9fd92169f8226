"""Which versions a range names. The caret and tilde rows are node-semver's own documented desugarings."""

import pytest

from catalog import ranges
from schema.errors import UsageError
from schema.release import Version

KNOWN = [
    Version.parse(text) for text in ("0.0.3", "0.2.3", "0.2.9", "0.3.0", "1.2.3", "1.2.9", "1.3.0", "1.10.0", "2.0.0", "2.1.0", "3.0.0")
]


@pytest.mark.parametrize(
    ("text", "low", "end"),
    [
        *(("^1.2.3", "1.2.3", "2.0.0"), ("^0.2.3", "0.2.3", "0.3.0"), ("^0.0.3", "0.0.3", "0.0.4"), ("^1", "1.0.0", "2.0.0")),
        *(("^0.0", "0.0.0", "0.1.0"), ("^0", "0.0.0", "1.0.0"), ("^1.2", "1.2.0", "2.0.0"), ("^v2", "2.0.0", "3.0.0")),
        *(("~1.2.3", "1.2.3", "1.3.0"), ("~1.2", "1.2.0", "1.3.0"), ("~1", "1.0.0", "2.0.0"), ("~0.2.3", "0.2.3", "0.3.0")),
        *(("1", "1.0.0", "2.0.0"), ("v1.2", "1.2.0", "1.3.0"), ("1.x", "1.0.0", "2.0.0"), ("2.*", "2.0.0", "3.0.0")),
        *(
            (">=1.2,<3", "1.2.0", "3.0.0"),
            ("^1,>1.2.3,<1.10", "1.2.4", "1.10.0"),
            ("v1.2.3", "1.2.3", "1.2.4"),
            ("~=1.2", "1.2.0", "2.0.0"),
        ),
    ],
)
def test_a_range_is_from_one_version_to_below_another(text, low, end):
    expected = [version for version in KNOWN if Version.parse(low) <= version < Version.parse(end)]
    assert ranges.matching(text, KNOWN) == expected


def test_nine_is_below_ten():
    assert str(ranges.matching("<=1.10", KNOWN)[-1]) == "v1.10.0"


@pytest.mark.parametrize("text", ["", "^", "newest", "^1.2.3.4", ">=1 <2", "^1.2.3.*", "1.2.3.x", "=1"])
def test_what_is_no_range_is_refused_with_examples(text):
    with pytest.raises(UsageError, match=r"write v1\.2\.3, \^1, ~1\.2"):
        ranges.matching(text, KNOWN)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("v1.5.0", ["v1.3.0", "v1.10.0", "v3.0.0"]),
        ("^4", ["v3.0.0"]),
        ("0.0.1", ["v0.0.3", "v3.0.0"]),
        (">=2.2,<3", ["v2.1.0", "v3.0.0"]),
    ],
)
def test_the_nearest_are_the_last_before_the_first_after_and_the_highest(text, near):
    assert list(map(str, ranges.nearest(text, KNOWN))) == near
