"""A tiny example of each plug-in, by kind. The contract tests fail for a plug-in that has none here: add one with the plug-in."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.dicoms import write


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
    """Two images of one patient, one of another, one that cannot be read and one that the CSV does not name."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "sub/c.png", "unnamed.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:500])
    rows = ["image,label,patient,split", "a.png,nv,p1,train", "b.jpg,mel,p1,train", "c.png,nv,p2,test", "broken.png,nv,p3,val"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    columns = {"image": "image", "label": "label", "patient": "patient", "split": "split"}
    return {"kind": "image-folder", "folder": str(folder), "csv": "labels.csv", **columns}


def dicom(folder: Path) -> dict[str, Any]:
    """Three images of two patients, one of them with two frames, one cut short, and a file that is no DICOM."""
    rng = np.random.default_rng(0)
    write(folder / "a" / "1", rng.integers(0, 4096, (20, 30), dtype=np.uint16), PatientID="p1")
    write(folder / "a" / "2", rng.integers(0, 256, (2, 20, 30), dtype=np.uint8), PatientID="p1", NumberOfFrames=2)
    write(folder / "b.dcm", rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), PatientID="p2")
    (folder / "cut.dcm").write_bytes((folder / "b.dcm").read_bytes()[:-100])
    (folder / "README").write_text("no image", encoding="utf-8")
    return {"kind": "dicom", "folder": str(folder), "label": "ct"}


SOURCES = {"phantom": phantom, "medmnist": medmnist, "image-folder": image_folder, "dicom": dicom}
