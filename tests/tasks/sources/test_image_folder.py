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
    with pytest.raises(SynthmillError, match=r"row 2: 2 files go by the name in it: write the path below"):
        source(tmp_path, "image,label\na.png,nv\n").files()


def test_a_name_cannot_climb_out(tmp_path):
    touch(tmp_path, "secret.png", "folder/a.png")
    items = source(tmp_path / "folder", "image,label\na.png,nv\n../secret.png,nv\n").records()
    assert [getattr(item, "reason", None) for item in items] == [None, "missing file"]
    with pytest.raises(UsageError, match="climbs out"):
        source(tmp_path / "folder", csv="../labels.csv").files()


def test_links_are_followed_inside_the_folder_and_never_out_of_it(tmp_path):
    touch(tmp_path, "folder/a.png", "folder/scans/c.png", "disk/b.png", "disk/d.png")
    links = {
        "loop": "folder",
        "linked": "disk",
        "spare": "disk",
        "first": "folder/scans",
        "lost.png": "gone.png",
        "out.png": "disk/d.png",
        "e.png": "folder/a.png",
    }
    for name, target in links.items():
        os.symlink(tmp_path / target, tmp_path / "folder" / name)
    os.symlink(tmp_path / "folder", tmp_path / "door")
    names = ["a.png", "linked/b.png", "b.png", "first/c.png", "lost.png", "out.png", "e.png"]
    plugin = source(tmp_path / "door", "image,label\n" + "".join(f"{name},nv\n" for name in names))
    items = {item.id: (getattr(item, "reason", None), getattr(item, "asked", None)) for item in plugin.records()}
    out = "link out of the folder"
    assert list(items.values()) == [
        *((None, None), (out, False), ("missing file", False), (None, None), ("missing file", False), (out, False), (None, None)),
        (out, True),
    ]
    assert list(items)[-1] == "spare/"
    assert [file.name for file in plugin.files()] == ["a.png", "e.png", "labels.csv", "c.png"]


def test_a_pattern_may_need_what_is_behind_a_link_so_it_is_a_fault(tmp_path):
    touch(tmp_path, "folder/p1.png", "disk/p2.png")
    for name, target in {"more": "disk", "p3.png": "disk/p2.png", "x.png": "disk/p2.png"}.items():
        os.symlink(tmp_path / target, tmp_path / "folder" / name)
    plugin = source(tmp_path / "folder", csv=None, pattern=r"(?P<patient>p\d)\.png", constant_label="nv")
    items = [(item.id, getattr(item, "asked", None)) for item in plugin.records()]
    assert items == [("p1.png", None), ("p3.png", False), ("more/", False), ("x.png", True)]
    assert plugin.files() == [tmp_path / "folder" / "p1.png"]


def test_a_name_that_is_not_utf8_is_counted_and_goes_no_further(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / os.fsdecode(b"M\xfcller.png")).write_bytes((tmp_path / "a.png").read_bytes())
    plugin = source(tmp_path, csv=None, pattern=r".*\.png", constant_label="nv")
    assert [getattr(item, "reason", None) for item in plugin.records()] == ["name that is not UTF-8", None]
    assert plugin.files() == [tmp_path / "a.png"]
    for item in plugin.records():
        item.id.encode()


