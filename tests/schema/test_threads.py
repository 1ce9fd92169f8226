"""Threads give what one thread would, in its order, and never run far ahead."""

import threading
import time

import pytest

from schema.threads import AHEAD, ahead, each


@pytest.fixture(autouse=True)
def three(monkeypatch):
    monkeypatch.setenv("SYNTHMILL_READERS", "3")


def test_answers_come_in_the_order_of_the_items_whoever_is_done_first():
    assert list(each(lambda k: time.sleep(0.002 * (k % 3)) or k * k, range(50))) == [k * k for k in range(50)]
    assert list(ahead(iter(range(50)))) == list(range(50))
    assert list(each(abs, [])) == list(ahead([])) == []


def test_as_many_are_under_way_as_asked_for_and_no_more():
    meet = threading.Barrier(3, timeout=10)
    assert len(list(each(lambda _: meet.wait(), range(9)))) == 9, "three at once, or the barrier breaks"
    taken = []
    answers = each(str, (taken.append(k) or k for k in range(100)))
    next(answers)
    assert len(taken) == 6
    made = []
    items = ahead(made.append(k) or k for k in range(100))
    next(items)
    items.close()
    assert len(made) <= AHEAD + 1


def test_a_fault_is_raised_where_its_item_is_due():
    def fail(k: int) -> int:
        if k == 4:
            raise ValueError("four")
        return k

    for answers in (each(fail, range(100)), ahead(fail(k) for k in range(100))):
        assert [next(answers) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="four"):
            next(answers)
