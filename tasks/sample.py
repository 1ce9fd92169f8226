"""Draws the synthetic images, shard by shard; a rerun keeps the shards that are whole and makes the rest, to the same bytes.

python -m tasks.sample pneumonia
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.watermark import embed
from models.watermark import objection as watermark_objection
from schema.conditions import WITHHELD, Condition, attributes, codes
from schema.digest import Digests, read_json, sha256_json, sha256_pixels, write_json
from schema.errors import UsageError
from schema.params import Sample, load
from schema.record import encode_png, synthetic_schema
from schema.release import record_digest
from tasks.progress import ticking
from tasks.shards import columns, keep, kept, manifest, tables
from tasks.stage import Scratch, ingest_folder, main, model_folder, samples_folder

FEW = 10
"""Patients below which shares of theirs would say what each of them is."""

GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio's fractional part: its multiples fill the unit interval evenly, however many are taken."""


def labels_of(first: int, last: int, shares: np.ndarray) -> np.ndarray:
    """Class indices, int64, of images `first` to `last` - 1: image i's depends on i and the class shares alone, not on how many
    are drawn, and the counts stay within a few of the shares (an additive recurrence; Kuipers, Niederreiter 1974, ch. 2)."""
    place = np.modf((np.arange(first, last) + 0.5) * GOLDEN)[0]
    return np.searchsorted(np.cumsum(shares)[:-1] / shares.sum(), place, side="right").astype(np.int64)


@dataclass(frozen=True)
class Shares:
    """How often each class is drawn, and within it each word of a condition: `classes` of length C, `words` an array C x values for each
    condition. Conditions are drawn apart from one another, given the class: what was said of one patient comes together by chance alone."""

    classes: np.ndarray
    words: list[np.ndarray]

    def conditions(self, first: int, last: int, plan: Sample, left_out: list[bool]) -> np.ndarray:
        """int64, (last - first) x (1 + K): what images `first` to `last` - 1 are of; each depends on its own number and seed alone."""
        labels = labels_of(first, last, self.classes)
        told = np.full((last - first, 1 + len(self.words)), WITHHELD)
        told[:, 0] = labels
        for row, label in enumerate(labels if self.words else ()):
            places = np.random.default_rng([plan.base_seed + first + row, 1]).random(len(self.words))
            for column, (place, words) in enumerate(zip(places, self.words, strict=True)):
                if not left_out[column]:
                    bounds = np.cumsum(words[label])
                    told[row, 1 + column] = np.searchsorted(bounds[:-1], place * bounds[-1], side="right")
        return told


def shares_of(dataset: str, plan: Sample, said: dict, told: list[Condition]) -> Shares:
    """As in the training images, or equal. Of a class with fewer than FEW patients of whom a condition is known, its shares in all classes
    stand in, and of so few patients in all, equal ones: else every row of a rare class would say what was said of one patient."""
    n = len(said["labels"])
    if plan.prevalence == "uniform":
        return Shares(np.ones(n), [np.ones((n, len(condition.values))) for condition in told])
    counts = np.array([said["splits"]["train"]["labels"][label] for label in said["labels"]], dtype=float)
    if not told:
        return Shares(counts, [])
    names = ["label", "patient", *dict.fromkeys(condition.attribute for condition in told)]
    rows = columns(ingest_folder(dataset), said, "train", names)
    labels = np.array([said["labels"].index(label) for label in rows["label"].to_pylist()])
    patients = np.unique(rows["patient"].to_pylist(), return_inverse=True)[1]
    found = codes(told, {name: rows[name].to_pylist() for name in rows.column_names}, len(labels))
    return Shares(counts, [_words_of(found[:, place], labels, patients, (n, len(one.values))) for place, one in enumerate(told)])


