"""What every export must keep, run on each one there is in tasks/exports/."""

import csv
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import export_workspace as ew
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import release_workspace as rw
from PIL import Image

import tasks.exports
from catalog import sums
from schema import plugins
from schema.digest import read_json, sha256_file
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.marking import DIGITAL_SOURCE_TYPE
from schema.record import encode_png
from tasks.exports import Draft, Export, MainForm
from tests.full_disk import full_disk

PLUGINS = plugins.find(tasks.exports)
MAIN = sorted(kind for kind, plugin in PLUGINS.items() if issubclass(plugin, MainForm))
EXPORTS = sorted(kind for kind, plugin in PLUGINS.items() if issubclass(plugin, Export))
HEAVY = {"torch", "diffusers", "transformers", "mlflow", "great_expectations", "prefect"}
GREY, RGB = (16, 14), (15, 13, 3)


@pytest.fixture(params=MAIN)
def main_form(request):
    return PLUGINS[request.param]()


@pytest.fixture(params=EXPORTS)
def export(request):
    return PLUGINS[request.param]()


def draft(root, n: int, shard_size: int, salt: int = 0) -> Draft:
    rw.write_samples(root, range(salt, salt + n), shard_size)
    shards = sorted((root / "data/samples" / rw.NAME).glob("*.parquet"))
    return Draft(rw.NAME, rw.CLASSES, shards, sum(pq.read_metadata(path).num_rows for path in shards), rw.TOLD)


