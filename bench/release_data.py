"""A workspace in which all stages before `release` have run, with as many images as asked: what bench.release measures on."""

import subprocess
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image

from schema import params
from schema.digest import sha256_json, sha256_pixels, sha256_set, write_json
from schema.record import REAL, encode_png, synthetic_schema
from schema.release import record_digest
from schema.settings import ROOT
from tasks.configs import generator_config
from tasks.shards import write_table

NAME = "bench"
CLASSES = ["normal", "opacity"]
SIDE, DIFFERENT, SHARD_ROWS = 64, 2048, 8192
MODEL = "d" * 64


def build(root: Path, images: int) -> None:
    """Writes params.yaml, two real images, the model's description, `images` samples and a public report, and commits what git has.
    Two processes draw."""
    root.mkdir(parents=True)
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    dataset = next(iter(written["datasets"].values()))
    dataset["ingest"] = {**dataset["ingest"], "image": {"height": SIDE, "width": SIDE, "channels": 1}, "labels": CLASSES}
    dataset["sample"] = {**dataset["sample"], "n": images, "base_seed": 0, "shard_size": SHARD_ROWS}
    (root / "params.yaml").write_text(yaml.safe_dump({**written, "build": [NAME], "datasets": {NAME: dataset}}))
    (root / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    (root / ".gitignore").write_text("/data/\n/reports/\n")
    git = ["git", "-C", str(root), "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "bench"]):
        subprocess.run([*git, *words], check=True)
    section = params.load(root / "params.yaml").dataset(NAME)
    write_ingest(root / "data" / "ingest" / NAME)
    write_samples(root / "data" / "samples" / NAME, section, images)
    said = {"digest": MODEL, "kind": "ddpm", "parameters": 1, "canaries": None, "privacy": None}
    write_json(root / "data" / "models" / NAME / "model.json", {**said, "params": generator_config(NAME, section).model_dump(mode="json")})
    public = root / "reports" / NAME / "report" / "public"
    write_json(public / "report.json", {"not_measured": [], "limits": []})
    (public / "report.html").write_text("<p>Made up.</p>\n")


def write_ingest(folder: Path) -> None:
    """Two images of noise, in the layout of ingest."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(2):
        image = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        told = {"id": f"{number:016x}", "patient": f"{number:016x}", "split": "train", "label": CLASSES[number]}
        rows.append({**told, "image": {"bytes": encode_png(image), "path": f"{number}.png"}, "sha256": sha256_pixels(image)})
    shard = {"file": "train-00000.parquet", "split": "train", "rows": 2}
    shard["sha256"] = write_table(folder / shard["file"], pa.Table.from_pylist(rows, schema=REAL))
    image, source = {"height": SIDE, "width": SIDE, "channels": 1}, {"kind": "phantom", "digest": "5" * 64}
    digest = sha256_set(sha256_json([row["id"], row["sha256"]]) for row in rows)
    write_json(folder / "manifest.json", {"source": source, "digest": digest, "labels": CLASSES, "image": image, "shards": [shard]})


def write_samples(folder: Path, section: params.Dataset, images: int) -> None:
    """Shards and a manifest as the stage `sample` writes them."""
    folder.mkdir(parents=True)
    starts = range(0, images, SHARD_ROWS)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        made = list(pool.map(write_shard, [folder] * len(starts), starts, [min(SHARD_ROWS, images - start) for start in starts]))
    write_json(
        folder / "manifest.json",
        {
            "dataset": NAME,
            "digest": sha256_set(digest for _, digests in made for digest in digests),
            "n": images,
            "labels": {name: len(range(label, images, len(CLASSES))) for label, name in enumerate(CLASSES)},
            "conditions": [],
            "model": MODEL,
            "params": section.sample.model_dump(mode="json"),
            "image": {"height": SIDE, "width": SIDE, "channels": 1},
            "shards": [shard for shard, _ in made],
        },
    )


def write_shard(folder: Path, start: int, count: int) -> tuple[dict, list[str]]:
    """Its entry in the manifest, and the digests of its records."""
    rows = [row(k) for k in range(start, start + count)]
    shard = {"file": f"shard-{start // SHARD_ROWS:05d}.parquet", "rows": count}
    shard["sha256"] = write_table(folder / shard["file"], pa.Table.from_pylist(rows, schema=synthetic_schema(CLASSES)))
    return shard, [record_digest(row, row["sha256"]) for row in rows]


def row(k: int) -> dict:
    name, (pixels, png) = f"{NAME}-{k:07d}", image(k)
    told = {"id": name, "image": {"bytes": png, "path": f"{name}.png"}, "label": k % 2, "label_name": CLASSES[k % 2], "seed": k}
    return {**told, "sha256": sha256_pixels(pixels)}


def image(k: int) -> tuple[np.ndarray, bytes]:
    """uint8, SIDE x SIDE, and its PNG, about 3 kB: one of DIFFERENT images of blurred noise, with `k` in black and white in its lowest row,
    so that no two are the same."""
    pixels = blurred(k % DIFFERENT).copy()
    pixels[-1, :32] = [255 * (k >> bit & 1) for bit in range(32)]
    return pixels, encode_png(pixels, synthetic=True)


@cache
def blurred(number: int) -> np.ndarray:
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12), dtype=np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + random.integers(-6, 7, (SIDE, SIDE)), 0, 255).astype(np.uint8)
