"""The MedMNIST source: what it reads, what it refuses, and its download (from a web server of its own)."""

import hashlib
import pickle
import zipfile
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.params import validate
from tasks.sources import medmnist
from tasks.sources.medmnist import Plugin

SIZES = {"train": 5, "val": 3, "test": 2}
CLASSES = {0: "normal", 1: "pneumonia"}


def arrays(shape=(28, 28), **changes) -> dict[str, np.ndarray]:
    """Random pixels in MedMNIST's keys; `changes` replace arrays, or take a key out with None."""
    rng = np.random.default_rng(3)
    whole = {f"{split}_images": rng.integers(0, 256, (n, *shape), dtype=np.uint8) for split, n in SIZES.items()}
    whole |= {f"{split}_labels": (np.arange(n) % 2).astype(np.uint8)[:, None] for split, n in SIZES.items()}
    return {key: value for key, value in (whole | changes).items() if value is not None}


def source(file: Path | str | None = None, **options) -> Plugin:
    section = {"kind": "medmnist", "file": None if file is None else str(file), "classes": CLASSES, **options}
    return Plugin(validate(Plugin.Config, section, "source"))


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (64, 64)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_pixel_and_label_comes_back_in_order(tmp_path, shape, save):
    given = arrays(shape)
    save(tmp_path / "a.npz", **given)
    records = list(source(tmp_path / "a.npz").records())
    np.testing.assert_array_equal(
        np.stack([record.image for record in records]), np.concatenate([given[f"{split}_images"] for split in SIZES])
    )
    assert [record.label for record in records] == [CLASSES[i % 2] for n in SIZES.values() for i in range(n)]
    assert [record.id for record in records] == [f"{split}/{i}" for split, n in SIZES.items() for i in range(n)]
    assert Counter(record.split for record in records) == {"train": 5, "holdout": 3, "test": 2}


def test_flat_and_wide_labels_are_read_too(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays(train_labels=np.array([0, 1, 0, 0, 0], dtype=">i8")))
    labels = [record.label for record in source(tmp_path / "a.npz").records()]
    assert labels[:5] == ["normal", "pneumonia", "normal", "normal", "normal"]


def test_exact_duplicates_are_one_patient_and_one_changed_pixel_is_another(tmp_path):
    given = arrays()
    given["test_images"][0] = given["train_images"][4]
    given["test_images"][1] = given["train_images"][4]
    given["test_images"][1, 27, 27] ^= 1
    np.savez(tmp_path / "a.npz", **given)
    patient = {record.id: record.patient for record in source(tmp_path / "a.npz").records()}
    assert patient["test/0"] == patient["train/4"]
    assert len(set(patient.values())) == sum(SIZES.values()) - 1


