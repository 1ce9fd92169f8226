"""What every export must keep, run on each one there is in tasks/exports/."""

import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import release_workspace as rw

import tasks.exports
from schema import plugins
from schema.digest import sha256_file
from tasks.exports import Draft

PLUGINS = plugins.find(tasks.exports)
HEAVY = {"torch", "diffusers", "transformers", "mlflow", "great_expectations", "prefect"}


@pytest.fixture(params=sorted(PLUGINS))
def export(request):
    return PLUGINS[request.param]()


def draft(root, n: int, shard_size: int, salt: int = 0) -> Draft:
    rw.write_samples(root, range(salt, salt + n), shard_size)
    shards = sorted((root / "data/samples" / rw.NAME).glob("*.parquet"))
    return Draft(rw.NAME, rw.CLASSES, shards, sum(pq.read_metadata(path).num_rows for path in shards), rw.TOLD)


def written(folder) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_the_kind_is_the_name_of_the_module(export):
    assert type(export).__module__ == f"tasks.exports.{export.kind.replace('-', '_')}"


def test_the_same_records_give_the_same_bytes_however_they_are_sharded(export, tmp_path):
    for name, shard_size in (("one", 300), ("many", 7), ("again", 300)):
        export.write(draft(tmp_path / name, 300, shard_size), tmp_path / "out" / name)
    one, many, again = (written(tmp_path / "out" / name) for name in ("one", "many", "again"))
    assert one
    assert one == again == many


def test_other_records_give_other_bytes(export, tmp_path):
    export.write(draft(tmp_path / "a", 5, 5), tmp_path / "out/a")
    export.write(draft(tmp_path / "b", 5, 5, salt=1), tmp_path / "out/b")
    assert written(tmp_path / "out/a") != written(tmp_path / "out/b")


def test_nothing_of_the_place_is_in_the_files(export, tmp_path):
    export.write(draft(tmp_path / "somewhere", 5, 5), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_nothing_is_written_but_in_the_folder(export, tmp_path):
    release = draft(tmp_path / "in", 5, 5)
    before = set(tmp_path.rglob("*"))
    export.write(release, tmp_path / "out")
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new
    assert all(path.is_relative_to(tmp_path / "out") for path in new)


def test_importing_it_is_light(export):
    code = f"import sys, {type(export).__module__}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=rw.CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(printed.split())
