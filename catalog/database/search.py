"""A Filter as SQLAlchemy expressions: every word and number of it is a bound parameter, none ever becomes SQL text."""

import operator
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, cast, column, or_, select, values
from sqlalchemy.dialects.postgresql import TSQUERY

from catalog.database.bitmaps import BLOCK, places, unpack
from catalog.database.tables import KEY, TSVECTORS, WORDS, Dataset, Image, Release, ValueBitmap, ValueCount, Verdict
from catalog.query import Bound, Filter
from catalog.words import key, tokens

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
FACTS = {"images": Release.images, "size": Release.size, "epsilon": Release.epsilon, "delta": Release.delta}
CHUNKS = (8, 64, 512)
"""Releases whose images are looked into at once: few first, for a page is mostly full after them; the last again and again."""
ROWS = 1024
"""Images that are fetched at once where their seeds decide."""


def releases(connection: Connection, asked: Filter, limit: int) -> list[dict[str, Any]]:
    """At most `limit` releases, by dataset, the highest version first, each with its verdicts."""
    order = (Release.dataset, Release.major.desc(), Release.minor.desc(), Release.patch.desc())
    rows = connection.execute(select(Release.__table__).where(*conditions(connection, asked)).order_by(*order).limit(limit)).mappings()
    found = {row["tag"]: {**row, "verdicts": []} for row in rows}
    verdicts = select(Verdict.__table__).where(Verdict.release.in_(found)).order_by(Verdict.release, Verdict.gate)
    for row in connection.execute(verdicts).mappings():
        found[row["release"]]["verdicts"].append(dict(row))
    return list(found.values())


def images(connection: Connection, asked: Filter, limit: int, after: tuple[str, int] | None) -> list[dict[str, Any]]:
    """At most `limit` images of the releases that the filter finds, which have one of its labels, each of its attributes and a seed in
    its range; in order of (tag, position), those after `after`."""
    tags = list(connection.execute(candidates(connection, asked, after)).scalars())
    found: list[tuple[str, int]] = []
    for chunk in _chunks(tags):
        found += islice(_places(connection, asked, chunk, after), limit - len(found))
        if len(found) == limit:
            break
    return _images(connection, found)


def _places(connection: Connection, asked: Filter, tags: Sequence[str], after: tuple[str, int] | None) -> Iterator[tuple[str, int]]:
    """The tags and positions of the images asked for, in order, those after `after`."""
    bitmaps = _bitmaps(connection, asked, tags) if asked.label or asked.attribute else None
    if asked.seed is None and bitmaps is not None:
        for (tag, block), bits in sorted(bitmaps.items()):
            passed = max(0, after[1] + 1 - block * BLOCK) if after is not None and tag == after[0] else 0
            yield from ((tag, block * BLOCK + passed + place) for place in places(bits >> passed))
        return
    rows = select(Image.release, Image.position).where(Image.release.in_(tags)).order_by(Image.release, Image.position)
    if asked.seed is not None:
        rows = rows.where(Image.seed.between(*asked.seed))
    if after is not None:
        rows = rows.where(or_(Image.release > after[0], and_(Image.release == after[0], Image.position > after[1])))
    for tag, position in connection.execute(rows, execution_options={"yield_per": ROWS}):
        block, place = divmod(position, BLOCK)
        if bitmaps is None or bitmaps.get((tag, block), 0) >> place & 1:
            yield tag, position


def _bitmaps(connection: Connection, asked: Filter, tags: Sequence[str]) -> dict[tuple[str, int], int]:
    """By tag and block, which images have one of the labels and each of the attributes."""
    parts = [{("label", key(count.name)) for count in asked.label}] if asked.label else []
    parts += [{(count.attribute, key(count.name))} for count in asked.attribute]
    found: dict[tuple[str, int], int] | None = None
    for part in parts:
        either: dict[tuple[str, int], int] = {}
        for attribute, word in sorted(part):
            own = (ValueBitmap.attribute == attribute, ValueBitmap.key == word, ValueBitmap.release.in_(tags))
            for tag, block, bitmap in connection.execute(select(ValueBitmap.release, ValueBitmap.block, ValueBitmap.bitmap).where(*own)):
                if found is None or (tag, block) in found:
                    either[tag, block] = either.get((tag, block), 0) | unpack(bitmap)
        found = either if found is None else {at: both for at, bits in either.items() if (both := bits & found[at])}
    return found or {}


