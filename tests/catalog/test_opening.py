"""The forms that a release opens in: by batch, by index, as a Hugging Face dataset; whole, in part, and from a cache that was altered."""

import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
import release_workspace as rw
import torch

import catalog
from catalog import cache, sums
from catalog.by_index import ByIndex
from catalog.rows import Rows
from schema.errors import IntegrityError, SynthmillError, UsageError
from tasks.exports import Draft
from tasks.exports.parquet import Plugin
from tests.full_disk import full_disk

TAG = f"{rw.NAME}@v1.0.0"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """1000 rows in three files, in row groups of 256 and less, as the release stage writes them."""
    root = tmp_path_factory.mktemp("rows")
    from tasks.exports import parquet

    rw.write_samples(root, range(1000), shard_size=300)
    shards = sorted((root / "data/samples" / rw.NAME).glob("*.parquet"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "FILE_BYTES", sum(path.stat().st_size for path in shards) // 3 + 1)
        Plugin().write(Draft(rw.NAME, rw.CLASSES, shards, 1000, rw.TOLD), root / "release")
    return root / "release"


def seeds(rows: Rows, size: int = 256) -> list[int]:
    return [seed for batch in rows.batches(["seed"], size) for seed in batch.column("seed").to_pylist()]


class TestRows:
    def test_files_and_groups_leave_no_trace(self, files):
        assert [pq.read_metadata(path).num_row_groups for path in sorted((files / "data").iterdir())] == [2, 2, 2]
        assert seeds(Rows.of(files)) == list(range(500, 1500))

    @pytest.mark.parametrize("percent", [0, 1, 20, 33, 34, 66, 80, 99, 100])
    def test_a_part_and_the_rest_are_all_rows_once(self, files, percent):
        parts = [f"train[:{percent}%]"] * (percent > 0) + [f"train[{percent}%:]"] * (percent < 100)
        found = [seeds(Rows.of(files, part), 100) for part in parts]
        assert [seed for part in found for seed in part] == list(range(500, 1500))
        assert len(found[-1]) == (1000 - 10 * percent or 1000)

    def test_it_is_the_same_rows_each_time_and_in_the_middle(self, files):
        assert seeds(Rows.of(files, "train[33%:67%]"), 7) == list(range(830, 1170))

    def test_a_batch_holds_no_more_than_a_row_group(self, files):
        assert max(batch.num_rows for batch in Rows.of(files).batches(batch_size=10_000)) <= 1000 // 3 + 1
        assert {batch.num_rows for batch in Rows.of(files, "train[:20%]").batches(batch_size=64)} <= {64, 8}

    def test_a_pass_over_all_rows_holds_a_few_of_them(self, tmp_path):
        """10 MB of incompressible images, in 40 row groups: at no time is a fifth of them in memory."""
        import pyarrow as pa

        (tmp_path / "data").mkdir()
        noise = np.random.default_rng(0).bytes(10_240_000)
        table = pa.table({"image": [noise[4000 * k : 4000 * (k + 1)] for k in range(2560)]})
        pq.write_table(table, tmp_path / "data/train-00000-of-00001.parquet", row_group_size=64)
        del table
        before = pa.total_allocated_bytes()
        held = [pa.total_allocated_bytes() - before for _ in Rows.of(tmp_path).batches(batch_size=64)]
        assert len(held) == 40
        assert max(held) < 2_048_000


def test_every_form_has_the_same_images(reader):
    table = catalog.load(TAG)
    assert table.schema.metadata[b"huggingface"]
    expected = [row["id"] for row in table.to_pylist()]
    assert [each for batch in catalog.stream(TAG, columns=["id"], batch_size=5) for each in batch.column("id").to_pylist()] == expected
    assert [len(frame) for frame in catalog.load(TAG, as_="pandas", streaming=True, batch_size=8)] == [8, 4]
    by_index, stream = (catalog.load(TAG, as_="torch", split="train[50%:]", streaming=streaming) for streaming in (False, True))
    assert len(by_index) == len(stream) == 6
    for number, ((image, label), (other, same)) in enumerate(zip((by_index[k] for k in range(6)), stream, strict=True), start=6):
        np.testing.assert_array_equal(image.numpy(), rw.pixels(number).transpose(2, 0, 1).astype(np.float32) / 255)
        assert torch.equal(image, other)
        assert label == same == number % 2
    again = pickle.loads(pickle.dumps(by_index))
    assert torch.equal(again[3][0], by_index[3][0])
    batch, _ = next(iter(torch.utils.data.DataLoader(stream, batch_size=4)))
    assert batch.shape == (4, 1, 16, 16)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hugging_face_dataset_with_pictures_and_class_names(reader, streaming):
    datasets = pytest.importorskip("datasets")
    found = catalog.load(TAG, as_="datasets", split="train[25%:]", columns=["image", "label"], streaming=streaming)
    assert isinstance(found, datasets.IterableDataset if streaming else datasets.Dataset)
    rows = list(found)
    assert len(rows) == 9
    assert found.features["label"].names == rw.CLASSES
    np.testing.assert_array_equal(np.asarray(rows[0]["image"]), rw.pixels(3)[:, :, 0])


def test_a_cached_copy_that_was_altered_is_fetched_again(released):
    catalog.load(TAG)
    folder = cache.cached(catalog.find(TAG), released.root)
    data = folder / "data/train-00000-of-00001.parquet"
    whole = data.read_bytes()
    # The same size, one byte another: the time tells, then the digest.
    data.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    catalog.load(TAG)
    assert data.read_bytes() == whole
    # Touched and not changed: it is checked, and stays where it is.
    inode = data.stat().st_ino
    os.utime(data)
    catalog.load(TAG)
    assert data.stat().st_ino == inode
    assert cache.is_as_left(folder)


def test_what_torch_reads_by_index_is_written_anew_where_it_was_altered(released):
    first = [image.clone() for image, _ in catalog.load(TAG, as_="torch")]

    def same() -> bool:
        """By those who have it open, and by who opens it now."""
        return all(map(torch.equal, first, (image for image, _ in catalog.load(TAG, as_="torch")))) and torch.equal(first[3], images[3][0])

    images = catalog.load(TAG, as_="torch")
    whole = images.rows.path.read_bytes()
    for altered in (b"nothing", whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], bytes(len(whole)), whole[::-1]):
        images.rows.path.write_bytes(altered)
        assert same()
    images.rows.places_path.write_bytes(b"nothing")
    assert same()
    for path in (images.rows.path, images.rows.places_path):
        path.unlink()
    assert same()


class TestByIndex:
    def test_only_the_groups_that_were_asked_for_are_kept_each_once(self, files, tmp_path):
        pngs = Rows.of(files).table(["image", "label"])
        rows = ByIndex(Rows.of(files, "train[50%:]"), tmp_path)
        assert rows.n == 1000
        for k in (700, 0, 999, 701, 0):
            assert rows[k] == (pngs["image"][k].as_py()["bytes"], pngs["label"][k].as_py())
        held = [rows.starts[number] <= k < (*rows.starts, 1000)[number + 1] for k in range(1000) for number in (0, 4, 5)]
        assert int((rows.places["size"] > 0).sum()) == sum(held)
        assert rows.path.stat().st_size == rows.places["size"].sum()

    def test_processes_and_threads_may_fill_it_at_once(self, files, tmp_path):
        expected = Rows.of(files).table(["image"])["image"].combine_chunks().field("bytes").to_pylist()
        rows = ByIndex(Rows.of(files), tmp_path)
        order = np.random.default_rng(0).permutation(1000).tolist()
        with ThreadPoolExecutor(8) as threads, multiprocessing.get_context("spawn").Pool(2) as processes:
            found = [processes.apply_async(read_all, (rows, order[::step])) for step in (1, -1)]
            assert [png for png, _ in threads.map(rows.__getitem__, order)] == [expected[k] for k in order]
            for step, one in zip((1, -1), found, strict=True):
                assert one.get(60) == [expected[k] for k in order[::step]]
        assert [rows._kept(k)[0] for k in range(1000)] == expected
        assert rows.path.stat().st_size == sum(map(len, expected)), "nothing is kept twice"

    def test_a_full_disk_is_an_error_in_words_and_the_next_try_goes_on(self, files, tmp_path):
        rows = ByIndex(Rows.of(files), tmp_path)
        kept = rows[0]
        words = r"train\.png cannot be written \(File too large\): free space on its disk"
        with full_disk(rows.path.stat().st_size + 100), pytest.raises(SynthmillError, match=words):
            rows[999]
        assert rows[0] == kept
        assert rows[999][0].startswith(b"\x89PNG")


def read_all(rows: ByIndex, order: list[int]) -> list[bytes]:
    return [rows[k][0] for k in order]


def test_a_folder_that_get_made_opens_without_git_and_is_checked_when_it_changes(reader, tmp_path, monkeypatch):
    shutil.copytree(reader.release, tmp_path / "got")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    assert catalog.load(f"{tmp_path}/got", columns=["seed"]).num_rows == 12
    monkeypatch.setattr(sums, "check", lambda folder: pytest.fail("checked twice, with nothing changed"))
    assert catalog.load(f"{tmp_path}/got/", columns=["seed"], split="train[:50%]").num_rows == 6
    monkeypatch.undo()
    monkeypatch.setenv("SYNTHMILL_CACHE", str(reader.home / "cache"))
    (tmp_path / "got/README.md").write_text("# Better")
    with pytest.raises(IntegrityError, match=r"changed: README\.md"):
        catalog.load(tmp_path / "got")
    with pytest.raises(UsageError, match="no column 'labels'"):
        Rows.of(tmp_path / "got", columns=["labels"])
