"""PNG and label of a row by its index: a row group is decompressed when one of its rows is asked for, and kept as it is from then on.

Parquet is decompressed a row group at a time, which makes one row by index cost 256. So what was asked for once is added, as it is, to
`<split>.png` beside the cached release, and `<split>.rows` says where each row lies there, with its label and its CRC-32. Processes share
both. What does not read back as it was written (the machine went down, the disk is harmed) is taken from Parquet again.
"""

import fcntl
import os
import zlib
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from catalog.rows import Rows
from schema.errors import SynthmillError

PLACE = np.dtype([("at", "<i8"), ("size", "<i8"), ("label", "<i8"), ("crc", "<i8")])
"""Where a row lies; a size of 0: nowhere yet."""


class ByIndex:
    """Rows of a split, whole. Safe for several processes and threads at a time."""

    def __init__(self, rows: Rows, home: Path) -> None:
        """`home`: a folder that holds nothing of other bytes than these rows'. Raises SynthmillError where it cannot be written."""
        import pyarrow.parquet as pq

        self.files, self.path, self.places_path = rows.files, home / f"{rows.split}.png", home / f"{rows.split}.rows"
        footers = [pq.read_metadata(path) for path in self.files]
        groups = [(file, number) for file, footer in enumerate(footers) for number in range(footer.num_row_groups)]
        self.groups = groups
        *self.starts, self.n = accumulate((footers[file].row_group(number).num_rows for file, number in groups), initial=0)
        try:
            home.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            with self.places_path.open("a+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if os.fstat(stream.fileno()).st_size != self.n * PLACE.itemsize:
                    stream.truncate(0)
                    stream.truncate(self.n * PLACE.itemsize)
            self._open()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _open(self) -> None:
        self.places = np.memmap(self.places_path, PLACE, "r+", shape=(self.n,))
        self.stream = self.path.open("rb", buffering=0)
        self.parquet: dict[int, Any] = {}

    def __getstate__(self) -> dict:
        """For the worker processes of a DataLoader: where the files are, not what is in them."""
        return {name: value for name, value in self.__dict__.items() if name not in ("places", "stream", "parquet")}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._open()

    def __getitem__(self, row: int) -> tuple[bytes, int]:
        """PNG and label of row 0 to n - 1. Raises SynthmillError where the cache's disk is full."""
        return self._kept(row) or self._fill(row)

    def _kept(self, row: int) -> tuple[bytes, int] | None:
        at, size, label, crc = self.places[row].item()
        if not size:
            return None
        png = os.pread(self.stream.fileno(), size, at)
        return (png, label) if zlib.crc32(png) == crc else None

    def _fill(self, row: int) -> tuple[bytes, int]:
        """Keeps the row group that a row is in; the row."""
        import pyarrow.parquet as pq

        number = bisect_right(self.starts, row) - 1
        file, group = self.groups[number]
        if file not in self.parquet:
            # Read ahead, pyarrow would hold a whole file.
            self.parquet[file] = pq.ParquetFile(self.files[file], pre_buffer=False)
        table = self.parquet[file].read_row_group(group, columns=["image.bytes", "label"], use_threads=False)
        pngs = [png for chunk in table.column("image").chunks for png in chunk.field("bytes").to_pylist()]
        labels, sizes = table.column("label").to_pylist(), [len(png) for png in pngs]
        start = self.starts[number]
        places = self.places[start : start + len(pngs)]
        try:
            # Opened anew: a lock is that of an open file, and threads must not share it.
            with self.path.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if (found := self._kept(row)) is not None:
                    return found  # Another kept it meanwhile.
                end = stream.seek(0, os.SEEK_END)
                stream.write(b"".join(pngs))
                stream.flush()
                places["at"] = [end + before for before in accumulate(sizes[:-1], initial=0)]
                places["label"], places["crc"] = labels, [zlib.crc32(png) for png in pngs]
                # Last: with a size, a row is there.
                places["size"] = sizes
        except OSError as error:
            raise self._cannot_write(error) from error
        return pngs[row - start], labels[row - start]

    def _cannot_write(self, error: OSError) -> SynthmillError:
        return SynthmillError(
            f"{self.path} cannot be written ({error.strerror}): free space on its disk, name another in SYNTHMILL_CACHE, or read with "
            "streaming=True, which keeps nothing"
        )
