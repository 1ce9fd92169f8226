"""Work by threads in the order in which it came, with little of it in memory. It gains where the work leaves the interpreter's lock, as
hashing, decoding and Parquet do."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from schema.settings import readers

T, R = TypeVar("T"), TypeVar("R")
AHEAD = 4
_END = object()


def each(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """work(item) of every item, as many at once as `readers` says; twice as many are in memory."""
    threads = readers()
    with ThreadPoolExecutor(threads) as pool:
        under_way = deque()
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) == 2 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items, up to AHEAD of them made while the one before is in use."""
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        under_way = deque(pool.submit(next, iterator, _END) for _ in range(AHEAD))
        while (item := under_way.popleft().result()) is not _END:
            under_way.append(pool.submit(next, iterator, _END))
            yield item
