"""Real images in, Parquet shards out: keyed ids, one size, a split by patient that is written down, and every row accounted for.

python -m tasks.ingest pneumonia
"""

import csv
import hashlib
import io
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

import tasks.sources
from schema.digest import read_json, sha256_json, sha256_pixels, sha256_set, write_bytes, write_json
from schema.errors import SynthmillError, UsageError
from schema.params import ImageFormat, Ingest, Split, load, validate
from schema.plugins import named
from schema.record import REAL, SPLITS, Record, Rejected, encode_png
from schema.settings import id_key, root
from tasks.progress import ticking
from tasks.shards import write_table
from tasks.sources import Source
from tasks.stage import Scratch, ingest_folder, main, reports_folder

if TYPE_CHECKING:
    import pandas as pd


def open_source(dataset: str, params: Ingest) -> Source:
    """The dataset's source, its section checked. Raises UsageError naming what is wrong with it."""
    path = f"datasets.{dataset}.ingest.source"
    plugin = named(tasks.sources, params.source.kind, path)
    return plugin(validate(plugin.Config, params.source.options(), path))


def check_source(dataset: str, params: Ingest) -> Source:
    """The source, once its files are there and its labels are all declared: the cheap checks, before any long work.

    Raises SynthmillError or UsageError naming the file or the key.
    """
    source = open_source(dataset, params)
    source.files()
    undeclared = sorted(source.labels() - set(params.labels))
    if undeclared:
        raise UsageError(
            f"datasets.{dataset}.ingest.labels lacks {', '.join(map(repr, undeclared[:5]))}, which the source has: "
            "declare the label there, or map it to a declared one in the source's section"
        )
    return source


def keyed(dataset: str, kind: str, value: str) -> str:
    """An id that says nothing of the source's own: 16 hexadecimal digits of a BLAKE2b keyed with `SYNTHMILL_ID_KEY` (RFC 7693)."""
    key = hashlib.sha256(id_key()).digest()
    return hashlib.blake2b(f"{dataset}\0{kind}\0{value}".encode(), key=key, digest_size=8).hexdigest()


def assign_split(patient: str, split: Split) -> str:
    """Where a patient belongs, by a hash of the keyed id: the same in every ingest, whoever else comes."""
    place = int.from_bytes(hashlib.sha256(f"{split.salt}:{patient}".encode()).digest()[:8], "big") / 2**64
    return "train" if place < split.train else "holdout" if place < split.train + split.holdout else "test"


def fit_image(pixels: np.ndarray, form: ImageFormat) -> np.ndarray:
    """Any uint8 image as `form.height` x `form.width` x `form.channels`: bicubic with antialiasing."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if form.channels == 1 else "RGB")
    size = (form.width, form.height)
    if form.fit == "pad":
        image = ImageOps.pad(image, size, Image.Resampling.BICUBIC)
    elif form.fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    else:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(form.height, form.width, form.channels)


class Shelves:
    """Collects rows by split and writes a shard whenever one is full, so that memory holds a shard and not the archive."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self.waiting: dict[str, list[dict]] = defaultdict(list)
        self.shards: list[dict] = []

    def put(self, row: dict) -> None:
        rows = self.waiting[row["split"]]
        rows.append(row)
        if len(rows) == self.size:
            self._write(row["split"])

    def close(self) -> list[dict]:
        for split in SPLITS:
            if self.waiting[split]:
                self._write(split)
        return sorted(self.shards, key=lambda entry: (SPLITS.index(entry["split"]), entry["file"]))

    def _write(self, split: str) -> None:
        number = sum(entry["split"] == split for entry in self.shards)
        rows = self.waiting.pop(split)
        name = f"{split}-{number:05d}.parquet"
        digest = write_table(self.folder / name, pa.Table.from_pylist(rows, schema=REAL))
        self.shards.append({"file": name, "split": split, "rows": len(rows), "sha256": digest})


class Register:
    """Turns records into rows, and refuses what cannot be: an id twice, a patient in two splits, an undeclared label."""

    def __init__(self, dataset: str, params: Ingest) -> None:
        self.dataset = dataset
        self.params = params
        self.index: list[dict] = []
        self.quarantined: list[dict] = []
        self.faults: dict[str, list[str]] = defaultdict(list)
        """The source's own ids of what nobody asked to leave out, by reason: for messages alone, never written."""
        self._ids: set[str] = set()
        self._splits: dict[str, str] = {}

    def reject(self, rejected: Rejected) -> None:
        self.quarantined.append({"id": self._key("record", rejected.id), "reason": rejected.reason})
        if not rejected.asked:
            self.faults[rejected.reason].append(rejected.id)

    def row(self, record: Record) -> dict:
        identity = self._key("record", record.id)
        if identity in self._ids:
            raise SynthmillError(f"the source of {self.dataset} has two records with the id {record.id!r}: ids must be unique")
        if record.label not in self.params.labels:
            raise UsageError(
                f"record {record.id!r} has the label {record.label!r}, which datasets.{self.dataset}.ingest.labels does not declare"
            )
        self._ids.add(identity)
        patient = self._key("patient", record.patient)
        split = self._split(record, patient)
        if self._splits.setdefault(patient, split) != split:
            raise SynthmillError(
                f"the patient of record {record.id!r} is in two splits ({self._splits[patient]} and {split}): "
                f"mend the source's split, or set datasets.{self.dataset}.ingest.split.by to patient"
            )
        pixels = fit_image(record.image, self.params.image)
        row = {"id": identity, "patient": patient, "split": split, "label": record.label, "sha256": sha256_pixels(pixels)}
        self.index.append(row)
        return {**row, "image": {"bytes": encode_png(pixels), "path": f"{identity}.png"}}

    def _split(self, record: Record, patient: str) -> str:
        if self.params.split.by == "patient":
            return assign_split(patient, self.params.split)
        if record.split not in SPLITS:
            raise SynthmillError(
                f"record {record.id!r} comes without one of the splits {', '.join(SPLITS)}: "
                f"set datasets.{self.dataset}.ingest.split.by to patient"
            )
        return record.split

    def _key(self, kind: str, value: str) -> str:
        return keyed(self.dataset, kind, value)