BAD_ARRAYS = {
    "lacks keys": ({"val_images": None, "val_labels": None, "extra": np.zeros(2)}, r"lacks val_images, val_labels; it has: .*extra"),
    "labels of another length": (
        {"train_labels": np.zeros((4, 1), np.uint8)},
        "train_labels has 4 labels for the 5 images of train_images",
    ),
    "undeclared label": ({"test_labels": np.array([[0], [7]], np.uint8)}, "test_labels has the label 7, which .*classes lacks"),
    "several labels an image": ({"train_labels": np.zeros((5, 14), np.uint8)}, r"shape \(5, 14\), not N or N x 1"),
    "labels that are no whole numbers": ({"train_labels": np.full((5, 1), np.nan)}, "train_labels is float64, not whole numbers"),
    "no labels dimension": ({"train_labels": np.uint8(1)}, r"shape \(\), not N or N x 1"),
    "NaN pixels": ({"val_images": np.full((3, 28, 28), np.nan, np.float32)}, "val_images is float32, not uint8"),
    "16-bit pixels": ({"val_images": np.zeros((3, 28, 28), np.uint16)}, "val_images is uint16, not uint8"),
    "a volume": ({"train_images": np.zeros((5, 28, 28, 28), np.uint8)}, r"\(5, 28, 28, 28\), not N x H x W or N x H x W x 3"),
    "no training images": (
        {"train_images": np.zeros((0, 28, 28), np.uint8), "train_labels": np.zeros((0, 1), np.uint8)},
        "train_images is empty",
    ),
    "splits of two shapes": ({"test_images": np.zeros((2, 28, 28, 3), np.uint8)}, r"differ in shape \(\(28, 28\) and \(28, 28, 3\)\)"),
    "Fortran order": ({"train_images": np.asfortranarray(np.zeros((5, 28, 28), np.uint8))}, "train_images is in Fortran order"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_arrays_that_are_not_medmnists_are_refused_before_any_image_is_read(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(SynthmillError, match=message):
        source(tmp_path / "a.npz").files()


class Trap:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_objects_are_refused_and_never_loaded(tmp_path):
    trap = Trap(tmp_path / "sprung")
    np.savez(tmp_path / "a.npz", **arrays(train_labels=np.array([trap] * 5, dtype=object)))
    with pytest.raises(SynthmillError, match="train_labels holds pickled objects"):
        source(tmp_path / "a.npz").files()
    (tmp_path / "b.npz").write_bytes(pickle.dumps(trap))
    with pytest.raises(SynthmillError, match="not an npz"):
        source(tmp_path / "b.npz").files()
    assert not trap.path.exists()


def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **arrays())
    data = (tmp_path / "a.npz").read_bytes()
    for size in (0, 1, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.npz").write_bytes(data[:size])
        with pytest.raises(SynthmillError, match=r"cut\.npz: it is (not an npz|damaged)"):
            source(tmp_path / "cut.npz").files()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_flipped_bit_in_the_pixels_is_found(tmp_path, save):
    save(tmp_path / "a.npz", **arrays())
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[2000] ^= 4
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(SynthmillError, match="it is damaged"):
        list(source(tmp_path / "a.npz").records())


BROKEN_HEADS = {
    "nothing": b"",
    "a pickle": b"(lp0\n.",
    "no Python": b"\x93NUMPY\x01\x00\x0e\x00{'descr': (((\n",
    "far too long": b"\x93NUMPY\x02\x00\x20\x4e\x00\x00" + b" " * 20000,
    "cut": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("head", BROKEN_HEADS.values(), ids=BROKEN_HEADS)
def test_an_array_with_a_broken_head_is_refused(tmp_path, head):
    np.savez(tmp_path / "a.npz", **arrays(val_images=None))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("val_images.npy", head)
    with pytest.raises(SynthmillError, match=r"a\.npz: it is damaged or not an npz") as caught:
        source(tmp_path / "a.npz").files()
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unset_data_folder_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(SynthmillError, match=r"nowhere\.npz is not there: mend ingest\.source\.file"):
        source(tmp_path / "nowhere.npz").files()
    monkeypatch.delenv("SYNTHMILL_DATA", raising=False)
    with pytest.raises(SynthmillError, match="export SYNTHMILL_DATA="):
        source("medmnist/a.npz").files()
    with pytest.raises(UsageError, match="climbs out"):
        source("../a.npz").files()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "write either `file` or `flag`"),
        ({"file": "a.npz", "flag": "pneumoniamnist"}, "write either `file` or `flag`"),
        ({"flag": "pneumonia-mnist"}, "did you mean 'pneumoniamnist'"),
        ({"flag": "chestmnist"}, "not a 2D set of MedMNIST with one label an image"),
        ({"file": "a.npz", "classes": {}}, "classes"),
        ({"file": "a.npz", "classes": {"zero": "normal"}}, r"classes\.zero"),
    ],
)
def test_config_says_what_it_wants(options, message):
    with pytest.raises(UsageError, match=message):
        source(**options)


class Server(BaseHTTPRequestHandler):
    """Serves one file; cuts the first answer after `state["cut"]` bytes; answers ranges if `state["ranges"]`."""

    def __init__(self, state, *args) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.state["asked"].append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.state["ranges"] else 0
        data = self.state["data"][start:]
        if start and not data:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: self.state.pop("cut", None)])

    def log_message(self, *args) -> None:
        """Says nothing on stderr."""


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server in Zenodo's place that has one official file; its state can be changed."""
    np.savez_compressed(tmp_path / "official.npz", **arrays())
    state = {"data": (tmp_path / "official.npz").read_bytes(), "asked": [], "ranges": True}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, state))
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(medmnist, "RECORD", f"http://127.0.0.1:{server.server_port}/files")
    monkeypatch.setitem(medmnist.MD5, "pneumoniamnist", hashlib.md5(state["data"]).hexdigest())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path / "root"))
    yield state
    server.shutdown()
    server.server_close()