BAD_CSV = {
    "empty": ("", "it is empty"),
    "header only": ("image,label\n", "no rows below its header"),
    "no such column": (
        "image,labels\na.png,nv\n",
        r"no column 'label' for ingest\.source\.label \(did you mean 'labels'\?\); it has: image, labels",
    ),
    "column twice": ("image,label,label\na.png,nv,nv\n", "it has 2 columns 'label'"),
    "Latin-1": ("image,label\na.png,nævus\n".encode("latin-1"), r"not in the encoding utf-8: .*ingest\.source\.encoding"),
    "half UTF-16": ("image,label\na.png,nv\n".encode("utf-16")[:-1], "not in the encoding utf-16"),
    "UTF-16 without its mark": ("image,label\na.png,nv\n".encode("utf-16-le"), "it holds NUL bytes"),
    "two separators": ("image;label,site\na.png;nv,arm\n", "its header holds a comma and a semicolon: put names"),
    "attribute twice": ("image,label,age,age\na.png,nv,1,2\n", "it has 2 columns 'age': name them apart"),
    "short row of semicolons": ("image;label\na.png;nv\nb.png\n", "row 3 has 1 cells, the header 2: quote values that hold a semicolon"),
    "open quote": ('image,label\na.png,"nv\n', "it is not readable CSV"),
    "short row": ("image,label\na.png,nv\nb.png\n", "row 3 has 1 cells, the header 2"),
    "comma in a value": ("image,label\na.png,nv\n\nb.png,nv, in situ\n", "row 4 has 3 cells, the header 2: quote values"),
    "row twice": ("image,label\na.png,nv\nb.png,nv\na.png,nv\n", "rows 2 and 4 are of one image"),
    "image twice": ("image,label\na.png,nv\na,nv\n", "rows 2 and 3 are of one image"),
    "no name": ("image,label\n,nv\n", "row 2 names no image"),
    "all elsewhere": ("image,label\nx.png,nv\ny.png,nv\n", "none of its 2 images is below"),
    "several labels": ("image,label\na.png,nv|mel\n", r"row 2 has 2 labels in column 'label': .*priority.*multi_label: skip"),
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
    with pytest.raises(SynthmillError, match="row 4, column 'set': the word is not a split: write one of train, val"):
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
    with pytest.raises(SynthmillError, match=r"row 4, column 'label': a word is not in ingest\.source\.classes: add it"):
        labelled(tmp_path, classes=classes)
    every = {**classes, "Mass": "sick", "Edema": "sick"}
    merged, names = labelled(tmp_path, classes=every, priority=["pneumonia"])
    assert merged == ["normal", "pneumonia", "pneumonia", "sick", "sick"]
    assert names == {"normal", "pneumonia", "sick"}


def test_one_line_of_classes_can_stand_for_every_other_word(tmp_path):
    two, names = labelled(tmp_path, classes={"No Finding": "normal", "*": "finding"})
    assert two == ["normal", "finding", "finding", "finding", "finding"]
    assert names == {"normal", "finding"}
    three, _ = labelled(tmp_path, classes={"No Finding": "normal", "Pneumonia": "pneumonia", "*": "finding"}, priority=["pneumonia"])
    assert three == ["normal", "pneumonia", "pneumonia", "finding", "finding"]


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


TEXT = 'image{0}label{0}"si{0}te"\r\na.png{0}n\u00e6vus{0}"left\r\narm{0}{0}"\r\n'
FILES = {
    "UTF-8": (",", "utf-8", {}),
    "UTF-8 with a mark, as spreadsheets write it": (",", "utf-8-sig", {}),
    "semicolons": (";", "utf-8", {}),
    "tabs in UTF-16, as spreadsheets write Unicode text": ("\t", "utf-16", {}),
    "Latin-1": (";", "latin-1", {"encoding": "latin-1"}),
    "Windows": (";", "windows-1252", {"encoding": "windows-1252"}),
    "a mark against what params.yaml says": (",", "utf-8-sig", {"encoding": "latin-1"}),
}


@pytest.mark.parametrize(("separator", "encoding", "options"), FILES.values(), ids=FILES)
def test_a_csv_is_read_as_spreadsheets_write_it(tmp_path, separator, encoding, options):
    touch(tmp_path, "a.png")
    plugin = source(tmp_path, TEXT.format(separator).encode(encoding), **options)
    assert plugin.labels() == {"n\u00e6vus"}
    (record,) = plugin.records()
    assert record.attributes == {"label": "n\u00e6vus", f"si{separator}te": f"left\r\narm{separator * 2}".strip()}


FAULTS = {
    "label": ("image,label\nb.png,nv\na.png,Jane Doe\n", {"classes": {"nv": "nv"}}),
    "labels": ("image,label\nb.png,nv\na.png,Jane Doe|Jane Doe Smith\n", {}),
    "split": ("image,label\nb.png,nv\na.png,Jane Doe\n", {"split": "label"}),
    "one-hot": ("image,label\nb.png,1\na.png,Jane Doe\n", {"layout": "isic"}),
    "image": ("image,label\nJane Doe,nv\nJane Doe,nv\n", {}),
    "two files": ("image,label\nJane Doe.png,nv\n", {}),
    "splits": ("image,label,s\na.png,Jane Doe,train\nb.png,Jane Doe,test\n", {"patient": "label", "split": "s"}),
    "ragged": ("image,label\na.png,Jane, Doe\n", {}),
    "elsewhere": ("image,label\nJane Doe 7.png,nv\n", {}),
    "quote": ('image,label\na.png,"Jane Doe"x\n', {}),
}


@pytest.mark.parametrize(("rows", "options"), FAULTS.values(), ids=FAULTS)
def test_no_message_names_a_file_or_a_person(tmp_path, rows, options):
    touch(tmp_path, "a.png", "b.png", "one/Jane Doe.png", "two/Jane Doe.png")
    with pytest.raises(SynthmillError) as caught:
        source(tmp_path, rows, **options).files()
    assert "Jane" not in str(caught.value)


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


@pytest.mark.parametrize("first", ["scan-003.png,nv,Doe Jane", "ISIC_0024306,nv,Doe Jane", "anna.jpg,nv,Doe Jane"])
def test_a_table_without_a_header_is_not_quoted(tmp_path, first):
    (tmp_path / "anna.jpg").write_bytes(b"")
    with pytest.raises(SynthmillError, match="does not look like names of columns: write a header") as caught:
        source(tmp_path, f"{first}\nb.png,mel,Mueller\n").files()
    assert not [word for word in ("Doe", "scan", "ISIC", "anna") if word in str(caught.value)]
