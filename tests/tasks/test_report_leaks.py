"""Nothing of a real image, a patient or a single score gets out: the report and the release of a workspace full of plants are searched."""

import base64
import io
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import release_workspace as rw
from PIL import Image

from schema.digest import read_json, sha256_bytes, sha256_file, sha256_pixels, write_json
from schema.record import REAL, encode_png
from schema.verdict import Null, Verdict
from tasks import release, report
from tasks.reporting import sheets

SIDE = 16
SCORES = [round(0.0173 + 0.6180339887 * row % 1, 9) for row in range(1, 90)]
"""Distinct numbers of nine digits, as an attack gives each image one."""
PICTURE = re.compile(rb"data:image/[a-z+.-]+;base64,([A-Za-z0-9+/=]+)")


def real_rows(split: str, n: int = 14) -> list[dict]:
    rng = np.random.default_rng(70_000 + len(split))
    rows = []
    for row in range(n):
        image = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
        name, patient = (sha256_bytes(f"{what} {split} {row}".encode())[:16] for what in ("record", "patient"))
        png = {"bytes": encode_png(image), "path": f"Mueller-Anna-1947/{split}-{row}.png"}
        said = {"id": name, "patient": patient, "split": split, "label": rw.CLASSES[row % 2], "image": png}
        rows.append({**said, "sha256": sha256_pixels(image)})
    return rows


