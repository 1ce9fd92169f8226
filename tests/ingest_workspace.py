"""A workspace whose source is a folder of small images with a CSV, ready to ingest."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml
from PIL import Image

from tasks import ingest, scan
from tests.conftest import CHECKOUT

FORM = {"height": 16, "width": 16, "channels": 1}


class Workspace:
    """A folder of images with a CSV and params.yaml of one dataset, `scans`, that reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "archive"
        self.images.mkdir()
        self.rows: list[dict] = []
        self.written = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        source = {"kind": "image-folder", "folder": str(self.images), "csv": "labels.csv", "patient": "patient"}
        self.ingest = {"source": source, "image": FORM, "labels": ["a", "b"]}

    def add(self, name: str, seed: int | None = None, size: tuple[int, int] = (40, 30), **row) -> None:
        """An image of noise, or none where there is no seed, and its row."""
        if seed is not None:
            pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(self.images / name)
        self.rows.append({"image": name, "label": "a", "patient": name, **row})

    def params(self, **keys) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with (self.images / "labels.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(self.rows)
        dataset = self.written["datasets"]["phantom-cxr"]
        dataset["ingest"] = {**self.ingest, **keys}
        text = yaml.safe_dump({**self.written, "build": ["scans"], "datasets": {"scans": dataset}})
        (self.folder / "params.yaml").write_text(text)

    def run(self, **keys) -> dict:
        """Ingests; the manifest."""
        self.params(**keys)
        scan.run("scans")
        ingest.run("scans")
        return json.loads((self.out / "manifest.json").read_text())

    @property
    def out(self) -> Path:
        return self.folder / "data" / "ingest" / "scans"

    def table(self):
        return [row for path in sorted(self.out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}

    def said(self) -> dict[Path, str]:
        """Every output as text: the bytes of each file, and what is compressed in Parquet files beside them."""
        folders = (self.folder / "data", self.folder / "reports")
        found = {path: path.read_bytes().decode("latin-1") for folder in folders for path in folder.rglob("*") if path.is_file()}
        assert len(found) > 8
        for path in found:
            if path.suffix == ".parquet":
                table = pq.read_table(path)
                found[path] += f"{table.schema} {table.schema.metadata} {table.to_pylist()}"
        return found