def written(folder) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def lines(path: Path) -> list[dict]:
    """The lines of a metadata.csv, as JSON has the records."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{**row, "label": int(row["label"]), "seed": int(row["seed"]), "findings": json.loads(row["findings"])} for row in rows]


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def marked(data: bytes) -> bool:
    """By the packet that Pillow finds in the file, read as the XML that it is."""
    packet = ElementTree.fromstring(Image.open(io.BytesIO(data)).info["xmp"])
    (said,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    return said.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == DIGITAL_SOURCE_TYPE


def read_image_folder(folder: Path) -> list[tuple[dict, np.ndarray, bool]]:
    found = [(row, (folder / "train" / row["file_name"]).read_bytes()) for row in lines(folder / "train/metadata.csv")]
    assert len(list((folder / "train").rglob("*.png"))) == len(found)
    return [(row, opened(data), marked(data)) for row, data in found]


def read_webdataset(folder: Path) -> list[tuple[dict, np.ndarray, bool]]:
    found = {}
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            found |= {entry.name: tar.extractfile(entry).read() for entry in tar}
    said = [json.loads(data) for name, data in found.items() if name.endswith(".json")]
    assert len(found) == 2 * len(said)
    return [(each, opened(found[f"{each['id']}.png"]), marked(found[f"{each['id']}.png"])) for each in said]


def read_medmnist(folder: Path) -> list[tuple[dict, np.ndarray, bool]]:
    """An npz has no place in an image: the whole says it once."""
    arrays = np.load(folder / f"{rw.NAME}.npz", allow_pickle=False)
    said = json.loads(str(arrays["synthetic"]))["digital_source_type"] == DIGITAL_SOURCE_TYPE
    rows = [
        {**row, "label": int(label[0])} for row, label in zip(lines(folder / "metadata.csv"), arrays["train_labels"].tolist(), strict=True)
    ]
    return [(row, image, said) for row, image in zip(rows, arrays["train_images"], strict=True)]


def read_dicom(folder: Path) -> list[tuple[dict, np.ndarray, bool]]:
    found = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    return [(json.loads(each.ImageComments), each.pixel_array, each.SyntheticData == "YES") for each in found]


READERS: dict[str, Callable[[Path], list[tuple[dict, np.ndarray, bool]]]] = {
    "image-folder": read_image_folder,
    "webdataset": read_webdataset,
    "medmnist": read_medmnist,
    "dicom": read_dicom,
}
"""For each export, how others read it: what is said of each image, its pixels, and whether it is marked as synthetic."""


@pytest.mark.parametrize("kind", sorted(PLUGINS))
def test_the_kind_is_the_name_of_the_module(kind):
    assert PLUGINS[kind].__module__ == f"tasks.exports.{kind.replace('-', '_')}"


@pytest.mark.parametrize("kind", sorted(PLUGINS))
def test_importing_it_is_light(kind):
    code = f"import sys, {PLUGINS[kind].__module__}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=rw.CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert HEAVY.isdisjoint(printed.split())


def test_the_same_records_give_the_same_bytes_however_they_are_sharded(main_form, tmp_path):
    for name, shard_size in (("one", 300), ("many", 7), ("again", 300)):
        main_form.write(draft(tmp_path / name, 300, shard_size), tmp_path / "out" / name)
    one, many, again = (written(tmp_path / "out" / name) for name in ("one", "many", "again"))
    assert one
    assert one == again == many


def test_other_records_give_other_bytes(main_form, tmp_path):
    main_form.write(draft(tmp_path / "a", 5, 5), tmp_path / "out/a")
    main_form.write(draft(tmp_path / "b", 5, 5, salt=1), tmp_path / "out/b")
    assert written(tmp_path / "out/a") != written(tmp_path / "out/b")


def test_nothing_of_the_place_is_in_the_files(main_form, tmp_path):
    main_form.write(draft(tmp_path / "somewhere", 5, 5), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_nothing_is_written_but_in_the_folder(main_form, tmp_path):
    release = draft(tmp_path / "in", 5, 5)
    before = set(tmp_path.rglob("*"))
    main_form.write(release, tmp_path / "out")
    new = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert new
    assert all(path.is_relative_to(tmp_path / "out") for path in new)


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "rgb"])
def test_every_record_is_there_once_with_its_pixels_its_words_and_the_mark(export, tmp_path, shape):
    """More records than are in memory at once; drawn by seed, so that the pixels are known from outside."""
    release = ew.release(tmp_path / "release", 300, shape)
    export.write(release, tmp_path / "out", {})
    found = sorted(READERS[export.kind](tmp_path / "out"), key=lambda each: each[0]["id"])
    rows = ew.rows_of(300, shape, rw.CLASSES)
    assert [said["id"] for said, _, _ in found] == [row["id"] for row in rows]
    for number, ((said, pixels, is_marked), row) in enumerate(zip(found, rows, strict=True)):
        assert is_marked
        np.testing.assert_array_equal(pixels, ew.pixels(number, shape))
        words = {name: value for name, value in row.items() if name != "image"}
        assert {name: said[name] for name in words} == words


def test_it_says_which_release_it_is_and_vouches_for_its_files(export, tmp_path):
    release = ew.release(tmp_path / "release")
    export.write(release, tmp_path / "out", {})
    said = read_json(tmp_path / "out/export.json")
    assert (said["kind"], said["release"], said["images"]) == (export.kind, f"{rw.NAME}@{ew.VERSION}", 5)
    assert said["provenance"] == sha256_file(tmp_path / "out/release/provenance.json") == sha256_file(release.path / "provenance.json")
    assert said["sums"] == sha256_file(release.path / "SHA256SUMS")
    assert {path: digest for path, digest in written(tmp_path / "out").items() if path != sums.NAME} == sums.check(tmp_path / "out")


def test_two_writes_give_equal_bytes_without_time_or_place(export, tmp_path, monkeypatch):
    for name, clock in (("one", 1e9), ("two", 2e9)):
        monkeypatch.setattr("time.time", lambda clock=clock: clock)
        export.write(ew.release(tmp_path / name / "release"), tmp_path / name / "out", {})
    assert written(tmp_path / "one/out") == written(tmp_path / "two/out")
    for path in (tmp_path / "one/out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_a_release_from_before_the_marking_is_marked_on_its_way_out(export, tmp_path):
    export.write(ew.release(tmp_path / "release", marked=False), tmp_path / "out", {})
    assert [is_marked for _, _, is_marked in READERS[export.kind](tmp_path / "out")] == [True] * 5


def test_a_full_disk_leaves_nothing(export, tmp_path):
    release = ew.release(tmp_path / "in/release")
    (tmp_path / "out").mkdir()
    with full_disk(250), pytest.raises(SynthmillError, match=r"exported was not written, nothing is left of it: .*File too large"):
        export.write(release, tmp_path / "out/exported", {})
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_in_use_and_an_unknown_option_are_refused(export, tmp_path):
    release = ew.release(tmp_path / "release")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    with pytest.raises(UsageError, match="out is not empty"):
        export.write(release, tmp_path / "out", {})
    with pytest.raises(UsageError, match=f"{export.kind} has no option 'colour'"):
        export.write(release, tmp_path / "new", {"colour": "green"})
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name in ("mine", "new")) == ["mine"]


def test_an_image_that_is_not_the_one_its_row_names_stops_it(export, tmp_path):
    release = ew.release(tmp_path / "release")
    (path,) = (release.path / "data").glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3]["image"]["bytes"] = encode_png(ew.pixels(77))
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    with pytest.raises(IntegrityError, match=rf"the pixels of {rows[3]['id']} are not those"):
        export.write(release, tmp_path / "out", {})
    assert not (tmp_path / "out").exists()
