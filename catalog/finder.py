"""Search: which releases, and which images of them, are what somebody needs.

import catalog
catalog.search("frontal chest x-rays with pneumonia, at least 500, FID under 20").releases
catalog.search(catalog.Filter(modality=["chest radiograph"]), limit=5)
page = catalog.search_images("label:pneumonia attribute.view:PA", limit=50)
catalog.search_images("label:pneumonia attribute.view:PA", limit=50, after=page.next)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catalog.parser import Reading, read
from catalog.query import Filter, check_gates, shipped_gates
from schema.errors import UsageError

Tell = Callable[[str], None] | None
LIMIT = 1000
"""Results of one answer, at most."""


@dataclass(frozen=True)
class Answer:
    """What a search found. `filter`: what it was understood as; `not_understood`: the pieces that were not; `behind`: what the index
    lacks of the releases that are here; `more`: whether others were found than the `limit` first. `releases`: rows of the index."""

    filter: Filter
    not_understood: tuple[str, ...]
    behind: tuple[str, ...]
    releases: list[dict[str, Any]]
    more: bool


@dataclass(frozen=True)
class Page:
    """Images, in order of release and place in it. `next`: what to give as `after` for the page that follows; None after the last."""

    filter: Filter
    not_understood: tuple[str, ...]
    behind: tuple[str, ...]
    images: list[dict[str, Any]]
    next: str | None


def search(asked: Filter | str, limit: int = 20, tell: Tell = None) -> Answer:
    """The releases that a filter finds, by dataset, the highest version first; what is missing in the index is added first, and
    `tell`, if given, told.

    Raises UsageError for a search that cannot be, SynthmillError where the database is out of reach.
    """
    from catalog.database import search as compiled
    from catalog.database.engine import reading

    index, understood = _prepared(asked, limit, tell)
    if understood.filter.seed is not None:
        raise UsageError("seeds are of images: search images, or leave `seed:` out")
    with reading(index.engine) as connection:
        found = compiled.releases(connection, understood.filter, limit + 1)
    return Answer(understood.filter, understood.not_understood, index.behind, found[:limit], len(found) > limit)


def search_images(asked: Filter | str, limit: int = 50, after: str | None = None, tell: Tell = None) -> Page:
    """The images with one of the filter's labels, all of its attributes and a seed in its range, of the releases that it finds.

    `after`: the `next` of the page before. Raises as `search` does.
    """
    from catalog.database import search as compiled
    from catalog.database.engine import reading

    index, understood = _prepared(asked, limit, tell)
    with reading(index.engine) as connection:
        found = compiled.images(connection, understood.filter, limit + 1, _place(after))
    last = found[limit - 1] if len(found) > limit else None
    following = f"{last['release']}:{last['position']}" if last else None
    return Page(understood.filter, understood.not_understood, index.behind, found[:limit], following)


def _prepared(asked: Filter | str, limit: int, tell: Tell) -> tuple[Any, Reading]:
    from catalog.database import search as compiled
    from catalog.database.engine import reading
    from catalog.database.index import opened

    if not 1 <= limit <= LIMIT:
        raise UsageError(f"a limit of {limit} is not possible: it is from 1 to {LIMIT}")
    index = opened(tell)
    with reading(index.engine) as connection:
        gates = shipped_gates() | compiled.gates(connection)
    if isinstance(asked, str):
        return index, read(asked, gates)
    return index, Reading(check_gates(asked, gates))


def _place(after: str | None) -> tuple[str, int] | None:
    if after is None:
        return None
    tag, _, position = after.rpartition(":")
    if not tag or not position.isdecimal() or len(position) > 9:
        raise UsageError(f"{after!r} is no place in the images: give the `next` of a page")
    return tag, int(position)
