"""The image-folder source: what is found, the rules for labels, and what is refused or set aside."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schema.errors import SynthmillError, UsageError
from schema.params import validate
from schema.record import Record, Rejected
from tasks.sources.image_folder import Plugin

RNG = np.random.default_rng(5)


def source(folder: Path, rows: str | bytes | None = None, **options) -> Plugin:
    """A source on `folder`, with `rows` as its labels.csv."""
    if rows is not None:
        (folder / "labels.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    section = {"kind": "image-folder", "folder": str(folder), "csv": "labels.csv", **options}
    return Plugin(validate(Plugin.Config, section, "source"))


def touch(folder: Path, *names: str) -> None:
    """Images that differ from one another."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (4, 4), dtype=np.uint8)).save(folder / name, format="PNG")


def test_nothing_is_lost_every_row_and_every_image_is_counted(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.png", "sub/unnamed.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "bad.png").write_bytes(b"")
    rows = "image,label,who\na.png,nv,p1\nb.png,,p1\nc.png,mel,\ngone.png,nv,p2\nbad.png,nv,p2\n"
    items = list(source(tmp_path, rows, patient="who").records())
    assert [item.id for item in items] == ["a.png", "b.png", "c.png", "gone.png", "bad.png", "sub/unnamed.png"]
    reasons = [None, "no label", "no patient", "missing file", "zero-byte file", "not in the csv"]
    assert [getattr(item, "reason", None) for item in items] == reasons


