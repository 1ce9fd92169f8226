"""A release as torch datasets. Imported only when asked for: torch takes seconds to import."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from catalog.cache import is_as_left, leave
from catalog.rows import Rows
from schema.record import decode_png

BATCH_BYTES = 32 * 2**20
"""About how much of a release is held while its file for reading by index is written."""

WANTED = ["image", "label"]


def to_tensor(png: bytes) -> torch.Tensor:
    """float32, C x H x W in 0..1."""
    return torch.from_numpy(decode_png(png).transpose(2, 0, 1).copy()).to(torch.float32) / 255


class Images(torch.utils.data.Dataset):
    """Item i is (float32 tensor C x H x W in 0..1, class index), decoded when it is asked for.

    Parquet is decompressed a row group at a time, which makes one row by index cost 256. So PNGs and labels are written once, as they
    are, to an Arrow file beside the cached release; it is memory-mapped, shared by the processes of a DataLoader, and holds no memory.
    """

    def __init__(self, rows: Rows, home: Path) -> None:
        self.path = home / f"{rows.split}.arrow"
        self.start, self.n = rows.start, len(rows)
        if not (self.path.is_file() and is_as_left(self.path)):
            write_arrow(rows.whole(), self.path)
            leave(self.path)
        self._open()

    def _open(self) -> None:
        self.pngs, self.labels = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all().columns

    def __getstate__(self) -> dict:
        """For the worker processes of a DataLoader: the place of the file, not what is in it."""
        return {name: value for name, value in self.__dict__.items() if name not in ("pngs", "labels")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self.start + index % len(self)
        return to_tensor(self.pngs[row].as_buffer()), self.labels[row].as_py()

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[torch.Tensor, int]]:
        """A batch at once, as a DataLoader asks for it: decoded one by one, made floats together."""
        rows = [self.start + index % len(self) for index in indices]
        pixels = np.stack([decode_png(self.pngs[row].as_buffer()) for row in rows])
        images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(torch.float32).div_(255)
        return list(zip(images.unbind(), (self.labels[row].as_py() for row in rows), strict=True))


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


def write_arrow(rows: Rows, path: Path) -> None:
    """Writes `png` and `label` of the rows as an uncompressed Arrow file, whole or not at all."""
    schema = pa.schema([("png", pa.binary()), ("label", pa.int64())])
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            held: list[pa.RecordBatch] = []
            for batch in rows.batches(WANTED):
                arrays = [batch.column("image").field("bytes"), batch.column("label")]
                held.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
                if sum(each.nbytes for each in held) >= BATCH_BYTES:
                    writer.write_table(pa.Table.from_batches(held).combine_chunks())
                    held = []
            if held:
                writer.write_table(pa.Table.from_batches(held).combine_chunks())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
