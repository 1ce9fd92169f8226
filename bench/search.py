"""How long a search of the catalog takes: 1000 made-up releases with a million images, in SQLite and in PostgreSQL.

    python -m bench.search                                   # both databases, where PostgreSQL's programs are; some minutes
    python -m bench.search --images 100000 --only sqlite     # a look
    python -m bench.search --json

Each of the 20 queries is asked 11 times, through the whole of what `catalog.search` does but for reading git's tags: the first time is
reported apart, for what it needs may not be in memory yet. The database is made anew in a temporary folder; PostgreSQL runs on this
machine with its own defaults, but that it does not wait for the disk, which is filling's matter and not searching's.
"""

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from catalog.database import search
from catalog.database.bitmaps import Values
from catalog.database.engine import address, connect, writing
from catalog.database.index import put, tune
from catalog.database.rows import BATCH, Rows
from catalog.parser import read
from catalog.words import key
from schema.settings import quieten

TIMES = 11
LIMIT_MS = 200
KINDS = {
    "chest radiograph": ("frontal chest X-rays of children", ["normal", "pneumonia", "effusion", "lung opacity"]),
    "dermoscopy": ("lesions of the skin seen through a dermatoscope", ["nevus", "melanoma", "keratosis"]),
    "fundus photograph": ("photographs of the retina with and without retinopathy", ["healthy", "retinopathy"]),
    "MR": ("axial slices of heads, T1-weighted", ["healthy", "tumour"]),
}
LICENSES = ("CC-BY-4.0", "CC0-1.0", "CC-BY-NC-4.0", "PDDL-1.0")
GATES = {"fid": 60.0, "frd": 30.0, "utility": 1.0, "mia-white-box": 0.1, "replica": 0.05}
VIEWS = ("PA", "AP", "lateral", "oblique")
MARKS = ("drain", "pacemaker", "clip", "catheter")

RELEASES = (
    "frontal chest x-rays with pneumonia, at least 500, FID under 20, epsilon under 10",
    'modality:"chest radiograph" label:pneumonia>=500 images>=500 fid<20 epsilon<10 license:CC-BY-4.0 "frontal"',
    "dermoscopy with melanoma",
    "retinopathy",
    "utility>=0.9 mia-white-box:PASS",
    "latest:yes license:CC0-1.0",
    "attribute.view:lateral>=400",
    "published>=2026-06-01 images>2000",
    '"no such words"',
    "recalled:any",
)
IMAGES = (
    "label:pneumonia",
    "label:melanoma fid<5",
    "label:normal attribute.view:PA attribute.marks:drain attribute.marks:clip attribute.marks:catheter attribute.marks:pacemaker",
    "label:effusion attribute.view:lateral attribute.marks:pacemaker",
    "attribute.marks:drain attribute.marks:clip attribute.marks:catheter attribute.marks:pacemaker",
    "label:nevus attribute.view:oblique epsilon<1",
    "seed:500000..500100 recalled:any",
    "release:made-0042@v1.0.0 attribute.view:AP",
    "attribute.rare:once",
    "label:healthy attribute.rare:once",
)


