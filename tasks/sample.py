"""Draws the synthetic images, shard by shard; a rerun keeps the shards that are whole and makes the rest, to the same bytes.

python -m tasks.sample pneumonia
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from schema.digest import read_json, sha256_json, sha256_pixels, sha256_set, write_json
from schema.params import Sample, load
from schema.record import encode_png, synthetic_schema
from tasks.progress import ticking
from tasks.shards import keep, kept, manifest, tables
from tasks.stage import Scratch, ingest_folder, main, model_folder, samples_folder

GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio's fractional part: its multiples fill the unit interval evenly, however many are taken."""


def labels_of(first: int, last: int, shares: np.ndarray) -> np.ndarray:
    """Class indices, int64, of images `first` to `last` - 1: image i's depends on i and the class shares alone, not on how many
    are drawn, and the counts stay within a few of the shares (an additive recurrence; Kuipers, Niederreiter 1974, ch. 2)."""
    place = np.modf((np.arange(first, last) + 0.5) * GOLDEN)[0]
    return np.searchsorted(np.cumsum(shares)[:-1] / shares.sum(), place, side="right").astype(np.int64)


def class_shares(plan: Sample, said: dict) -> np.ndarray:
    if plan.prevalence == "uniform":
        return np.ones(len(said["labels"]))
    return np.array([said["splits"]["train"]["labels"][label] for label in said["labels"]], dtype=float)


def draw(generator, plan: Sample, first: int, last: int, shares: np.ndarray, tick) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and class indices of images `first` to `last` - 1, in whole batches: a batch that reaches over the end is drawn
    in full and cut, so that image i is the same whatever n is. `first` must be the start of a batch."""
    labels = labels_of(first, last + plan.batch_size, shares)
    pixels = []
    for start in range(first, last, plan.batch_size):
        batch = labels[start - first : start - first + plan.batch_size]
        pixels.append(generator.sample(plan.base_seed + np.arange(start, start + plan.batch_size), batch, plan))
        tick(min(plan.batch_size, last - start))
    return np.concatenate(pixels)[: last - first], labels[: last - first]


def to_table(dataset: str, first: int, pixels: np.ndarray, labels: np.ndarray, names: list[str], plan: Sample) -> pa.Table:
    rows = [
        {
            "id": f"{dataset}-{number:07d}",
            "image": {"bytes": encode_png(image), "path": f"{dataset}-{number:07d}.png"},
            "label": int(label),
            "label_name": names[label],
            "seed": plan.base_seed + number,
            "sha256": sha256_pixels(image),
        }
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True), start=first)
    ]
    return pa.Table.from_pylist(rows, schema=synthetic_schema(names))


def run(dataset: str) -> None:
    """Samples into data/samples/<dataset>. Raises SynthmillError without a trained model, IntegrityError for a harmed one."""
    from models.determinism import settle

    settle()
    from tasks import weights

    plan = load().dataset(dataset).sample
    said = manifest(ingest_folder(dataset))
    generator, model = weights.open_model(model_folder(dataset))
    shares = class_shares(plan, said)
    # The count decides which shards there are, not what is in a whole one.
    decides = {"plan": plan.model_dump(exclude={"n"}), "model": model["digest"], "shares": shares.tolist(), "labels": said["labels"]}
    scratch = Scratch("sample", dataset, **decides)
    with ticking("sample", f"drawing with {plan.sampler}, {plan.steps} steps", plan.n, "image") as ticker:
        for first in range(0, plan.n, plan.shard_size):
            last = min(first + plan.shard_size, plan.n)
            path = scratch.folder / f"shard-{first // plan.shard_size:05d}.parquet"
            fingerprint = sha256_json([scratch.fingerprint, first, last])
            if kept(path, fingerprint):
                ticker.update(last - first)
                continue
            pixels, labels = draw(generator, plan, first, last, shares, ticker.update)
            keep(path, to_table(dataset, first, pixels, labels, said["labels"], plan), fingerprint)
    written = _manifest(dataset, plan, said, model, scratch.folder)
    shards = [Path(entry["file"]) for entry in written["shards"]]
    scratch.keep_only(*(name for path in shards for name in (path.name, path.with_suffix(".json").name)))
    write_json(scratch.folder / "manifest.json", written)
    scratch.move_to(samples_folder(dataset))


def _manifest(dataset: str, plan: Sample, said: dict, model: dict, folder: Path) -> dict:
    witnesses = [read_json(folder / f"shard-{number:05d}.json") for number in range(-(-plan.n // plan.shard_size))]
    shards = [
        {"file": f"shard-{number:05d}.parquet", "rows": entry["rows"], "sha256": entry["sha256"]} for number, entry in enumerate(witnesses)
    ]
    counts = dict.fromkeys(said["labels"], 0)
    digests = []
    for _, table in tables(folder, {"shards": shards}):
        for row in table.select(["id", "label_name", "sha256"]).to_pylist():
            counts[row["label_name"]] += 1
            digests.append(sha256_json([row["id"], row["label_name"], row["sha256"]]))
    return {
        "dataset": dataset,
        "digest": sha256_set(digests),
        "n": plan.n,
        "labels": counts,
        "model": model["digest"],
        "params": plan.model_dump(mode="json"),
        "image": said["image"],
        "shards": shards,
    }


if __name__ == "__main__":
    main(run)
