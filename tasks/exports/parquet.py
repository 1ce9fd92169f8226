"""Parquet files that Hugging Face datasets, pandas and pyarrow read as they are: data/train-00000-of-0000N.parquet."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schema.errors import IntegrityError
from schema.record import synthetic_schema
from schema.threads import ahead
from tasks.exports import Draft, MainForm

FILE_BYTES = 256 * 2**20
"""About how large a file may be: small enough to fetch again, large enough to be few."""

GROUP_ROWS = 256
"""Records in a row group, the unit that a reader loads at once."""


class Plugin(MainForm):
    kind = "parquet"

    def write(self, release: Draft, folder: Path) -> None:
        """Raises IntegrityError for a shard of another layout."""
        schema = synthetic_schema(release.classes, release.conditions)
        sizes = file_sizes(release.rows, sum(path.stat().st_size for path in release.shards))
        groups = regroup(ahead(batches(release.shards, schema)), [rows for size in sizes for rows in group_sizes(size)])
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for number, size in enumerate(sizes):
            path = folder / "data" / f"train-{number:05d}-of-{len(sizes):05d}.parquet"
            with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=["label_name"], write_page_index=True) as writer:
                for _ in group_sizes(size):
                    writer.write_table(next(groups))


def file_sizes(rows: int, total_bytes: int) -> list[int]:
    """How many records each file holds: as even as can be, each file about FILE_BYTES or less."""
    files = max(1, min(rows, -(-total_bytes // FILE_BYTES)))
    return [rows // files + (number < rows % files) for number in range(files)]


def group_sizes(rows: int) -> list[int]:
    return [min(GROUP_ROWS, rows - start) for start in range(0, rows, GROUP_ROWS)]


def batches(shards: list[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for path in shards:
        # Read ahead, pyarrow would hold a whole shard.
        shard = pq.ParquetFile(path, pre_buffer=False)
        if not shard.schema_arrow.equals(schema, check_metadata=True):
            raise IntegrityError(f"{path} has another layout or other classes than the release: delete its folder and run again")
        for batch in shard.iter_batches(batch_size=GROUP_ROWS):
            yield pa.Table.from_batches([batch], schema=schema)


def regroup(tables: Iterator[pa.Table], sizes: list[int]) -> Iterator[pa.Table]:
    """The same rows in tables of the given sizes, wherever the incoming ones end: shard bounds leave no trace in the files."""
    held = next(tables)
    for size in sizes:
        while held.num_rows < size:
            held = pa.concat_tables([held, next(tables)])
        yield held.slice(0, size).combine_chunks()
        held = held.slice(size)
