"""Parquet as a source: what we export comes back pixel for pixel, the Hugging Face layout is understood, and no file does harm."""

import json
import os
import pickle
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import release_workspace as rw

from schema.digest import sha256_pixels
from schema.errors import SynthmillError, UsageError
from schema.params import validate
from schema.record import IMAGE, Rejected, encode_png
from tasks.exports import Draft
from tasks.exports import parquet as export
from tasks.sources import parquet
from tasks.sources.parquet import Plugin

RNG = np.random.default_rng(6)
LABELS = {"label": {"_type": "ClassLabel", "names": ["normal", "pneumonia"]}}


def source(folder, at_least=None, **options) -> Plugin:
    return Plugin(validate(Plugin.Config, {"kind": "parquet", "folder": str(folder), **options}, "source"), at_least)


def picture(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape or (4, 5), dtype=np.uint8)


def image(pixels: np.ndarray | None = None) -> dict:
    return {"bytes": encode_png(picture() if pixels is None else pixels), "path": "a.png"}


def write(path, rows: list[dict], features: dict | None = None, group: int = 1000, schema: pa.Schema | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=group)


def reasons(plugin: Plugin) -> list[str | None]:
    return [getattr(item, "reason", None) for item in plugin.records()]


def test_a_release_comes_back_pixel_for_pixel(tmp_path, monkeypatch):
    rw.write_samples(tmp_path, range(600), 128)
    shards = sorted((tmp_path / "data/samples" / rw.NAME).glob("*.parquet"))
    monkeypatch.setattr(export, "FILE_BYTES", -(-sum(path.stat().st_size for path in shards) // 2))
    export.Plugin().write(Draft(rw.NAME, rw.CLASSES, shards, 600, rw.TOLD), tmp_path / "release")
    plugin = source(tmp_path / "release")
    assert plugin.count() == 600
    assert plugin.labels() == set(rw.CLASSES)
    assert [unit.facts["first"] for unit in plugin.units()] == [0, 256, 0, 256]
    assert all(len(unit.files) == 1 for unit in plugin.units())
    records = list(plugin.records())
    for seed, record in enumerate(records):
        np.testing.assert_array_equal(record.image, rw.pixels(seed)[:, :, 0])
        assert (record.label, record.split) == (rw.CLASSES[seed % 2], "train")
        assert record.patient == sha256_pixels(record.image)
        assert record.attributes["seed"] == 500 + seed


def test_hardly_more_rows_than_asked_for_are_decoded(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet", [{"image": image(), "label": "x"} for _ in range(100)])
    decoded = Counter()
    monkeypatch.setattr(parquet, "decode", lambda data, at_least: decoded.update(n=1) or picture())
    next(source(tmp_path).records())
    assert decoded["n"] == 1


def test_labels_are_the_names_of_the_class_label_words_or_whole_numbers(tmp_path):
    rows = [{"image": image(), "label": label, "word": word} for label, word in ((1, "b"), (0, " a "), (-1, ""), (None, None))]
    write(tmp_path / "a.parquet", rows, LABELS)
    assert [getattr(item, "label", None) for item in source(tmp_path).records()] == ["pneumonia", "normal", None, None]
    assert reasons(source(tmp_path)) == [None, None, "no label", "no label"]
    assert source(tmp_path).labels() == {"normal", "pneumonia"}
    assert [getattr(item, "label", None) for item in source(tmp_path, label="word").records()] == ["b", "a", None, None]
    write(tmp_path / "a.parquet", rows)
    assert source(tmp_path).labels() == {"0", "1", "-1"}
    assert source(tmp_path, classes={"0": "n", "1": "p", "-1": "other"}).labels() == {"n", "p", "other"}
    ignoring = source(tmp_path, classes={"0": "n"}, other="ignore")
    assert [item.asked for item in ignoring.records() if isinstance(item, Rejected)] == [True, True, False]
    with pytest.raises(SynthmillError, match=r"a\.parquet: row 0, column 'label': a word is not in ingest\.source\.classes"):
        source(tmp_path, classes={"0": "n"}).labels()
    write(tmp_path / "a.parquet", [{"image": image(), "label": 0}, {"image": image(), "label": 2}], LABELS)
    with pytest.raises(SynthmillError, match="row 1, column 'label': it is none of the 2 classes in the metadata"):
        source(tmp_path).labels()


def test_splits_are_a_column_or_what_all_files_begin_with(tmp_path):
    for name in ("train-00000-of-00001", "sub/validation-00000-of-00001", "test.0"):
        write(tmp_path / f"{name}.parquet", [{"image": image(), "label": "x", "part": "val"}])
    assert [record.split for record in source(tmp_path).records()] == ["holdout", "test", "train"]
    assert {record.split for record in source(tmp_path, split="part").records()} == {"holdout"}
    assert [record.split for record in source(tmp_path, files="**/train-*.parquet").records()] == ["train"]
    write(tmp_path / "more.parquet", [{"image": image(), "label": "x", "part": "later"}])
    assert {record.split for record in source(tmp_path).records()} == {None}
    assert reasons(source(tmp_path, split="part")) == ["not a split", None, None, None]


def test_further_images_lie_on_the_grid_of_the_first(tmp_path):
    pixels, mask = picture(6, 8), (picture(3, 4) % 3).astype(np.uint8)
    rows = [{"image": image(pixels), "label": "x", "seg": image(mask)}, {"image": image(pixels), "label": "x", "seg": image(picture(8, 6))}]
    write(tmp_path / "a.parquet", [*rows, {"image": image(), "label": "x", "seg": None}])
    items = list(source(tmp_path, images={"mask": "seg"}).records())
    np.testing.assert_array_equal(items[0].images["mask"], mask.repeat(2, 0).repeat(2, 1))
    assert [item.reason for item in items[1:]] == ["mask image of another shape", "mask image: no image"]


def test_patients_and_attributes_of_all_plain_types(tmp_path):
    columns = {
        "image": pa.array([image(), image()], IMAGE),
        "label": pa.array(["x", "y"]).dictionary_encode(),
        "who": pa.array([0, None]),
        "sex": pa.array([1, -1]),
        "age": pa.array([61.5, None]),
        "findings": pa.array([["a", None, "b"], None]),
        "ward": pa.array(["east", "east"]).dictionary_encode(),
        "day": pa.array([19000, None], pa.date32()),
        "smokes": pa.array([True, None]),
        "struct": pa.array([{"name": "DOE"}, None]),
        "blob": pa.array([b"DOE", None]),
    }
    features = {"sex": {"_type": "ClassLabel", "names": ["f", "m"]}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "a.parquet")
    record, rejected = source(tmp_path, patient="who").records()
    assert (record.id, record.patient) == ("a.parquet#0", "0")
    said = {"label": "x", "sex": "m", "age": 61.5, "findings": ["a", "b"], "ward": "east", "day": "2022-01-08", "smokes": "true"}
    assert record.attributes == said
    assert rejected == Rejected("a.parquet#1", "no patient")


def test_a_row_that_cannot_be_used_is_set_aside_and_no_path_is_followed(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode_png(picture()))
    images = [image(), {"bytes": None, "path": str(secret)}, {"bytes": None, "path": None}, None]
    images += [{"bytes": b"", "path": None}, {"bytes": image()["bytes"][:50], "path": None}, {"bytes": b"no image", "path": str(secret)}]
    write(tmp_path / "a.parquet", [{"image": each, "label": "x"} for each in images])
    outside = "image outside the file: save the dataset with its images embedded"
    assert reasons(source(tmp_path)) == [None, outside, "no image", "no image", "zero-byte file", "truncated image", "not a readable image"]
    write(tmp_path / "a.parquet", [{"image": each and each["bytes"], "label": "x"} for each in images])
    assert reasons(source(tmp_path))[:2] == [None, "no image"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": "img"}, r"no column 'img' for ingest\.source\.image \(did you mean 'image'\?\); it has: image, label"),
        ({"patient": "who"}, r"no column 'who' for ingest\.source\.patient"),
        ({"image": "label"}, "the column 'label' is string, not image bytes"),
        ({"label": "words"}, "the column 'words' is list<.*>, not one word a row"),
        ({"files": "*.pq"}, r"is named like '\*\.pq': mend ingest\.source\.files"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, options, message):
    write(tmp_path / "a.parquet", [{"image": image(), "label": "x", "words": ["x"]}])
    with pytest.raises(SynthmillError, match=message):
        source(tmp_path, **options).files()


def test_a_further_image_cannot_be_called_as_the_first(tmp_path):
    with pytest.raises(UsageError, match="a further image cannot be called 'image'"):
        source(tmp_path, images={"image": "mask"})


def test_a_damaged_file_is_one_clear_error_whichever_bytes_are_wrong(tmp_path):
    write(tmp_path / "a.parquet", [{"image": image(), "label": "x"} for _ in range(4)], group=2)
    whole = (tmp_path / "a.parquet").read_bytes()
    faults = []
    for at in range(0, len(whole), 11):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x2A]) + whole[at + 1 :]):
            (tmp_path / "a.parquet").write_bytes(data)
            try:
                list(source(tmp_path).records())
            except SynthmillError as error:
                faults.append(str(error))
    assert len(faults) > len(whole) // 11
    assert all(fault.startswith("a.parquet: ") and str(tmp_path) not in fault for fault in faults)


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    bomb = pickle.dumps(Bomb())
    extension = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": bomb}
    fields = [("image", IMAGE), ("label", pa.string()), pa.field("x", pa.int64(), metadata=extension)]
    schema = pa.schema(fields, metadata={"pandas": bomb, "huggingface": bomb})
    write(tmp_path / "a.parquet", [{"image": image(), "label": "x", "x": 1}], schema=schema)
    assert reasons(source(tmp_path)) == [None]
    assert not (tmp_path / "exploded").exists()