def plant(workspace: rw.Workspace) -> dict[str, set]:
    """Real images with names of their own, and a verdict that carries a score for each in every place where a number may stand. What
    was planted: `names`, `scores`, and `pixels` as they are, mirrored and reduced."""
    folder = workspace.root / "data/ingest" / rw.NAME
    manifest, everyone = read_json(folder / "manifest.json"), []
    for entry in manifest["shards"]:
        rows = real_rows(entry["split"])
        pq.write_table(pa.Table.from_pylist(rows, schema=REAL), folder / entry["file"])
        entry |= {"rows": len(rows), "sha256": sha256_file(folder / entry["file"])}
        everyone += rows
    of_split = {"images": 14, "patients": 14, "labels": dict.fromkeys(rw.CLASSES, 7)}
    manifest |= {
        "source": {"kind": "medmnist", "digest": "5" * 64, "files": ["/home/somebody/Mueller-Anna-1947.npz"]},
        "counts": {"in": 45, "out": 42, "quarantined": {"Mueller-Anna-1947/7.png cannot be read": 3}},
        "splits": dict.fromkeys(("train", "holdout", "test"), of_split),
        "checks": {"success": True, "evaluated": 13, "failed": []},
        "approval": None,
        "copies": {"sets_within_a_patient": 0, "sets_across_patients": 0, "images": 0, "sets_with_different_labels": 0},
        "dropped": {"letters_painted_over": 0},
    }
    write_json(folder / "manifest.json", manifest)
    model = workspace.root / "data/models" / rw.NAME / "model.json"
    write_json(model, {**read_json(model), "dataset_digest": manifest["digest"], "loss": SCORES[-1]})
    names = [row[key] for row in everyone for key in ("id", "patient")] + [row["image"]["path"] for row in everyone]
    plant_scores(workspace, names)
    images = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in everyone]
    turned = [np.ascontiguousarray(image[:, ::step]) for image in images for step in (1, -1)]
    reduced = [sheets.reduced(image[..., None], SIDE // 2)[..., 0] for image in turned]
    return {
        "names": {*names, "Mueller", "1947", "/home/somebody", "patients.npz", "a-secret-salt", "image_scores"},
        "scores": set(SCORES),
        "pixels": {(image.shape, image.tobytes()) for image in (*turned, *reduced)},
    }


def plant_scores(workspace: rw.Workspace, names: list[str]) -> None:
    rw.judge(workspace)
    path = workspace.root / "reports" / rw.NAME / "gates/mia-white-box/verdict.json"
    s = iter(SCORES)
    value, low, high = 0.012345678, -0.098765432, 0.049876543  # these three too
    attack = {"attack": "loss", "auc": next(s), "auc_interval": [next(s), next(s)], "tpr_at_1_fpr": next(s), "tpr_at_01_fpr": next(s)}
    claim = {"claim": "AUC", "measured": next(s), "null": next(s), "null_interval": [next(s), next(s)], "value": value}
    claim |= {"interval": [low, high], "threshold": 0.05, "n": 14, "needed": 20, "status": "PASS", "required": True}
    evidence = {
        **{"auc": next(s), "auc_interval": [next(s), next(s)], "attack": "loss", "attacks": [attack], "claims": [claim], "seeds": [0, 1]},
        "worst_class": {"label": "normal", "auc": next(s), "interval": [next(s), next(s)]},
        "roc": [[0.0, 0.0], [0.3, next(s)], [1.0, 1.0]],
        "auc_by_timestep": {"100": next(s), "300": next(s)},
        "real": {"accuracy": [next(s), next(s)]},
        "per_class": {"normal": {"real": next(s)}},
        "precision": next(s),
        "precision_interval": [next(s), next(s)],
        "pairs": [{"id": names[0], "train": names[3], "distance": next(s)}],
        "scores": {name: next(s) for name in names[:10]},
        "image_scores": list(s),
    }
    words = f"AUC {evidence['auc']:.6f} ({evidence['auc_interval'][0]:.4f} to {100 * evidence['precision']:.4f}%), excess {value:.6f}."
    null = Null(value=evidence["claims"][0]["null"], interval=tuple(claim["null_interval"]), what="members against members")
    changes = {"value": value, "interval": (low, high), "null": null, "evidence": evidence, "reason": words}
    Verdict.load(path).model_copy(update=changes).save(path)
    SCORES.extend((value, low, high))


def written_as(score: float) -> set[str]:
    """Six significant digits of a score, rounded and cut off, as a number, a percentage and with an exponent."""
    found = set()
    for number in (abs(score), 100 * abs(score)):
        rounded = f"{number:.{5 - math.floor(math.log10(number))}f}"
        found |= {rounded, f"{number:.12f}"[: len(rounded)], f"{number:.5e}".split("e")[0] + "e"}
    return found


def found_in(data: bytes, planted: dict[str, set]) -> dict[str, int]:
    """How many of the plants are in a file's bytes, in what its Parquet rows hold, and in the pictures of both."""
    pictures = [base64.b64decode(picture) for picture in PICTURE.findall(data)]
    text = PICTURE.sub(b"", data).decode("utf-8", errors="replace")
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        pictures += [row["bytes"] for row in table["image"].to_pylist()]
        paths = [row["path"] for row in table["image"].to_pylist()]
        text += f"{table.schema} {table.drop_columns(['image']).to_pylist()} {paths}"
    shown = {(shape, crop) for picture in pictures for shape, crop in crops(np.asarray(Image.open(io.BytesIO(picture))))}
    return {
        "names": sum(name in text for name in planted["names"]),
        "scores": sum(any(digits in text for digits in written_as(score)) for score in planted["scores"]),
        "pixels": len(planted["pixels"] & shown),
    }


def crops(picture: np.ndarray):
    """Every crop of a picture that could be a real image or one at half its size."""
    grey = picture if picture.ndim == 2 else picture[..., 0]
    for size in {SIDE, SIDE // 2}:
        if min(grey.shape) >= size:
            windows = np.lib.stride_tricks.sliding_window_view(grey, (size, size))
            yield from (((size, size), window.tobytes()) for row in windows for window in row)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> rw.Workspace:
    workspace = rw.build(tmp_path / "checkout", tmp_path / "home")
    rw.commit(workspace)
    return workspace.adopt(monkeypatch)


def test_no_plant_is_in_the_public_report_or_anywhere_in_the_release(workspace):
    planted = plant(workspace)
    report.run(rw.NAME)
    folder = workspace.root / "reports" / rw.NAME / "report"
    # The search does find plants where they are: pictures and ids on the page, scores and ids in the numbers.
    page, graph = (found_in((folder / name).read_bytes(), planted) for name in ("internal.html", "report.json"))
    assert page["pixels"] >= 14
    assert min(page["names"], graph["names"]) > 10
    assert graph["scores"] == len(SCORES)
    shard = found_in((workspace.root / "data/ingest" / rw.NAME / "train-00000.parquet").read_bytes(), planted)
    assert (shard["names"], shard["pixels"]) == (14 * 3 + 2, 14)
    release.run(rw.NAME)
    files = [path for place in (folder / "public", workspace.release) for path in sorted(place.rglob("*")) if path.is_file()]
    assert {path.name for path in files} >= {"report.html", "report.json", "provenance.json", "README.md", "croissant.json", "SHA256SUMS"}
    assert any(path.suffix == ".parquet" for path in files)
    leaks = {path.relative_to(workspace.root).as_posix(): found_in(path.read_bytes(), planted) for path in files}
    assert {path: found for path, found in leaks.items() if any(found.values())} == {}
    # And what stands there instead is the same number with two digits.
    said = read_json(workspace.release / "provenance.json")["gates"][0]
    assert (said["value"], said["interval"]) == (0.012, [-0.099, 0.05])
    assert said["value"] == read_json(folder / "public/report.json")["gates"][0]["value"]
