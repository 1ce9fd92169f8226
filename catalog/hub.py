"""A release as a Hugging Face dataset, by its own Parquet reader. Imported only when asked for: `datasets` takes seconds to import."""

from collections.abc import Sequence
from pathlib import Path

import datasets

from catalog.rows import Rows


def open_rows(rows: Rows, columns: Sequence[str] | None, streaming: bool, home: Path) -> datasets.Dataset | datasets.IterableDataset:
    """The layout (pictures, class names) comes from the files. Without streaming, `datasets` keeps its Arrow copy under `home`."""
    files = {rows.split: list(map(str, rows.files))}
    found = datasets.load_dataset("parquet", data_files=files, split=rows.split, streaming=streaming, cache_dir=str(home / "datasets"))
    if streaming:
        found = found.skip(rows.start).take(len(rows))
    elif len(rows) < len(found):
        found = found.select(range(rows.start, rows.stop))
    return found.select_columns(list(columns)) if columns is not None else found
