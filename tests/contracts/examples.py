"""A tiny example of each plug-in, by kind. The contract tests fail for a plug-in that has none here: add one with the plug-in."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def phantom(folder: Path) -> dict[str, Any]:
    return {"kind": "phantom", "n": 6, "seed": 1}


def medmnist(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 2)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n, dtype=np.uint8) % 2)[:, None]
    np.savez_compressed(folder / "tiny.npz", **arrays)
    return {"kind": "medmnist", "file": str(folder / "tiny.npz"), "classes": {0: "normal", 1: "pneumonia"}}


def image_folder(folder: Path) -> dict[str, Any]:
    """Images with their masks: two of one patient, one of another, one that cannot be read and one that the CSV does not name."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "sub/c.png", "unnamed.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    for name in ("a_mask.png", "b_mask.png", "sub/c_mask.png", "broken_mask.png"):
        Image.fromarray(rng.integers(0, 2, (20, 30), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:500])
    rows = ["image,label,patient,split,age", "a.png,nv,p1,train,70", "b.jpg,mel,p1,train,", "c.png,nv,p2,test,7", "broken.png,nv,p3,val,1"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    columns = {"image": "image", "label": "label", "patient": "patient", "split": "split"}
    return {"kind": "image-folder", "folder": str(folder), "csv": "labels.csv", **columns, "images": {"mask": "{stem}_mask.png"}}


SOURCES = {"phantom": phantom, "medmnist": medmnist, "image-folder": image_folder}
