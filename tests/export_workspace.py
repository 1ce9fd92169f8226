"""A release folder made by hand with the real layout, small, of any shape; its records are drawn by seed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import release_workspace as rw

from catalog import sums
from schema.digest import sha256_file, sha256_pixels, sha256_set, write_json
from schema.record import encode_png, synthetic_schema
from schema.release import files_digest, record_digest
from tasks.exports import Draft, Folder
from tasks.exports.parquet import Plugin as Parquet

VERSION = "v1.2.0"


def pixels(seed: int, shape: tuple[int, ...] = (16, 14)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rows_of(n: int, shape: tuple[int, ...], classes: list[str], marked: bool = True) -> list[dict]:
    rows = []
    for number in range(n):
        image, identity = pixels(number, shape), f"{rw.NAME}-{number:07d}"
        png = {"bytes": encode_png(image, synthetic=marked), "path": f"{identity}.png"}
        said = {"view": rw.TOLD[0].values[number // 2 % 2], "findings": ["Effusion", "Mass"][: number % 3]}
        label = number % len(classes)
        row = {"id": identity, "image": png, "label": label, "label_name": classes[label], **said, "seed": 500 + number}
        rows.append({**row, "sha256": sha256_pixels(image)})
    return rows


def release(path: Path, n: int = 5, shape: tuple[int, ...] = (16, 14), classes: list[str] = rw.CLASSES, marked: bool = True) -> Folder:
    rows = rows_of(n, shape, classes, marked)
    shard = path.with_name(f"{path.name}.shard.parquet")
    path.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=synthetic_schema(classes, rw.TOLD)), shard)
    Parquet().write(Draft(rw.NAME, classes, [shard], n, rw.TOLD), path)
    shard.unlink()
    records = sha256_set(record_digest(row, row["sha256"]) for row in rows)
    files = files_digest({name: sha256_file(path / name) for name in sums.files(path)})
    head = "---\nlicense: cc-by-4.0\npretty_name: Synthetic test images\n---\n"
    (path / "README.md").write_text(f"{head}# Synthetic test images\n", encoding="utf-8")
    write_json(
        path / "provenance.json",
        {
            "dataset": rw.NAME,
            "version": VERSION,
            "previous": None,
            "images": n,
            "labels": {name: sum(row["label_name"] == name for row in rows) for name in classes},
            "conditions": [condition.model_dump(mode="json") for condition in rw.TOLD],
            "image": {"height": shape[0], "width": shape[1], "channels": shape[2] if len(shape) > 2 else 1},
            "digests": {"records": records, "files": files},
            "gates": [],
            "model": {"kind": "ddpm"},
            "code": {"commit": "0" * 40, "modified": False},
        },
    )
    sums.write(path)
    return Folder(path)
