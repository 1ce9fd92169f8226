"""A release as torch datasets. Imported only when asked for: torch takes seconds to import."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from catalog.by_index import ByIndex
from catalog.rows import Rows
from schema.record import decode_png

WANTED = ["image", "label"]


def to_tensor(png: bytes) -> torch.Tensor:
    """float32, C x H x W in 0..1."""
    return torch.from_numpy(decode_png(png).transpose(2, 0, 1).copy()).to(torch.float32) / 255


class Images(torch.utils.data.Dataset):
    """Item i is (float32 tensor C x H x W in 0..1, class index), decoded when it is asked for. Workers of a DataLoader share what
    `ByIndex` keeps on the disk, and none holds it in memory."""

    def __init__(self, rows: Rows, home: Path) -> None:
        self.rows, self.start, self.n = ByIndex(rows, home), rows.start, len(rows)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        png, label = self.rows[self.start + index % len(self)]
        return to_tensor(png), label

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, int]]:
        """A batch at once, as a DataLoader asks for it: decoded one by one, made floats together."""
        found = [self.rows[self.start + index % len(self)] for index in indices]
        pixels = np.stack([decode_png(png) for png, _ in found])
        images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(torch.float32).div_(255)
        return list(zip(images.unbind(), (label for _, label in found), strict=True))


class Stream(torch.utils.data.IterableDataset):
    """The same items one after another, straight from Parquet, a row group in memory; each worker of a DataLoader has every k-th batch."""

    def __init__(self, rows: Rows, batch_size: int) -> None:
        self.rows, self.batch_size = rows, batch_size

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        worker = torch.utils.data.get_worker_info()
        mine, of = (worker.id, worker.num_workers) if worker else (0, 1)
        for number, batch in enumerate(self.rows.batches(WANTED, self.batch_size)):
            if number % of == mine:
                pngs = batch.column("image").field("bytes")
                for png, label in zip(pngs, batch.column("label"), strict=True):
                    yield to_tensor(png.as_buffer()), label.as_py()