def test_images_are_read_one_at_a_time(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    records = source(tmp_path, "image,label\na.png,nv\nb.png,nv\n").records()
    assert next(records).id == "a.png"
    (tmp_path / "b.png").unlink()
    assert next(records) == Rejected("b.png", "missing file")


def test_without_a_patient_column_equal_pixels_are_one_patient(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    with Image.open(tmp_path / "a.png") as image:
        image.save(tmp_path / "copy.bmp")
    patient = {item.id: item.patient for item in source(tmp_path, "image,label\na.png,nv\nb.png,nv\ncopy.bmp,nv\n").records()}
    assert patient["a.png"] == patient["copy.bmp"] != patient["b.png"]


def test_names_may_lack_the_folder_and_the_suffix_but_must_be_clear(tmp_path):
    touch(tmp_path, "one/a.png", "one/b.v2.png", "two/a.png")
    rows = "image,label\none/a.png,nv\nb.v2,nv\ntwo/a,nv\n"
    plugin = source(tmp_path, rows)
    assert [item.id for item in plugin.records()] == ["one/a.png", "b.v2", "two/a"]
    assert plugin.files() == sorted(tmp_path / name for name in ("labels.csv", "one/a.png", "one/b.v2.png", "two/a.png"))
    with pytest.raises(SynthmillError, match=r"row 2: 'one/a\.png' and 'two/a\.png' are two files of one id"):
        source(tmp_path, "image,label\na.png,nv\n").files()


def test_a_name_cannot_climb_out(tmp_path):
    touch(tmp_path, "secret.png", "folder/a.png")
    items = source(tmp_path / "folder", "image,label\na.png,nv\n../secret.png,nv\n").records()
    assert [getattr(item, "reason", None) for item in items] == [None, "missing file"]
    with pytest.raises(UsageError, match="climbs out"):
        source(tmp_path / "folder", csv="../labels.csv").files()


def test_linked_folders_are_followed_once_and_links_to_nothing_are_no_files(tmp_path):
    touch(tmp_path, "folder/a.png", "folder/scans/c.png", "disk/b.png")
    for name, target in {"again": "folder", "linked": "disk", "first": "folder/scans", "lost.png": "gone.png"}.items():
        os.symlink(tmp_path / target, tmp_path / "folder" / name)
    plugin = source(tmp_path / "folder", "image,label\na.png,nv\nb.png,nv\nscans/c.png,nv\nlost.png,nv\n")
    assert [getattr(item, "reason", None) for item in plugin.records()] == [None, None, None, "missing file"]
    assert [file.name for file in plugin.files()] == ["a.png", "labels.csv", "b.png", "c.png"]


BAD_CSV = {
    "empty": ("", "it is empty"),
    "header only": ("image,label\n", "no rows below its header"),
    "no such column": (
        "image,labels\na.png,nv\n",
        r"no column 'label' for ingest\.source\.label \(did you mean 'labels'\?\); it has: image, labels",
    ),
    "column twice": ("image,label,label\na.png,nv,nv\n", "it has 2 columns 'label'"),
    "Latin-1": ("image,label\na.png,nævus\n".encode("latin-1"), "it is not UTF-8"),
    "UTF-16": ("image,label\na.png,nv\n".encode("utf-16"), "it is not UTF-8"),
    "open quote": ('image,label\na.png,"nv\n', "it is not readable CSV"),
    "short row": ("image,label\na.png,nv\nb.png\n", "row 3 has 1 cells, the header 2"),
    "comma in a value": ("image,label\na.png,nv\n\nb.png,nv, in situ\n", "row 4 has 3 cells, the header 2: quote values"),
    "row twice": ("image,label\na.png,nv\nb.png,nv\na.png,nv\n", "rows 2 and 4 are of one image"),
    "image twice": ("image,label\na.png,nv\na,nv\n", "rows 2 and 3 are of one image"),
    "no name": ("image,label\n,nv\n", "row 2 names no image"),
    "all elsewhere": ("image,label\nx.png,nv\ny.png,nv\n", "none of its 2 images is below"),
    "several labels": ("image,label\na.png,nv|mel\n", r"row 2 has several labels \(mel, nv\): .*priority.*multi_label: skip"),
}


@pytest.mark.parametrize(("rows", "message"), BAD_CSV.values(), ids=BAD_CSV)
@pytest.mark.parametrize("ask", [Plugin.files, Plugin.labels])
def test_a_csv_at_fault_is_refused_before_any_image_is_read(tmp_path, rows, message, ask):
    touch(tmp_path, "b.png")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(SynthmillError, match=r"labels\.csv: ") as caught:
        ask(source(tmp_path, rows))
    assert caught.match(message)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_csv_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_DATA", raising=False)
    with pytest.raises(SynthmillError, match=r"nowhere' is not there: mend ingest\.source\.folder"):
        source(tmp_path / "nowhere").files()
    with pytest.raises(SynthmillError, match=r"the csv 'labels\.csv' is neither in .* nor in SYNTHMILL_DATA"):
        source(tmp_path).files()
    with pytest.raises(SynthmillError, match="export SYNTHMILL_DATA="):
        source(Path("scans")).files()


def test_splits_are_read_and_a_patient_in_two_is_refused_without_a_name(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.png")
    rows = "image,label,who,set\na.png,nv,Jane Doe,Train\nb.png,nv,Ann Poe,val\nc.png,nv,{},{}\n"
    columns = {"patient": "who", "split": "set"}
    items = source(tmp_path, rows.format("Jane Doe", "train"), **columns).records()
    assert [item.split for item in items] == ["train", "holdout", "train"]
    with pytest.raises(SynthmillError, match=r"rows 2 \(train\) and 4 \(test\) put one patient into two splits") as caught:
        source(tmp_path, rows.format("Jane Doe", "test"), **columns).files()
    assert "Jane" not in str(caught.value)
    with pytest.raises(SynthmillError, match="row 4: 'later' is not a split"):
        source(tmp_path, rows.format("Kim Roe", "later"), **columns).files()


def labelled(folder: Path, **options) -> tuple[list[str | None], set[str]]:
    """The label of each of five chest X-rays, or the reason why it has none; and what labels() says."""
    findings = ["No Finding", "Pneumonia", "Mass|Pneumonia", "Mass", "Edema|Mass"]
    touch(folder, *(f"{i}.png" for i in range(5)))
    plugin = source(folder, "image,label\n" + "".join(f"{i}.png,{finding}\n" for i, finding in enumerate(findings)), **options)
    return [item.label if isinstance(item, Record) else item.reason for item in plugin.records()], plugin.labels()


def test_labels_without_a_mapping_are_the_words_and_several_need_a_rule(tmp_path):
    skipped, names = labelled(tmp_path, multi_label="skip")
    assert skipped == ["No Finding", "Pneumonia", "several labels", "Mass", "several labels"]
    assert names == {"No Finding", "Pneumonia", "Mass"}
    decided, names = labelled(tmp_path, priority=["Pneumonia", "Edema"])
    assert decided == ["No Finding", "Pneumonia", "Pneumonia", "Mass", "Edema"]
    assert names == {"No Finding", "Pneumonia", "Mass", "Edema"}


def test_labels_are_mapped_and_words_outside_the_mapping_need_a_rule(tmp_path):
    classes = {"No Finding": "normal", "Pneumonia": "pneumonia"}
    ignored, names = labelled(tmp_path, classes=classes, other="ignore")
    assert ignored == ["normal", "pneumonia", "pneumonia", "label not in classes", "label not in classes"]
    assert names == {"normal", "pneumonia"}
    with pytest.raises(SynthmillError, match=r"row 4: the label 'Mass' is not in ingest\.source\.classes.*add it, or set `other: ignore`"):
        labelled(tmp_path, classes=classes)
    every = {**classes, "Mass": "sick", "Edema": "sick"}
    merged, names = labelled(tmp_path, classes=every, priority=["pneumonia"])
    assert merged == ["normal", "pneumonia", "pneumonia", "sick", "sick"]
    assert names == {"normal", "pneumonia", "sick"}


def test_what_the_config_asks_to_leave_out_is_no_fault_but_all_else_is(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.png", "d.png", "e.png", "unnamed.png")
    rows = "image,label,who\na.png,x,p1\nb.png,z,p2\nc.png,x|y,p3\nd.png,,p4\ne.png,x,\ngone.png,z,\nlost.png,y,p5\n"
    options = {"classes": {"x": "x", "y": "y"}, "other": "ignore", "multi_label": "skip", "patient": "who"}
    items = [item for item in source(tmp_path, rows, **options).records() if isinstance(item, Rejected)]
    assert [(item.id, item.reason) for item in items if item.asked] == [
        ("b.png", "label not in classes"),
        ("c.png", "several labels"),
        ("gone.png", "label not in classes"),
        ("unnamed.png", "not in the csv"),
    ]
    faults = {item.id: item.reason for item in items if not item.asked}
    assert faults == {"d.png": "no label", "e.png": "no patient", "lost.png": "missing file"}


def test_config_knows_its_labels_and_takes_numbers_as_words(tmp_path):
    with pytest.raises(UsageError, match="priority names 'Mass', which is no label of classes"):
        source(tmp_path, classes={"a": "b"}, priority=["Mass"])
    touch(tmp_path, "a.png")
    assert source(tmp_path, "image,label\na.png,0\n", classes={0: "benign"}).labels() == {"benign"}


def test_a_csv_may_start_with_a_byte_order_mark_as_spreadsheets_write_it(tmp_path):
    touch(tmp_path, "a.png")
    assert source(tmp_path, "\ufeffimage,label\r\na.png,n\u00e6vus\r\n").labels() == {"n\u00e6vus"}


def test_the_layout_of_chestxray14(tmp_path):
    touch(tmp_path, "images_001/images/00000001_000.png", "images_002/images/00000013_005.png")
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    head += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
    rows = "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
    rows += "00000013_005.png,Emphysema|Infiltration,5,13,060Y,M,AP,3056,2544,0.139,0.139,\n"
    items = source(tmp_path, head + rows, layout="chestxray14", priority=["Infiltration"]).records()
    assert [(item.patient, item.label) for item in items] == [("1", "Cardiomegaly"), ("13", "Infiltration")]


def test_the_layout_of_isic_has_a_column_for_each_class(tmp_path):
    touch(tmp_path, "ISIC_0000000.jpg", "ISIC_0000001.jpg", "ISIC_0000002.jpg")
    rows = "image,MEL,NV,BCC\nISIC_0000000,0.0,1.0,0.0\nISIC_0000001,1.0,0.0,0.0\nISIC_0000002,0.0,0.0,0.0\n"
    plugin = source(tmp_path, rows, layout="isic")
    assert [getattr(item, "label", None) or item.reason for item in plugin.records()] == ["NV", "MEL", "no label"]
    assert plugin.labels() == {"NV", "MEL"}
    scored = rows.replace("BCC", "weight").replace("0.0\n", "0.3\n")
    with pytest.raises(SynthmillError, match=r"row 2, column 'weight' is neither 0 nor 1: .*ingest\.source\.classes"):
        source(tmp_path, scored, layout="isic").labels()
    assert source(tmp_path, scored, layout="isic", classes={"MEL": "melanoma", "NV": "nevus"}).labels() == {"melanoma", "nevus"}


def test_the_layout_of_ham10000(tmp_path):
    touch(tmp_path, "part_1/ISIC_0027419.jpg", "part_2/ISIC_0025030.jpg")
    rows = "lesion_id,image_id,dx,dx_type,age,sex,localization\nHAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp\n"
    rows += "HAM_0000118,ISIC_0025030,bkl,histo,80.0,male,scalp\n"
    items = source(tmp_path, rows, layout="ham10000").records()
    assert [(item.patient, item.label) for item in items] == [("HAM_0000118", "bkl")] * 2


def real(data_root, monkeypatch, folder: str, **options) -> Counter:
    monkeypatch.setenv("SYNTHMILL_DATA", str(data_root))
    section = {"kind": "image-folder", "folder": folder, "csv": "labels.csv", "image": "image", **options}
    items = Plugin(validate(Plugin.Config, section, "source")).records()
    return Counter(item.label if isinstance(item, Record) else item.reason for item in items)


def test_real_chest_x_rays(data_root, monkeypatch):
    options = {"label": "finding_labels", "patient": "patient_id"}
    binary = {"classes": {"No Finding": "normal", "Pneumonia": "pneumonia"}, "other": "ignore"}
    counts = real(data_root, monkeypatch, "nih_cxr14_256", **options, **binary)
    assert counts == {"normal": 70, "pneumonia": 24, "label not in classes": 327}
    counts = real(data_root, monkeypatch, "nih_cxr14_256", **options, multi_label="skip")
    assert counts["several labels"] == 159
    assert counts.total() == 421


def test_real_skin_lesions(data_root, monkeypatch):
    counts = real(data_root, monkeypatch, "ham10000_224", label="dx", patient="lesion_id")
    assert counts == {"nv": 500, "bkl": 250, "mel": 250, "bcc": 180, "akiec": 120, "vasc": 50, "df": 40}