class MadeUp(Rows):
    """The rows of a release that nobody made, drawn from its number."""

    def __init__(self, number: int, images: int, versions: int = 2) -> None:
        chance = self.chance = random.Random(number)
        dataset, major = f"made-{number // versions:04d}", 1 + number % versions
        modality = chance.choice(list(KINDS))
        words, self.names = KINDS[modality]
        self.tag, self.n, self.first = f"{dataset}@v{major}.0.0", images, number * 1000
        self.values = Values(self.tag)
        self.drawn = chance.choices(self.names, k=images)
        labels = dict(Counter(self.drawn))
        epsilon = chance.choice([None, round(chance.uniform(0.5, 20), 2)])
        license_ = chance.choice(LICENSES)
        self.release = {
            "tag": self.tag,
            "dataset": dataset,
            "version": f"v{major}.0.0",
            **{"major": major, "minor": 0, "patch": 0, "previous": None, "images": images, "labels": labels},
            **dict.fromkeys(("records", "files", "digest", "sums", "real", "synthetic", "model"), f"{number:064x}"),
            "title": f"Made-up {modality} no. {number}",
            "description": f"Images drawn for a benchmark: {words}.",
            **{"license": license_, "license_key": license_.casefold(), "modality": modality, "modality_key": f" {key(modality)} "},
            **{"code_commit": f"{number:040x}", "published": date(2026, 1, 1) + timedelta(days=number % 330), "size": images * 9000},
            **{"first_seed": self.first, "last_seed": self.first + images - 1},
            **{"epsilon": epsilon, "delta": 1e-5 if epsilon else None, "unit": "patient" if epsilon else None},
            **{"recalled": number % 50 == 7, "recall_reason": "made up" if number % 50 == 7 else None},
        }
        self.verdicts = [self._verdict(gate, most) for gate, most in GATES.items()]

    def _verdict(self, gate: str, most: float) -> dict[str, Any]:
        value = self.chance.uniform(0, most)
        said = {"status": "PASS" if value < most / 2 else "FAIL", "value": value, "low": value * 0.9, "high": value * 1.1}
        return {
            "release": self.tag,
            "gate": gate,
            **said,
            "threshold": most / 2,
            "direction": "at_most",
            "unit": gate,
            "required": True,
        } | {"waived": None}

    def images(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        for start in range(0, self.n, BATCH):
            images = []
            for position in range(start, min(self.n, start + BATCH)):
                said = {"view": self.chance.choice(VIEWS), "marks": [mark for mark in MARKS if self.chance.random() < 0.2]}
                if position == 0 and self.first % 100_000 == 0:
                    said["rare"] = "once"
                label, seed = self.drawn[position], self.first + position
                image = {"release": self.tag, "position": position, "id": f"{self.tag[:9]}-{position:07d}", "label": label}
                image |= {"seed": seed, "sha256": f"{seed:064x}", "attributes": said, "thumbnail": None}
                images.append(image | {"shard": "data/train-00000-of-00001.parquet", "row": position})
                self.values.add(position, label, said)
            yield images, self.values.bitmaps()
        yield [], self.values.bitmaps(last=True)


def fill(releases: int, images: int) -> float:
    """Fills the database that SYNTHMILL_CATALOG_URL names; seconds."""
    engine, start = connect(), time.perf_counter()
    for number in range(releases):
        # Every tenth release is eleven times as large as the others.
        size = images // releases // 2 * (11 if number % 10 == 0 else 1)
        with writing(engine) as connection:
            put(connection, MadeUp(number, size))
    tune(engine)
    return time.perf_counter() - start


def measure() -> list[dict[str, Any]]:
    """Milliseconds of each query, first and then TIMES - 1 times."""
    engine, rows = connect(), []
    for kind, queries in (("releases", RELEASES), ("images", IMAGES)):
        for query in queries:
            times = []
            for _ in range(TIMES):
                start = time.perf_counter()
                with engine.connect() as connection:
                    asked = read(query, set(GATES)).filter
                    found = search.releases(connection, asked, 21) if kind == "releases" else search.images(connection, asked, 51, None)
                times.append(1000 * (time.perf_counter() - start))
            middle = statistics.median(times[1:])
            rows.append({"of": kind, "query": query, "found": len(found), "first": times[0], "median": middle, "worst": max(times[1:])})
    return rows


def table(results: dict[str, Any]) -> str:
    lines = []
    for name, said in results.items():
        filled = f"filled in {said['filled_s']:.0f} s, {said['bytes'] / 2**20:.0f} MiB"
        lines.append(f"{name}: {said['releases']} releases, {said['images']} images, {filled}")
        lines += [f"  {'first':>7} {'median':>7} {'worst':>7}  ms   found  of        query"]
        for row in said["queries"]:
            times = " ".join(f"{row[column]:7.1f}" for column in ("first", "median", "worst"))
            lines.append(f"  {times}       {row['found']:5}  {row['of']:8}  {row['query']}")
        medians, worsts = ([row[column] for row in said["queries"]] for column in ("median", "worst"))
        lines.append(f"  median of all {statistics.median(medians):.1f} ms, worst {max(worsts):.1f} ms; asked for: under {LIMIT_MS} ms\n")
    return "\n".join(lines)


def main() -> None:
    """Prints a table, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1_000_000, help="of all releases together")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    results = {}
    for name in [asked.only] if asked.only else ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            os.environ["SYNTHMILL_CATALOG_URL"] = _sqlite(stack) if name == "sqlite" else _postgresql(stack)
            filled = fill(asked.releases, asked.images)
            said = {"releases": asked.releases, "images": asked.images, "filled_s": filled, "bytes": _bytes(name)}
            results[name] = said | {"queries": measure()}
    print(json.dumps(results, indent=2) if asked.json else table(results))


def _sqlite(stack: ExitStack) -> str:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="synthmill-"))
    return f"sqlite:///{folder}/catalog.db"


def _postgresql(stack: ExitStack) -> str:
    from tests.catalog.postgres import server

    return stack.enter_context(server())


def _bytes(name: str) -> int:
    if name == "sqlite":
        return sum(path.stat().st_size for path in Path(address().database).parent.iterdir())
    with connect().connect() as connection:
        return connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()


if __name__ == "__main__":
    main()
