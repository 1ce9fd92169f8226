"""A tiny example of each plug-in, by kind. The contract tests fail for a plug-in that has none here: add one with the plug-in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from schema.record import encode_png
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


def nifti(folder: Path) -> dict[str, Any]:
    """Two patients with two volumes each, of other voxels; a third whose second one is not there, and a volume that is cut."""
    import nibabel

    rng = np.random.default_rng(0)
    for name in ("one_t1", "one_pd", "two_t1", "two_pd", "three_t1", "four_t1", "four_pd"):
        voxels = rng.integers(0, 1000, (4, 6, 5) if name.endswith("t1") else (8, 6, 5), dtype=np.int16)
        affine = np.diag([2.0 if name.endswith("t1") else 1.0, 1.0, 1.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"{name}.nii.gz")
    (folder / "four_pd.nii.gz").write_bytes((folder / "one_pd.nii.gz").read_bytes()[:200])
    (folder / "who.csv").write_text(
        "patient,finding,age\none,normal,40\ntwo,tumour,50\nthree,normal,60\nfour,normal,70\n", encoding="utf-8"
    )
    images = {"image": "*_t1.nii.gz", "pd": "*_pd.nii.gz"}
    return {"kind": "nifti", "folder": str(folder), "images": images, "csv": "who.csv", "label": "finding", "slices": {"from": 0.2}}


def metaimage(folder: Path) -> dict[str, Any]:
    """A slice in one file and a volume in two, each with its mask; a header that leads elsewhere, and a volume that no pattern names."""
    rng = np.random.default_rng(0)
    head = "ObjectType = Image\nNDims = {}\nDimSize = {}\nElementType = {}\nElementDataFile = {}\n"
    for name, shape, kind, dtype in (("", "6 5", "MET_SHORT", np.int16), ("_mask", "6 5", "MET_UCHAR", np.uint8)):
        data = rng.integers(0, 3, 30).astype(dtype).tobytes()
        (folder / f"a{name}.mha").write_bytes(head.format(2, shape, kind, "LOCAL").encode() + data)
        (folder / f"b{name}.mhd").write_text(head.format(3, f"{shape} 2", kind, f"b{name}.raw"))
        (folder / f"b{name}.raw").write_bytes(data * 2)
        (folder / f"c{name}.mha").write_text(head.format(2, shape, kind, "../secret.raw"))
    (folder / "unnamed.mha").write_bytes((folder / "a.mha").read_bytes())
    images = {"image": "?.mh?", "mask": "?_mask.mh?"}
    patient = "^(?P<patient>[abc])"
    return {"kind": "metaimage", "folder": str(folder), "images": images, "masks": ["mask"], "label": "head", "patient": patient}


def parquet(folder: Path) -> dict[str, Any]:
    """Two files of two row groups, by split; a patient twice, an image that is broken, and a row without a label."""
    rng = np.random.default_rng(0)
    for file, split in enumerate(("train", "test")):
        images = [encode_png(rng.integers(0, 256, (8, 9), dtype=np.uint8)) for _ in range(4)]
        images[3] = images[3][:40]
        rows = [
            {"image": {"bytes": image, "path": None}, "label": label, "who": f"{split} {who}", "age": 40 + file}
            for image, label, who in zip(images, (0, 1, -1, 1), ("a", "a", "b", "c"), strict=True)
        ]
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["normal", "pneumonia"]}}
        table = pa.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet", row_group_size=2)
    return {"kind": "parquet", "folder": str(folder), "patient": "who"}


def dicom(folder: Path) -> dict[str, Any]:
    """Three images of two patients, one of them with two frames, one cut short, and a file that is no DICOM."""
    rng = np.random.default_rng(0)
    write(folder / "a" / "1", rng.integers(0, 4096, (20, 30), dtype=np.uint16), PatientID="p1")
    write(folder / "a" / "2", rng.integers(0, 256, (2, 20, 30), dtype=np.uint8), PatientID="p1", NumberOfFrames=2)
    write(folder / "b.dcm", rng.integers(0, 256, (20, 30, 3), dtype=np.uint8), PatientID="p2")
    (folder / "cut.dcm").write_bytes((folder / "b.dcm").read_bytes()[:-100])
    (folder / "README").write_text("no image", encoding="utf-8")
    return {"kind": "dicom", "folder": str(folder), "label": "ct"}


SOURCES = {
    "phantom": phantom,
    "medmnist": medmnist,
    "image-folder": image_folder,
    "dicom": dicom,
    "nifti": nifti,
    "metaimage": metaimage,
    "parquet": parquet,
}
