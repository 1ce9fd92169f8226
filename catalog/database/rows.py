"""The rows of a release, read from its folder; images in batches, so that memory is that of one."""

import io
from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from catalog import sums
from catalog.database.bitmaps import Values
from catalog.folder import PROVENANCE
from catalog.words import GAP, key, tokens
from schema.digest import read_json
from schema.record import decode_png
from schema.release import Release, Version

BATCH = 1024
"""Images that are in memory at once."""
THUMBNAILS = 64
"""Images of a release that have a thumbnail: its first ones, enough for a page. One for each image would be a copy of the release."""
SIDE = 64
"""Pixels of a thumbnail's longer side, at most."""


class Rows:
    """What the tables hold of a release. `values` has counted all of them when `images` is used up."""

    def __init__(self, release: Release, folder: Path) -> None:
        self.tag, self.folder, self.values = release.tag, folder, Values(release.tag)
        said = read_json(folder / PROVENANCE)
        self.attributes = list(dict.fromkeys(condition["attribute"] for condition in said.get("conditions", [])))
        self.release = _release(release, folder, said)
        self.verdicts = [_verdict(release.tag, gate) for gate in release.gates]

    @property
    def words(self) -> list[str]:
        texts = (self.release["title"], self.release["description"], self.release["modality"], *self.release["labels"])
        return list(chain.from_iterable((*tokens(text), GAP) for text in texts))

    def images(self) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
        """Batches of rows of images and of value_bitmaps; either may be empty."""
        import pyarrow.parquet as pq

        columns = ["id", "label_name", "seed", "sha256", *self.attributes]
        position = 0
        for path in sorted((self.folder / "data").glob("*.parquet")):
            small = _thumbnails(path, THUMBNAILS - position)
            shard, row = path.relative_to(self.folder).as_posix(), 0
            for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=BATCH, columns=columns):
                images = []
                for said in batch.to_pylist():
                    found = {name: said[name] for name in self.attributes if said[name] is not None}
                    image = {"release": self.tag, "position": position, "shard": shard, "row": row, "thumbnail": next(small, None)}
                    image |= {"id": said["id"], "label": said["label_name"], "attributes": found}
                    images.append(image | {"seed": said["seed"], "sha256": said["sha256"]})
                    self.values.add(position, said["label_name"], found)
                    position, row = position + 1, row + 1
                yield images, self.values.bitmaps()
        yield [], self.values.bitmaps(last=True)


def _release(release: Release, folder: Path, said: dict[str, Any]) -> dict[str, Any]:
    card, privacy, version = said["params"]["card"], said["model"].get("privacy") or {}, Version.parse(release.version)
    return {
        "tag": release.tag,
        "dataset": release.dataset,
        "version": release.version,
        "major": version.major,
        "minor": version.minor,
        "patch": version.patch,
        "previous": f"{release.dataset}@{said['previous']}" if said["previous"] else None,
        "records": release.digests.records,
        "files": release.digests.files,
        "digest": release.digests.together,
        "sums": release.sums,
        "real": said["ingest"],
        "synthetic": said["samples"],
        "model": said["model"]["digest"],
        "images": release.images,
        "labels": release.labels,
        **{name: card[name] for name in ("title", "description", "license", "modality")},
        "license_key": card["license"].casefold(),
        "modality_key": f" {key(card['modality'])} ",
        "code_commit": release.code_commit,
        "published": date.fromisoformat(read_json(folder / "croissant.json")["datePublished"]),
        "size": sum((folder / path).stat().st_size for path in (*sums.read(folder), sums.NAME)),
        "first_seed": said["seeds"]["first_image"],
        "last_seed": said["seeds"]["last_image"],
        **{name: privacy.get(name) for name in ("epsilon", "delta", "unit")},
        "recalled": False,
        "recall_reason": None,
    }


def _verdict(tag: str, gate: dict[str, Any]) -> dict[str, Any]:
    low, high = gate.get("interval") or (None, None)
    said = {name: gate.get(name) for name in ("gate", "status", "value", "threshold", "direction", "unit", "required", "waived")}
    return {"release": tag, "low": low, "high": high, **said}


def _thumbnails(path: Path, most: int) -> Iterator[bytes]:
    """PNGs of the first images of a Parquet file."""
    import pyarrow.parquet as pq

    if most <= 0:
        return
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=16, columns=["image"]):
        for image in batch.to_pylist():
            yield thumbnail(image["image"]["bytes"])
            most -= 1
            if not most:
                return


def thumbnail(png: bytes) -> bytes:
    """A PNG of SIDE pixels a side at most, of one that may be larger."""
    from PIL import Image

    pixels = decode_png(png)
    small = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    small.thumbnail((SIDE, SIDE))
    stream = io.BytesIO()
    small.save(stream, format="PNG")
    return stream.getvalue()
