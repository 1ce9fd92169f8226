"""Nearest training images in the report: what lies in the holdout's own tails."""

import numpy as np
import pytest

from models.neighbours import Nearest
from tasks.reporting.nearest import Closest, summary


def test_tails_are_counted_against_the_holdout():
    def at(distances) -> Nearest:
        return Nearest(np.zeros(len(distances), dtype=np.int64), np.array(distances, dtype=float), np.zeros(len(distances), dtype=bool))

    holdout = at(np.arange(1, 501))
    found = summary(Closest(at([6.0] * 100), holdout))
    assert [(tail["distance"], tail["holdout"], tail["synthetic"]) for tail in found["tails"]] == [(1, 1, 0), (5, 5, 0)]
    # Clopper and Pearson for none of n: from 0 to 1 - 0.025^(1/n)
    assert found["tails"][1]["synthetic_share_interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 100)])
    found = summary(Closest(at([0, 0, 1, 5, 5, 6, 600, 900]), holdout))
    assert [tail["synthetic"] for tail in found["tails"]] == [3, 5]
    assert found["copies"] == {"synthetic": 2, "holdout": 0}
    assert [row["synthetic"] for row in found["quantiles"]][-3:] == [5, 6, 900]  # the 4th, 6th and 8th of eight
    histogram = found["histogram"]
    assert sum(histogram["synthetic"]) == pytest.approx(1)
    assert len(histogram["edges"]) == len(histogram["holdout"]) + 1
