"""The rows of a release's Parquet files: one split or a fraction of it, some columns, a batch at a time."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from schema.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

FRACTION = re.compile(r"(?P<name>[\w-]+)(?:\[(?P<start>\d{1,3}%)?:(?P<stop>\d{1,3}%)?\])?")


@dataclass(frozen=True)
class Rows:
    """Rows `start` to `stop` - 1 of the files of one split, in the order that they were released in, which never changes."""

    files: list[Path]
    split: str
    start: int
    stop: int
    schema: "pa.Schema"

    @classmethod
    def of(cls, folder: Path, split: str | None = None, columns: Sequence[str] | None = None) -> "Rows":
        """`split`: a name, or a name with a range in percent (`train[:80%]`), None for the only one. Row floor(n p / 100) is where p% of n
        rows end, so `train[:80%]` and `train[80%:]` are all rows, each once. Raises UsageError for a split or a column that is not there.
        """
        import pyarrow.parquet as pq

        names: dict[str, list[Path]] = {}
        for path in sorted((folder / "data").glob("*.parquet")):
            names.setdefault(re.sub(r"-\d+-of-\d+$", "", path.stem), []).append(path)
        match = FRACTION.fullmatch(split) if split is not None else None
        name = match["name"] if match else split or next(iter(names), None)
        if name not in names:
            raise UsageError(f"no split {split!r}; there are: {', '.join(names)}, each whole or in percent, as in 'train[:80%]'")
        files = names[name]
        schema = pq.read_schema(files[0])
        if columns is not None:
            unknown = sorted(set(columns) - set(schema.names))
            if unknown:
                raise UsageError(f"no column {', '.join(map(repr, unknown))}; there are: {', '.join(schema.names)}")
        n = sum(pq.read_metadata(path).num_rows for path in files)
        percents = [int(match[part][:-1]) if match and match[part] else whole for part, whole in (("start", 0), ("stop", 100))]
        if not percents[0] < percents[1] <= 100:
            raise UsageError(f"{split!r} is not a part of {name}: write it as 'train[:80%]' or 'train[80%:]', from 0% to 100%")
        return cls(files, name, n * percents[0] // 100, n * percents[1] // 100, schema)

    def __len__(self) -> int:
        return self.stop - self.start

    def whole(self) -> "Rows":
        """All rows of the split."""
        import pyarrow.parquet as pq

        return replace(self, start=0, stop=sum(pq.read_metadata(path).num_rows for path in self.files))

    def batches(self, columns: Sequence[str] | None = None, batch_size: int = 256) -> Iterator["pa.RecordBatch"]:
        """Record batches of `batch_size` rows, the last of a file shorter; no more than a row group is in memory."""
        import pyarrow.parquet as pq

        at = 0
        for path in self.files:
            # Read ahead, pyarrow would hold a whole file.
            file = pq.ParquetFile(path, pre_buffer=False)
            counts = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            *starts, end = accumulate(counts, initial=at)
            first, last = max(self.start, at), min(self.stop, end)
            if first < last:
                groups = range(bisect_right(starts, first) - 1, bisect_right(starts, last - 1))
                at_row = starts[groups[0]]
                for batch in file.iter_batches(batch_size, row_groups=list(groups), columns=list(columns) if columns is not None else None):
                    skipped, kept = max(0, first - at_row), min(batch.num_rows, last - at_row)
                    at_row += batch.num_rows
                    if skipped < kept:
                        yield batch.slice(skipped, kept - skipped)
            at = end

    def table(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """All rows at once, in memory."""
        import pyarrow as pa

        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns], metadata=self.schema.metadata)
        read = (batch.select(columns) if columns is not None else batch for batch in self.batches(columns, 4096))
        return pa.Table.from_batches(read, schema=schema)