def _images(connection: Connection, found: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """The rows at these tags and positions."""
    if not found:
        return []
    wanted = values(column("release", KEY), column("position", Integer), name="wanted").data(found).cte()
    same = and_(Image.release == wanted.c.release, Image.position == wanted.c.position)
    rows = select(Image.__table__).join_from(wanted, Image, same).order_by(Image.release, Image.position)
    return [dict(row) for row in connection.execute(rows).mappings()]


def candidates(connection: Connection, asked: Filter, after: tuple[str, int] | None) -> Select:
    """The tags, in order, of the releases that can hold images asked for."""
    wanted = conditions(connection, asked)
    if after is not None:
        wanted.append(Release.tag >= after[0])
    if asked.seed is not None:
        wanted += [Release.first_seed <= asked.seed[1], Release.last_seed >= asked.seed[0]]
    return select(Release.tag).where(*wanted).order_by(Release.tag)


def _chunks(tags: Sequence[str]) -> Iterator[Sequence[str]]:
    at, sizes = 0, iter(CHUNKS)
    while at < len(tags):
        size = next(sizes, CHUNKS[-1])
        yield tags[at : at + size]
        at += size


def conditions(connection: Connection, asked: Filter) -> list[ColumnElement[bool]]:
    """What a release must be for the filter to find it."""
    found: list[ColumnElement[bool]] = []
    if asked.dataset:
        found.append(Release.dataset.in_(asked.dataset))
    if asked.release:
        found.append(Release.tag.in_(asked.release))
    if asked.license:
        found.append(Release.license_key.in_([name.casefold() for name in asked.license]))
    if asked.modality:
        found.append(or_(*(Release.modality_key.contains(f" {' '.join(tokens(name))} ", autoescape=True) for name in asked.modality)))
    found += [_counted("label", count.name, count.op, count.value) for count in asked.label]
    found += [_counted(count.attribute, count.name, count.op, count.value) for count in asked.attribute]
    found += [COMPARE[bound.op](FACTS[bound.name], bound.value) for bound in asked.number]
    found += [_measured(bound) for bound in asked.gate]
    for ruling in asked.verdict:
        found.append(select(Verdict.gate).where(_verdict_of(ruling.gate), Verdict.status == ruling.status).exists())
    found += [COMPARE[each.op](Release.published, each.day) for each in asked.published]
    if asked.text:
        found.append(Release.tag.in_(_with_words(connection, asked.text)))
    if asked.latest:
        found.append(Release.tag.in_(select(Dataset.latest)))
    if asked.recalled != "any":
        found.append(Release.recalled.is_(asked.recalled == "yes"))
    return found


def gates(connection: Connection) -> set[str]:
    """The gates that any release has a verdict of."""
    return set(connection.execute(select(Verdict.gate).distinct()).scalars())


def _counted(attribute: str, name: str, op: str, images: int) -> ColumnElement[bool]:
    own = (ValueCount.release == Release.tag, ValueCount.attribute == attribute, ValueCount.key == key(name))
    return select(ValueCount.images).where(*own, COMPARE[op](ValueCount.images, images)).exists()


def _verdict_of(gate: str) -> ColumnElement[bool]:
    return and_(Verdict.release == Release.tag, Verdict.gate == gate)


def _measured(bound: Bound) -> ColumnElement[bool]:
    return select(Verdict.gate).where(_verdict_of(bound.name), COMPARE[bound.op](Verdict.value, bound.value)).exists()


def _with_words(connection: Connection, texts: Sequence[str]) -> Select:
    """The tags of releases whose words hold each of the texts, as a phrase. The words are of a-z and 0-9 alone (catalog.words)."""
    phrases = [tokens(text) for text in texts]
    if connection.dialect.name == "postgresql":
        asked = " & ".join(f"({' <-> '.join(repr(word) for word in phrase)})" for phrase in phrases)
        return select(TSVECTORS.c.tag).where(TSVECTORS.c.words.bool_op("@@")(cast(asked, TSQUERY)))
    asked = " AND ".join(f'"{" ".join(phrase)}"' for phrase in phrases)
    return select(WORDS.c.tag).where(WORDS.c.words.bool_op("MATCH")(asked))