def _words_of(found: np.ndarray, labels: np.ndarray, patients: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Shares of the words of one condition by class: float64, classes x words. Each patient counts once for a word of a class."""
    known = found != WITHHELD
    seen = np.unique(np.stack([labels[known], patients[known], found[known]], axis=1), axis=0)
    table = np.zeros(shape)
    np.add.at(table, (seen[:, 0], seen[:, 2]), 1)
    overall = table.sum(axis=0) if len(np.unique(seen[:, 1])) >= FEW else np.ones(shape[1])
    for label in range(shape[0]):
        if len(np.unique(seen[seen[:, 0] == label, 1])) < FEW:
            table[label] = overall
    return table


def draw(generator, plan: Sample, first: int, last: int, shares: Shares, tick) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and conditions of images `first` to `last` - 1, in whole batches: a batch that reaches over the end is drawn
    in full and cut, so that image i is the same whatever n is. `first` must be the start of a batch."""
    left_out = [condition.attribute in plan.leave_out for condition in generator.conditions]
    told = shares.conditions(first, last + plan.batch_size, plan, left_out)
    pixels = []
    for start in range(first, last, plan.batch_size):
        batch = told[start - first : start - first + plan.batch_size]
        pixels.append(generator.sample(plan.base_seed + np.arange(start, start + plan.batch_size), batch, plan))
        tick(min(plan.batch_size, last - start))
    drawn = np.concatenate(pixels)[: last - first]
    return np.stack([embed(image) for image in drawn]) if plan.watermark else drawn, told[: last - first]


def released(conditions: list[Condition], plan: Sample) -> list[Condition]:
    """The conditions whose words the images are released with."""
    return [condition for condition in conditions if condition.attribute not in plan.leave_out]


def to_table(
    dataset: str, first: int, pixels: np.ndarray, told: np.ndarray, names: list[str], plan: Sample, conditions: list[Condition]
) -> pa.Table:
    """`told` has a column for the class and one for each of `conditions`."""
    shown = released(conditions, plan)
    places = [1 + place for place, condition in enumerate(conditions) if condition in shown]
    rows = [
        {
            "id": f"{dataset}-{number:07d}",
            "image": {"bytes": encode_png(image, synthetic=True), "path": f"{dataset}-{number:07d}.png"},
            "label": int(row[0]),
            "label_name": names[row[0]],
            **attributes(shown, row[places]),
            "seed": plan.base_seed + number,
            "sha256": sha256_pixels(image),
        }
        for number, (image, row) in enumerate(zip(pixels, told, strict=True), start=first)
    ]
    return pa.Table.from_pylist(rows, schema=synthetic_schema(names, shown))


def run(dataset: str) -> None:
    """Samples into data/samples/<dataset>. Raises SynthmillError without a trained model, IntegrityError for a harmed one."""
    from models.determinism import settle

    settle()
    from tasks import weights

    plan = load().dataset(dataset).sample
    said = manifest(ingest_folder(dataset))
    generator, model = weights.open_model(model_folder(dataset))
    if objection := generator.objections(generator.config, generator.shape, plan):
        raise UsageError(f"datasets.{dataset}: {objection}")
    if plan.watermark and (objection := watermark_objection(said["image"]["height"], said["image"]["width"])):
        raise UsageError(f"datasets.{dataset}.sample.watermark: {objection}")
    shares = shares_of(dataset, plan, said, generator.conditions)
    # The count decides which shards there are, not what is in a whole one.
    decides = {
        "plan": plan.model_dump(exclude={"n"}),
        "model": model["digest"],
        "shares": [part.tolist() for part in (shares.classes, *shares.words)],
        "labels": said["labels"],
    }
    scratch = Scratch("sample", dataset, **decides)
    with ticking("sample", f"drawing with {plan.sampler}, {plan.steps} steps", plan.n, "image") as ticker:
        for first in range(0, plan.n, plan.shard_size):
            last = min(first + plan.shard_size, plan.n)
            path = scratch.folder / f"shard-{first // plan.shard_size:05d}.parquet"
            fingerprint = sha256_json([scratch.fingerprint, first, last])
            if kept(path, fingerprint):
                ticker.update(last - first)
                continue
            pixels, told = draw(generator, plan, first, last, shares, ticker.update)
            keep(path, to_table(dataset, first, pixels, told, said["labels"], plan, generator.conditions), fingerprint)
    written = _manifest(dataset, plan, said, model, released(generator.conditions, plan), scratch.folder)
    shards = [Path(entry["file"]) for entry in written["shards"]]
    scratch.keep_only(*(name for path in shards for name in (path.name, path.with_suffix(".json").name)))
    write_json(scratch.folder / "manifest.json", written)
    scratch.move_to(samples_folder(dataset))


def _manifest(dataset: str, plan: Sample, said: dict, model: dict, conditions: list[Condition], folder: Path) -> dict:
    witnesses = [read_json(folder / f"shard-{number:05d}.json") for number in range(-(-plan.n // plan.shard_size))]
    shards = [
        {"file": f"shard-{number:05d}.parquet", "rows": entry["rows"], "sha256": entry["sha256"]} for number, entry in enumerate(witnesses)
    ]
    counts = dict.fromkeys(said["labels"], 0)
    digests = Digests()
    for _, table in tables(folder, {"shards": shards}):
        for row in table.drop_columns(["image"]).to_pylist():
            counts[row["label_name"]] += 1
            digests.add(bytes.fromhex(record_digest(row, row["sha256"])))
    return {
        "dataset": dataset,
        "digest": digests.sha256(),
        "n": plan.n,
        "labels": counts,
        "conditions": [condition.model_dump(mode="json") for condition in conditions],
        "model": model["digest"],
        "params": plan.model_dump(mode="json"),
        "image": said["image"],
        "shards": shards,
    }


if __name__ == "__main__":
    main(run)