def run(dataset: str) -> None:
    """Ingests a dataset's source into data/ingest/<dataset>. Raises SynthmillError for what a person must put right."""
    import pandas as pd

    from tasks.checks import check_manifest

    params = load().dataset(dataset).ingest
    source = check_source(dataset, params)
    register = Register(dataset, params)
    scratch = Scratch("ingest", dataset, params=params.model_dump(mode="json"))
    scratch.keep_only()
    shelves = Shelves(scratch.folder, params.shard_size)
    with ticking("ingest", "reading images", source.count(), "image") as ticker:
        for record in source.records():
            if isinstance(record, Rejected):
                register.reject(record)
            else:
                shelves.put(register.row(record))
            ticker.update()
    _refuse_faults(register)
    shards = shelves.close()
    rows = pd.DataFrame(register.index, columns=["id", "patient", "split", "label", "sha256"])
    _refuse_empty(dataset, rows, params.labels)
    with ticking("ingest", "checking rows", 1, "suite") as ticker:
        checks = check_manifest(rows, dataset, params.labels, reports_folder(dataset) / "data-docs")
        ticker.update()
    if not checks["success"]:
        raise SynthmillError(
            f"the manifest of {dataset} fails {', '.join(checks['failed'])}: see {reports_folder(dataset)}/data-docs/index.html"
        )
    _write_csv(scratch.folder / "splits.csv", ["id", "patient", "split", "label"], rows.to_dict("records"))
    _write_csv(scratch.folder / "quarantine.csv", ["id", "reason"], register.quarantined)
    write_json(
        scratch.folder / "manifest.json",
        _manifest(dataset, params, read_json(root() / "data" / "sources" / f"{dataset}.json"), rows, register.quarantined, checks, shards),
    )
    scratch.move_to(ingest_folder(dataset))


def _refuse_faults(register: Register) -> None:
    """Raises SynthmillError if more of the source is at fault than `max_rejected` allows; says on stderr what is set aside within it."""
    if not register.faults:
        return
    total = len(register.index) + len(register.quarantined)
    faulty = sum(map(len, register.faults.values()))
    reasons = ", ".join(f"{reason} {len(ids)} ({_first(ids)})" for reason, ids in sorted(register.faults.items()))
    limit = register.params.max_rejected
    if faulty / total > limit:
        raise SynthmillError(
            f"{faulty} of {total} images of {register.dataset} cannot be used: {reasons}; mend or remove them in the source, "
            f"or raise datasets.{register.dataset}.ingest.max_rejected (now {limit:g}) to set up to that share of them aside"
        )
    print(f"set aside {faulty} of {total}: {reasons}", file=sys.stderr)


def _first(ids: list[str], most: int = 5) -> str:
    return ", ".join(ids[:most]) + (f" and {len(ids) - most} more" if len(ids) > most else "")


def _refuse_empty(dataset: str, rows: "pd.DataFrame", labels: list[str]) -> None:
    """Every class must be in every split: training, nulls, attacks and scores need it."""
    for split in SPLITS:
        lacking = set(labels) - set(rows.loc[rows["split"] == split, "label"])
        if lacking:
            raise SynthmillError(
                f"{dataset} has no image of {', '.join(map(repr, sorted(lacking)))} in the split {split!r}: {len(rows)} images are too few "
                f"for datasets.{dataset}.ingest.split, or ingest.labels declares a class that the source lacks"
            )


def _manifest(
    dataset, params: Ingest, source: dict, rows: "pd.DataFrame", quarantined: list[dict], checks: dict, shards: list[dict]
) -> dict:
    reasons = Counter(entry["reason"] for entry in quarantined)
    splits = {}
    for split in SPLITS:
        part = rows[rows["split"] == split]
        counts = part["label"].value_counts()
        splits[split] = {
            "images": len(part),
            "patients": int(part["patient"].nunique()),
            "labels": {label: int(counts.get(label, 0)) for label in params.labels},
        }
    return {
        "dataset": dataset,
        "source": source,
        "digest": sha256_set(sha256_json([row.id, row.patient, row.split, row.label, row.sha256]) for row in rows.itertuples()),
        "labels": params.labels,
        "image": params.image.model_dump(mode="json", include={"height", "width", "channels"}),
        "counts": {"in": len(rows) + len(quarantined), "out": len(rows), "quarantined": dict(sorted(reasons.items()))},
        "splits": splits,
        "checks": checks,
        "shards": shards,
    }


def _write_csv(path: Path, columns: list[str], rows: list[dict]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, stream.getvalue().encode())


if __name__ == "__main__":
    main(run)
