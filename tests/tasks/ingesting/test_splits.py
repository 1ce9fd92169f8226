"""Patients are dealt evenly by stratum, by nothing but their keyed ids, and stay where they are."""

import numpy as np
import pytest

from schema.params import Split
from schema.record import SPLITS
from tasks.ingesting.splits import deal


def people(n: int, seed: int = 0) -> dict[str, set[str]]:
    """Patients with a label (5 % are rare), a sex, and now and then a finding or two."""
    rng = np.random.default_rng(seed)
    tags = {}
    for k in range(n):
        label = "rare" if k % 20 == 0 else "common"
        findings = {f"finding={name}" for name in "xyz" if rng.random() < 0.1}
        tags[f"{seed}-{k:05d}"] = {f"label={label}", f"sex={'FM'[rng.integers(2)]}", *findings}
    return tags


def shares(tags, dealt, tag: str) -> list[float]:
    mine = [dealt[patient] for patient, found in tags.items() if tag in found]
    return [mine.count(name) / len(mine) for name in SPLITS]


def test_every_stratum_comes_near_the_shares():
    tags = people(400)
    dealt = deal(tags, {}, Split())
    for tag in ("label=rare", "label=common", "sex=F", "sex=M", "finding=x", "finding=y", "finding=z"):
        # A stratum of 20 cannot be cut closer than to one patient; a hash alone misses by 0.1 (one standard deviation) there.
        assert shares(tags, dealt, tag) == pytest.approx([0.7, 0.15, 0.15], abs=0.055), tag
    assert [list(dealt.values()).count(name) for name in SPLITS] == pytest.approx([280, 60, 60], abs=2)


def test_whoever_was_dealt_stays_whoever_comes_and_whatever_they_become():
    tags = people(200)
    dealt = deal(tags, {}, Split())
    later = {patient: {"label=rare", "sex=M"} for patient in tags} | people(150, seed=1)
    again = deal(later, dealt, Split())
    assert dealt.items() <= again.items()
    new = [again[patient] for patient in again if patient not in dealt]
    assert [new.count(name) / len(new) for name in SPLITS] == pytest.approx([0.7, 0.15, 0.15], abs=0.05)


def test_the_deal_depends_on_ids_and_salt_and_not_on_the_order():
    tags = people(100)
    backwards = dict(reversed(tags.items()))
    assert deal(backwards, {}, Split()) == deal(tags, {}, Split())
    assert deal(tags, {}, Split(salt="another")) != deal(tags, {}, Split())


def test_patients_of_no_stratum_are_dealt_too():
    dealt = deal({str(k): set() for k in range(100)}, {}, Split())
    assert [list(dealt.values()).count(name) for name in SPLITS] == [70, 15, 15]
