"""A workspace in which ingest has run: a few small images of two classes, made by hand, ready to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from schema.digest import sha256_pixels, write_json
from schema.record import REAL, SPLITS, encode_png
from tasks.shards import write_table
from tests.conftest import CHECKOUT

TRAIN = {"kind": "ddpm", "channels": [8, 16], "steps": 60, "batch_size": 8, "warmup": 2, "timesteps": 50, "checkpoint_every": 10}


def workspace(folder: Path, *datasets: str, source: str = "image-folder", **train: Any) -> Path:
    """24 ingested images of 16 x 16 pixels, a class in dark and one in light, in each of the datasets (`tiny` unless named)."""
    written = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    written["build"] = list(datasets or ["tiny"])
    written["datasets"] = {name: {**written["datasets"]["phantom-cxr"], "train": {**TRAIN, **train}} for name in written["build"]}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(written))
    for name in written["build"]:
        _ingest(folder / "data" / "ingest" / name, source)
    return folder


def _ingest(folder: Path, source: str) -> None:
    rows = []
    for k, noise in enumerate(np.random.default_rng(0).integers(0, 64, (24, 16, 16), dtype=np.uint8)):
        pixels = noise + np.uint8(160 * (k % 2))
        image = {"bytes": encode_png(pixels), "path": f"{k}.png"}
        row = {"id": str(k), "patient": str(k), "split": "train", "label": "ab"[k % 2], "image": image}
        rows.append({**row, "sha256": sha256_pixels(pixels)})
    digest = write_table(folder / "train-00000.parquet", pa.Table.from_pylist(rows, schema=REAL))
    shards = [{"file": "train-00000.parquet", "split": "train", "rows": 24, "sha256": digest}]
    counts = {"images": 24, "patients": 24, "labels": {"a": 12, "b": 12}}
    said = {"digest": "d", "labels": ["a", "b"], "shards": shards, "splits": dict.fromkeys(SPLITS, counts), "source": {"kind": source}}
    write_json(folder / "manifest.json", {**said, "image": {"height": 16, "width": 16, "channels": 1}})
