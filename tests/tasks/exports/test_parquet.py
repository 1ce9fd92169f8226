"""The Parquet files of a release."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import release_workspace as rw
from PIL import Image

from schema.errors import IntegrityError
from tasks.exports import Draft, parquet


def draft(root, n: int, shard_size: int) -> Draft:
    rw.write_samples(root, range(n), shard_size)
    return Draft(rw.NAME, rw.CLASSES, sorted((root / "data/samples" / rw.NAME).glob("*.parquet")), n, rw.TOLD)


def test_files_are_even_and_together_hold_every_record_in_order(tmp_path, monkeypatch):
    release = draft(tmp_path, 700, 128)
    total = sum(path.stat().st_size for path in release.shards)
    monkeypatch.setattr(parquet, "FILE_BYTES", -(-total // 3))
    parquet.Plugin().write(release, tmp_path / "out")
    files = sorted((tmp_path / "out/data").iterdir())
    assert [path.name for path in files] == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]
    assert [pq.read_metadata(path).num_rows for path in files] == [234, 233, 233]
    table = pa.concat_tables([pq.read_table(path) for path in files])
    assert table["seed"].to_pylist() == list(range(500, 1200))
    decoded = Image.open(io.BytesIO(table["image"][699]["bytes"].as_py()))
    np.testing.assert_array_equal(np.asarray(decoded), rw.pixels(699)[:, :, 0])


def test_row_groups_are_of_one_size_and_the_layout_is_named_for_hugging_face(tmp_path):
    parquet.Plugin().write(draft(tmp_path, 600, 100), tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out/data/train-00000-of-00001.parquet")
    groups = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert groups == [256, 256, 88]
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"_type": "ClassLabel", "names": rw.CLASSES}
    assert features["view"] == {"_type": "Value", "dtype": "string"}
    assert features["findings"] == {"_type": "List", "feature": {"_type": "Value", "dtype": "string"}}


@pytest.mark.parametrize(("rows", "megabytes", "files"), [(10, 1, 1), (1000, 256, 1), (1000, 257, 2), (100_000, 26_000, 102), (2, 900, 2)])
def test_how_many_files(rows, megabytes, files):
    sizes = parquet.file_sizes(rows, megabytes * 2**20)
    assert len(sizes) == files
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_of_other_classes_is_refused(tmp_path):
    release = draft(tmp_path, 8, 4)
    other = Draft(release.dataset, ["normal", "tuberculosis"], release.shards, release.rows, rw.TOLD)
    with pytest.raises(IntegrityError, match=r"shard-00000\.parquet has another layout or other classes"):
        parquet.Plugin().write(other, tmp_path / "out")
