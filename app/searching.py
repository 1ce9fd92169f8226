"""What `search` shows: releases or images, how the query was understood, and what of it was not."""

import shlex
from datetime import date
from typing import Any

import catalog
from app.words import next_step, number, print_json, print_table, say
from catalog.finder import LIMIT, Answer, Page
from schema.errors import UsageError


def print_releases(query: str, limit: int, after: str | None, as_json: bool) -> None:
    """Raises UsageError for a query that cannot be, or for --after, which goes with images."""
    if after is not None:
        raise UsageError("--after goes with --images")
    answer = catalog.search(query, limit, say)
    if as_json:
        return print_json(_said(answer) | {"releases": [_plain(row) for row in answer.releases], "more": answer.more})
    _say(answer)
    if not answer.releases:
        print("no release is like that")
        return next_step("list", "every release")
    columns = ("release", "images", "modality", "licence", "epsilon", "gates")
    print_table(columns, [_row(row) for row in answer.releases])
    if answer.more:
        say(f"there are more: --limit shows up to {LIMIT}")
    next_step(f"show {answer.releases[0]['tag']}")


def print_images(query: str, limit: int, after: str | None, as_json: bool) -> None:
    page = catalog.search_images(query, limit, after, say)
    if as_json:
        return print_json(_said(page) | {"images": [_plain(row) for row in page.images], "next": page.next})
    _say(page)
    if not page.images:
        print("no image is like that")
        return next_step(f"search {shlex.quote(query)}", "releases alone")
    rows = [(row["release"], row["id"], row["label"], _words(row["attributes"]), str(row["seed"]), row["shard"]) for row in page.images]
    print_table(("release", "image", "label", "attributes", "seed", "file"), rows)
    if page.next:
        return next_step(f"search {shlex.quote(query)} --images --limit {limit} --after {page.next}", "the next page")
    next_step(f"get {page.images[0]['release']} --to FOLDER")


def _said(answer: Answer | Page) -> dict[str, Any]:
    filter_ = answer.filter
    return {
        "understood": str(filter_),
        "not_understood": list(answer.not_understood),
        "behind": list(answer.behind),
        "filter": filter_.model_dump(mode="json", exclude_defaults=True),
    }


def _say(answer: Answer | Page) -> None:
    for fault in answer.behind:
        say(f"warning: {fault}")
    if answer.not_understood:
        say(f"not understood, and left out: {', '.join(map(repr, answer.not_understood))}")
    say(f"understood as: {answer.filter}")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    gates = ", ".join(f"{one['gate']} {number(one['value'])} {one['status']}" for one in row["verdicts"])
    tag = f"{row['tag']} (recalled)" if row["recalled"] else row["tag"]
    return tag, str(row["images"]), row["modality"], row["license"], number(row["epsilon"]), gates


def _words(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {'+'.join(value) if isinstance(value, list) else value}" for name, value in attributes.items())


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without what only the index needs, and without thumbnails."""
    kept = {name: value for name, value in row.items() if not name.endswith("_key") and name != "thumbnail"}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in kept.items()}