def flagged() -> Plugin:
    return source(flag="pneumoniamnist")


def downloaded(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "root/data/downloads/medmnist").iterdir() if not path.name.endswith(".lock"))


def test_a_flag_downloads_once(web, tmp_path):
    [path] = flagged().files()
    assert path.read_bytes() == web["data"]
    assert flagged().files() == [path]
    assert len(list(flagged().records())) == 10
    assert web["asked"] == [None]
    assert downloaded(tmp_path) == ["pneumoniamnist.npz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_goes_on_where_it_stopped(web, tmp_path, ranges):
    web.update(cut=1500, ranges=ranges)
    with pytest.raises(SynthmillError, match=r"could not be downloaded .*run again"):
        flagged().files()
    assert downloaded(tmp_path) == [".pneumoniamnist.npz.part"]
    [path] = flagged().files()
    assert web["asked"] == [None, "bytes=1500-"]
    assert path.read_bytes() == web["data"]
    assert downloaded(tmp_path) == ["pneumoniamnist.npz"]


def test_a_download_killed_between_its_last_byte_and_its_name_is_finished(web, tmp_path):
    web["cut"] = 0
    with pytest.raises(SynthmillError):
        flagged().files()
    (tmp_path / "root/data/downloads/medmnist/.pneumoniamnist.npz.part").write_bytes(web["data"])
    assert flagged().files()[0].read_bytes() == web["data"]


def test_other_bytes_than_the_official_ones_are_never_kept(web, tmp_path):
    official, web["data"] = web["data"], b"<html>please log in</html>"
    with pytest.raises(IntegrityError, match="came with the MD5"):
        flagged().files()
    assert downloaded(tmp_path) == []
    web["data"] = official
    [path] = flagged().files()
    path.write_bytes(official[:-1])
    with pytest.raises(IntegrityError, match=r"data/downloads/medmnist/pneumoniamnist\.npz does not have its official MD5"):
        flagged().files()


def test_without_a_network_it_says_where_the_file_can_be_put(web, tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "RECORD", "http://127.0.0.1:9/files")
    with pytest.raises(SynthmillError, match=r"could not be downloaded \(.*put the file at data/downloads/medmnist/pneumoniamnist\.npz"):
        flagged().files()
    (tmp_path / "root/data/downloads/medmnist/pneumoniamnist.npz").write_bytes(web["data"])
    assert len(list(flagged().records())) == 10


def test_pneumoniamnist_has_exact_duplicates_that_its_own_splits_tear_apart(data_root, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_DATA", str(data_root))
    plugin = source("medmnist/pneumoniamnist.npz")
    records = list(plugin.records())
    assert plugin.labels() == {"normal", "pneumonia"}
    assert Counter(record.split for record in records) == {"train": 4184, "holdout": 524, "test": 524}
    assert Counter(record.label for record in records) == {"normal": 1349, "pneumonia": 3883}

    with np.load(data_root / "medmnist/pneumoniamnist.npz") as npz:
        pixels = np.concatenate([npz[f"{split}_images"].reshape(-1, 784) for split in SIZES])
    distinct = np.unique(pixels, axis=0)
    assert len({record.patient for record in records}) == len(distinct) == 5206
    splits_of: dict[str, set] = {}
    for record in records:
        splits_of.setdefault(record.patient, set()).add(record.split)
    assert sum(len(splits) > 1 for splits in splits_of.values()) == 13
