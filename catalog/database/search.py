"""A Filter as SQLAlchemy expressions: every word and number of it is a bound parameter, none ever becomes SQL text."""

import operator
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import aliased

from catalog.database.tables import TSVECTORS, WORDS, Dataset, Image, ImageValue, Release, ValueCount, Verdict
from catalog.query import Bound, Filter
from catalog.words import key, tokens

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
FACTS = {"images": Release.images, "size": Release.size, "epsilon": Release.epsilon, "delta": Release.delta}
CHUNKS = (8, 64, 512)
"""Releases whose images are looked into at once: few first, for a page is mostly full after them; the last again and again."""


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
    values = _rarest(connection, asked)
    found: list[dict[str, Any]] = []
    for chunk in _chunks(tags):
        rows = connection.execute(_images(asked, values, chunk, limit - len(found), after)).mappings()
        found += [dict(row) for row in rows]
        if len(found) == limit:
            break
    return found


def candidates(connection: Connection, asked: Filter, after: tuple[str, int] | None) -> Select:
    """The tags, in order, of the releases that can hold images asked for."""
    wanted = conditions(connection, asked)
    if after is not None:
        wanted.append(Release.tag >= after[0])
    if asked.seed is not None:
        wanted += [Release.first_seed <= asked.seed[1], Release.last_seed >= asked.seed[0]]
    return select(Release.tag).where(*wanted).order_by(Release.tag)


def _images(asked: Filter, values: Sequence[tuple[str, str]], tags: Sequence[str], limit: int, after: tuple[str, int] | None) -> Select:
    """`values`: the attributes and keys asked for, the rarest first: images are looked up from those that have that one."""
    found = select(Image.__table__).where(Image.release.in_(tags))
    if asked.label:
        found = found.where(Image.label_key.in_({key(count.name) for count in asked.label}))
    if asked.seed is not None:
        found = found.where(Image.seed.between(*asked.seed))
    start = Image
    for place, (attribute, word) in enumerate(values):
        value = aliased(ImageValue)
        # The releases once more: without them a plan may start from the values of every release.
        own = and_(value.attribute == attribute, value.key == word, value.release.in_(tags))
        same = and_(value.release == start.release, value.position == start.position)
        if place:
            found = found.where(select(value.position).where(own, same).exists())
        else:
            found, start = found.join(value, and_(own, same)), value
    if after is not None:
        found = found.where(or_(start.release > after[0], and_(start.release == after[0], start.position > after[1])))
    return found.order_by(start.release, start.position).limit(limit)


def _rarest(connection: Connection, asked: Filter) -> list[tuple[str, str]]:
    """Each attribute and key asked for, those of the fewest images first."""
    wanted = dict.fromkeys((count.attribute, key(count.name)) for count in asked.attribute)
    if len(wanted) > 1:
        for attribute, word in wanted:
            own = (ValueCount.attribute == attribute, ValueCount.key == word)
            wanted[attribute, word] = connection.execute(select(func.coalesce(func.sum(ValueCount.images), 0)).where(*own)).scalar_one()
    return sorted(wanted, key=lambda each: (wanted[each] or 0, each))


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
