"""How fast a large release is read, and in how much memory.

    python -m bench.reading                    # a million images of 64 x 64: two minutes, 6 GB in a temporary folder
    python -m bench.reading --images 100000

Writes a release's Parquet files as the release stage does, from 2048 different images in turn (about 3 kB each as PNG), then reads them
with `catalog`: by index in random order as torch does, and from first to last in batches. One thread; times are those of the clock. Each
measurement has a process of its own, which has torch loaded before it starts; memory is the growth of that process' peak.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH, SIDE, DIFFERENT, FILE_ROWS = 256, 64, 2048, 100_000


def main() -> None:
    """Prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the files here, and read those that are here already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        folder = asked.folder or Path(scratch)
        if not (folder / "data").is_dir():
            write(folder, asked.images)
        found = {}
        for name, measure in {"first opening": by_index, "by index": by_index, "stream": stream}.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found[name] = pool.apply(measure, (folder,))
    print(json.dumps(found, indent=2))


def write(folder: Path, images: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from schema.record import encode_png, synthetic_schema
    from tasks.exports.parquet import GROUP_ROWS

    generator = np.random.default_rng(0)

    def image() -> np.ndarray:
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12), dtype=np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.clip(np.asarray(coarse) + generator.integers(-6, 7, (SIDE, SIDE)), 0, 255).astype(np.uint8)

    pngs = [encode_png(image()) for _ in range(DIFFERENT)]
    schema = synthetic_schema(["normal", "pneumonia"])
    files = -(-images // FILE_ROWS)
    (folder / "data").mkdir(parents=True)
    for number in range(files):
        rows = range(number * FILE_ROWS, min((number + 1) * FILE_ROWS, images))
        with pq.ParquetWriter(folder / "data" / f"train-{number:05d}-of-{files:05d}.parquet", schema, compression="zstd") as writer:
            for start in range(rows.start, rows.stop, GROUP_ROWS):
                group = [row(k, pngs) for k in range(start, min(start + GROUP_ROWS, rows.stop))]
                writer.write_table(pa.Table.from_pylist(group, schema=schema))


def row(k: int, pngs: list[bytes]) -> dict:
    name = f"bench-{k:07d}"
    image = {"bytes": pngs[k % len(pngs)], "path": f"{name}.png"}
    label = ("normal", "pneumonia")[k % 2]
    return {"id": name, "image": image, "label": k % 2, "label_name": label, "seed": k, "sha256": f"{k:064x}"}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_index(folder: Path) -> dict[str, float]:
    """Opening, the first batch and further ones of 256 rows drawn at random, 41 in all, which the first time are read from Parquet."""
    import torch

    from catalog.rows import Rows
    from catalog.tensors import Images

    torch.set_num_threads(1)
    before, start = peak(), time.perf_counter()
    images = Images(Rows.of(folder), folder)
    opened = time.perf_counter()
    drawn = np.random.default_rng(0).integers(0, len(images), (41, BATCH)).tolist()
    torch.stack([image for image, _ in images.__getitems__(drawn[0])])
    first, seconds = time.perf_counter(), []
    for indices in drawn[1:]:
        begun = time.perf_counter()
        torch.stack([image for image, _ in images.__getitems__(indices)])
        seconds.append(time.perf_counter() - begun)
    return {
        "open_s": round(opened - start, 3),
        "first_batch_s": round(first - opened, 3),
        "batch_ms": round(1000 * statistics.median(seconds), 1),
        "fastest_batch_ms": round(1000 * min(seconds), 1),
        "memory_mb": round(peak() - before),
    }


def stream(folder: Path) -> dict[str, float]:
    """Every row once, all columns, images as PNG."""
    import pyarrow as pa
    import torch  # noqa: F401

    from catalog.rows import Rows

    before, start = peak(), time.perf_counter()
    batches = Rows.of(folder).batches()
    rows = next(batches).num_rows
    first = time.perf_counter()
    rows += sum(batch.num_rows for batch in batches)
    took = time.perf_counter() - start
    arrow = pa.default_memory_pool().max_memory() / 2**20
    return {
        "first_batch_s": round(first - start, 3),
        "all_s": round(took, 2),
        "rows_per_s": round(rows / took),
        "memory_mb": round(peak() - before),
        "arrow_mb": round(arrow, 1),
    }


if __name__ == "__main__":
    main()
