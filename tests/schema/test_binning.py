"""Numbers as they may leave: two significant digits, judged as the exact ones."""

import numpy as np
import pytest

from schema import binning
from schema.verdict import judge


@pytest.mark.parametrize(
    ("value", "below", "nearest", "above"),
    [
        (0.5012, 0.50, 0.50, 0.51),
        (-0.01749, -0.018, -0.017, -0.017),
        (0.9996, 0.99, 1.0, 1.0),
        (12.75, 12.0, 13.0, 13.0),
        (1234.5, 1200.0, 1200.0, 1300.0),
        (3.14159e-7, 3.1e-7, 3.1e-7, 3.2e-7),
        (0.1, 0.1, 0.1, 0.1),
        (0.0, 0.0, 0.0, 0.0),
    ],
)
def test_two_significant_digits_and_which_way(value, below, nearest, above):
    assert (binning.below(value), binning.nearest(value), binning.above(value)) == (below, nearest, above)


def test_an_interval_is_rounded_outwards_but_not_over_the_threshold_that_it_kept():
    assert binning.judged(0.0512, (0.0481, 0.0996), 0.0999, "at_most") == (0.051, (0.048, 0.0999))
    assert binning.judged(-0.0512, (-0.0996, -0.0481), -0.0999, "at_least") == (-0.051, (-0.0999, -0.048))
    # Not kept: it stays beyond, by the point too.
    assert binning.judged(0.1004, (0.0981, 0.1021), 0.1, "at_most") == (0.11, (0.098, 0.11))
    # A proven bound is its interval's end, and is never told smaller than it is.
    assert binning.judged(7.9412, (7.9011, 7.9412), 8.0, "at_most") == (8.0, (7.9, 8.0))


def test_binned_numbers_are_judged_as_the_exact_ones_and_cover_them():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(4000):
        scale = 10.0 ** rng.integers(-4, 4)
        low, value, high, threshold = (float(number) for number in [*np.sort(rng.normal(0, scale, 3)), rng.normal(0, scale)])
        for direction in ("at_most", "at_least"):
            exact = judge(value, (low, high), threshold, direction)
            binned, interval = binning.judged(value, (low, high), threshold, direction)
            assert judge(binned, interval, threshold, direction) is exact
            assert interval[0] <= binned <= interval[1]
            assert interval[0] <= low
            assert high <= interval[1]
            seen.add((exact, direction))
    assert len(seen) == 6
