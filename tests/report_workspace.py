"""A workspace in which every stage before `report` has run: small, made by hand, with the layouts and digests of the real stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import tasks.gates
from schema import plugins
from schema.digest import sha256_json, sha256_pixels, write_json
from schema.record import REAL, encode_png, synthetic_schema
from schema.verdict import Subject, Verdict
from tasks import report
from tasks.reporting import power
from tasks.reporting.editions import public
from tasks.reporting.facts import collect
from tasks.reporting.gather import read
from tasks.reporting.nearest import compare
from tasks.shards import write_table
from tests.report_verdicts import LABELS, PANEL, POWER, verdict

NAME = "lungs"
HOSTILE = '<script>alert("x")</script> & "Co"'
SUBJECT = Subject(**{name: sha256_json(name) for name in ("real", "model", "synthetic")})
GATE = """
from schema.params import GateConfig
from tasks.gates import Gate
class Plugin(Gate):
    kind = {kind!r}
    Config = GateConfig
    direction = "at_most"
    method = "A test's own."
"""


def draw(rng: np.random.Generator, n: int, size: int = 16) -> np.ndarray:
    return rng.integers(0, 256, (n, size, size, 1), dtype=np.uint8)


def real_id(split: str, row: int) -> str:
    return sha256_json([split, row])[:16]


def real_table(pixels: np.ndarray, split: str, labels: list[str]) -> pa.Table:
    rows = [
        {
            "id": real_id(split, row),
            "patient": sha256_json([split, row, "patient"])[:16],
            "split": split,
            "label": label,
            "image": {"bytes": encode_png(image), "path": f"{row}.png"},
            "sha256": sha256_pixels(image),
        }
        for row, (image, label) in enumerate(zip(pixels, labels, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=REAL)


def build(root: Path, real: dict[str, tuple[np.ndarray, list[str]]], synthetic: tuple[np.ndarray, list[str]], **card: str) -> None:
    """The outs of ingest, train, sample and gate for the dataset NAME."""
    height, width, channels = synthetic[0].shape[1:]
    image = {"height": height, "width": width, "channels": channels}
    write_ingest(root, real, image)
    training = {"kind": "ddpm", "channels": [16, 32], "lr": 0.001, "steps": 900, "init": "/srv/weights/init.pt"}
    drawing = {"n": len(synthetic[0]), "sampler": "dpm-solver++", "steps": 20, "base_seed": 1000}
    model = {
        "digest": SUBJECT.model,
        "kind": "ddpm",
        "parameters": 690000,
        "params": training,
        "dataset_digest": SUBJECT.real,
        "loss": 0.0421,
        "canaries": {"n": 128, "seed": 9, "included": 61, "digest": sha256_json("canaries")},
    }
    write_json(root / "data" / "models" / NAME / "model.json", model)
    write_samples(root, synthetic, drawing, image)
    words = {"title": "Lungs", "description": "Drawn.", "license": "CC0-1.0", "modality": "X-ray", "source_license": "CC0-1.0", **card}
    section = {
        "card": words,
        "ingest": {"source": {"kind": "phantom"}, "image": image, "labels": LABELS},
        "train": training,
        "sample": drawing,
        "gates": {kind: {"threshold": bound, "required": required} for kind, (bound, required) in PANEL.items()},
    }
    text = yaml.safe_dump({"build": [NAME], "panel": list(PANEL), "datasets": {NAME: section}})
    (root / "params.yaml").write_text(text, encoding="utf-8")
    for kind in PANEL:
        verdict(kind, SUBJECT, ids(real, synthetic)).save(verdict_path(root, kind))


def ids(real: dict, synthetic: tuple) -> dict[str, list[str]]:
    named = {split: [real_id(split, row) for row in range(len(pixels))] for split, (pixels, _) in real.items()}
    return {**named, "synthetic": [f"{NAME}-{row:08d}" for row in range(len(synthetic[0]))]}


def write_ingest(root: Path, real: dict[str, tuple[np.ndarray, list[str]]], image: dict) -> None:
    folder = root / "data" / "ingest" / NAME
    splits, shards = {}, []
    for split, (pixels, labels) in real.items():
        digest = write_table(folder / f"{split}-00000.parquet", real_table(pixels, split, labels))
        shards.append({"file": f"{split}-00000.parquet", "split": split, "rows": len(pixels), "sha256": digest})
        splits[split] = {"images": len(pixels), "patients": len(pixels), "labels": {name: labels.count(name) for name in LABELS}}
    total = sum(len(pixels) for pixels, _ in real.values())
    manifest = {
        "dataset": NAME,
        "source": {"kind": "phantom", "digest": sha256_json("source"), "files": ["/srv/hospital/mueller-anna.npz"]},
        "digest": SUBJECT.real,
        "labels": LABELS,
        "image": image,
        "counts": {"in": total + 3, "out": total, "quarantined": {"the image cannot be read": 3}},
        "splits": splits,
        "checks": {"success": True, "evaluated": 13, "failed": []},
        "approval": {"reference": "IRB 2026-113", "purpose": "research on synthetic images", "expires": "2031-12-31"},
        "copies": {"sets_within_a_patient": 2, "sets_across_patients": 1, "images": 6, "sets_with_different_labels": 0},
        "dropped": {"attributes": {}, "images": {}, "implausible": {}, "letters_painted_over": 4},
        "shards": shards,
    }
    write_json(folder / "manifest.json", manifest)


def write_samples(root: Path, synthetic: tuple[np.ndarray, list[str]], drawing: dict, image: dict) -> None:
    folder = root / "data" / "samples" / NAME
    rows = [
        {
            "id": f"{NAME}-{row:08d}",
            "image": {"bytes": encode_png(pixels, synthetic=True), "path": None},
            "label": LABELS.index(label),
            "label_name": label,
            "seed": 1000 + row,
            "sha256": sha256_pixels(pixels),
        }
        for row, (pixels, label) in enumerate(zip(*synthetic, strict=True))
    ]
    digest = write_table(folder / "shard-00000.parquet", pa.Table.from_pylist(rows, schema=synthetic_schema(LABELS)))
    manifest = {
        "dataset": NAME,
        "digest": SUBJECT.synthetic,
        "n": len(rows),
        "labels": {name: synthetic[1].count(name) for name in LABELS},
        "model": SUBJECT.model,
        "params": drawing,
        "image": image,
        "shards": [{"file": "shard-00000.parquet", "rows": len(rows), "sha256": digest}],
    }
    write_json(folder / "manifest.json", manifest)


@contextmanager
def made(folder: Path, planted: bool = False) -> Iterator[Path]:
    """The outs of the stages before, as random images; the panel's gates are files of their own, `odd-one` among them. `planted`: one
    synthetic image is an exact copy; one is always a mirrored one."""
    gates = folder / "gates"
    gates.mkdir()
    for kind in PANEL:
        (gates / f"report_test_{kind.replace('-', '_')}.py").write_text(GATE.format(kind=kind))
    write_json(folder / "gates.json", POWER)
    root = folder / "root"
    rng = np.random.default_rng(5)
    real = {split: (draw(rng, n), [LABELS[i % 2] for i in range(n)]) for split, n in (("train", 90), ("holdout", 60), ("test", 20))}
    synthetic = draw(rng, 80)
    if planted:
        synthetic[7] = real["train"][0][41]
    synthetic[9] = real["train"][0][13][:, ::-1]
    build(root, real, (synthetic, [LABELS[i % 2] for i in range(80)]), title=HOSTILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.gates, "__path__", [str(gates)])
        patch.setattr(power, "TABLE", folder / "gates.json")
        patch.setenv("SYNTHMILL_ROOT", str(root))
        plugins.find.cache_clear()
        yield root
    plugins.find.cache_clear()


def outputs(root: Path) -> dict[str, bytes]:
    folder = root / "reports" / NAME / "report"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def written(root: Path) -> dict[str, str]:
    """Runs the stage; the report's files as text."""
    report.run(NAME)
    return {name: data.decode() for name, data in outputs(root).items()}


def facts() -> tuple[dict, dict]:
    """What report.json of the internal and of the public edition would hold, without drawing a page."""
    workspace = read(NAME)
    inside = collect(workspace, compare(workspace.train, workspace.holdout, workspace.synthetic))
    return inside, public(inside, workspace.names)


def verdict_path(root: Path, kind: str) -> Path:
    return root / "reports" / NAME / "gates" / kind / "verdict.json"


def set_verdict(root: Path, kind: str, **changes) -> None:
    path = verdict_path(root, kind)
    Verdict.load(path).model_copy(update=changes).save(path)


def change_params(root: Path, change) -> None:
    said = yaml.safe_load((root / "params.yaml").read_text())
    change(said)
    (root / "params.yaml").write_text(yaml.safe_dump(said))


def real_rows(root: Path, split: str) -> list[dict]:
    return pq.read_table(root / "data" / "ingest" / NAME / f"{split}-00000.parquet", columns=["id", "patient"]).to_pylist()
