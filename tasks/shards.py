"""Parquet shards: written whole or not at all, each with a small JSON beside it that says what made it, and its digest."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schema.conditions import Condition, codes
from schema.digest import read_json, settle_file, sha256_bytes, sha256_file, write_bytes, write_json
from schema.errors import IntegrityError, SynthmillError
from schema.images import Images, RealImages
from schema.record import decode_png
from tasks.stage import ingest_folder, samples_folder

ROW_GROUP = 256
"""Rows that are compressed together, and read at one go."""

T = TypeVar("T")


def write_table(path: Path, table: pa.Table) -> str:
    """Writes a table as one Parquet file, atomically; its sha256. The same rows give the same bytes."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd", row_group_size=ROW_GROUP, write_page_index=True)
    write_bytes(path, stream.getvalue())
    return sha256_bytes(stream.getvalue())


def write_rows(path: Path, rows: Iterable[dict], schema: pa.Schema) -> str:
    """Writes rows as one Parquet file, a row group at a time, atomically; its sha256. The same rows give the same bytes."""
    temporary = path.with_name(f".{path.name}.tmp")
    with pq.ParquetWriter(temporary, schema, compression="zstd", write_page_index=True) as writer:
        for group in batched(rows, ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    return settle_file(temporary, path)


def batched(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Runs of up to `n` items (itertools has this from Python 3.12 on)."""
    iterator = iter(items)
    while run := list(islice(iterator, n)):
        yield run


def keep(path: Path, table: pa.Table, fingerprint: str) -> None:
    """Writes a shard and then the JSON that vouches for it."""
    digest = write_table(path, table)
    write_json(path.with_suffix(".json"), {"fingerprint": fingerprint, "rows": table.num_rows, "sha256": digest})


def kept(path: Path, fingerprint: str) -> bool:
    """Whether a whole and unharmed shard of this fingerprint is there."""
    witness = path.with_suffix(".json")
    if not (path.is_file() and witness.is_file()):
        return False
    said = read_json(witness)
    return said["fingerprint"] == fingerprint and said["sha256"] == sha256_file(path)


def tables(folder: Path, manifest: dict) -> Iterator[tuple[dict, pa.Table]]:
    """Each shard that a manifest names, with its entry. Raises IntegrityError for one that is missing or not what was written."""
    for entry in manifest["shards"]:
        path = folder / entry["file"]
        if not path.is_file() or sha256_file(path) != entry["sha256"]:
            raise IntegrityError(f"{path} is missing or its bytes have changed since it was written: delete its folder and run again")
        yield entry, pq.read_table(path)


def columns(folder: Path, manifest: dict, split: str, names: list[str]) -> pa.Table:
    """Some columns of all rows of a split, their shards checked by digest as `tables` does."""
    mine = {**manifest, "shards": [entry for entry in manifest["shards"] if entry["split"] == split]}
    return pa.concat_tables([table.select(names) for _, table in tables(folder, mine)])


def manifest(folder: Path) -> dict:
    """The manifest of an out. Raises SynthmillError where the stage that makes it has not run."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: run the stages before this one first (`./mill run {folder.name}` runs them all)")
    return read_json(path)


def real_images(dataset: str, *splits: str, conditions: Sequence[Condition] = ()) -> dict[str, Images]:
    """The real images of the splits asked for, in memory, with the codes of what a generator is told of them."""
    folder = ingest_folder(dataset)
    said = manifest(folder)
    rows: dict[str, list[pa.Table]] = {split: [] for split in splits}
    wanted = {**said, "shards": [entry for entry in said["shards"] if entry["split"] in splits]}
    for entry, table in tables(folder, wanted):
        rows[entry["split"]].append(table)
    found = {}
    for split, parts in rows.items():
        table = pa.concat_tables(parts)
        columns = {condition.attribute: table[condition.attribute].to_pylist() for condition in conditions}
        told = codes(conditions, columns, table.num_rows)
        found[split] = replace(_images(table, said["labels"], "label", "patient"), codes=told)
    return found


def real_splits(dataset: str, conditions: Sequence[Condition] = ()) -> RealImages:
    return RealImages(**real_images(dataset, "train", "holdout", "test", conditions=conditions))


def synthetic_images(dataset: str) -> Images:
    folder = samples_folder(dataset)
    said = manifest(folder)
    table = pa.concat_tables([table for _, table in tables(folder, said)])
    return _images(table, list(said["labels"]), "label_name", "id")


def _images(table: pa.Table, classes: list[str], label: str, patient: str) -> Images:
    pixels = np.stack([decode_png(image["bytes"]) for image in table["image"].to_pylist()])
    labels = np.array([classes.index(name) for name in table[label].to_pylist()], dtype=np.int64)
    return Images(pixels, labels, table["id"].to_pylist(), table[patient].to_pylist(), classes)
