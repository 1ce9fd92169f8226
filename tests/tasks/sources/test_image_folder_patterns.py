"""The image-folder source without a CSV, with further images, and with all else that is known of an image."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schema.errors import SynthmillError, UsageError
from schema.params import validate
from schema.record import Record, Rejected
from tasks.sources.image_folder import Plugin

RNG = np.random.default_rng(5)


def source(folder: Path, at_least: tuple[int, int] | None = None, **options) -> Plugin:
    return Plugin(validate(Plugin.Config, {"kind": "image-folder", "folder": str(folder), **options}, "source"), at_least)


def draw(folder: Path, *names: str, size: tuple[int, int] = (4, 6), values: int = 256) -> None:
    """Images that differ from one another, `size` being height and width."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, values, size, dtype=np.uint8)).save(folder / name)


def reasons(plugin: Plugin) -> dict[str, str | None]:
    return {item.id: getattr(item, "reason", None) for item in plugin.records()}


def test_groups_of_a_pattern_are_roles_or_attributes_and_the_rest_is_counted(tmp_path):
    draw(tmp_path, "train/mel/p1_left.png", "test/nv/p2_right.png", "test/nv/p2_.png", "test/nv/sketch.png", "cover.jpg")
    (tmp_path / "notes.txt").write_text("p3")
    plugin = source(tmp_path, pattern=r"(?P<split>[^/]+)/(?P<label>[^/]+)/(?P<patient>[^_/]+)_(?P<side>[a-z]*)\.png")
    items = list(plugin.records())
    assert [(item.id, item.patient, item.label, item.split, item.attributes) for item in items if isinstance(item, Record)] == [
        ("test/nv/p2_.png", "p2", "nv", "test", {"label": "nv", "side": None}),
        ("test/nv/p2_right.png", "p2", "nv", "test", {"label": "nv", "side": "right"}),
        ("train/mel/p1_left.png", "p1", "mel", "train", {"label": "mel", "side": "left"}),
    ]
    assert [item for item in items if isinstance(item, Rejected)] == [
        Rejected("cover.jpg", "not matched", asked=True),
        Rejected("test/nv/sketch.png", "not matched", asked=True),
    ]
    assert plugin.labels() == {"mel", "nv"}
    assert plugin.count() == 5


def test_words_of_a_path_go_through_classes_as_those_of_a_csv_do(tmp_path):
    draw(tmp_path, "0/a.png", "1/b.png", "2/c.png", "_/d.png")
    pattern = r"(?P<label>\d?)_?/(?P<patient>.)\.png"
    mapped = source(tmp_path, pattern=pattern, classes={0: "healthy", "*": "sick"})
    assert [getattr(item, "label", None) for item in mapped.records()] == ["healthy", "sick", "sick", None]
    assert reasons(mapped)["_/d.png"] == "no label"
    with pytest.raises(SynthmillError, match=r"pattern: match 2 in the order of paths, the group 'label': a word is not in .*classes"):
        source(tmp_path, pattern=pattern, classes={0: "healthy"}).files()


REFUSED = {
    "neither": ({}, "give either csv or pattern"),
    "both": ({"csv": "labels.csv", "pattern": "(?P<label>.)"}, "give either csv or pattern"),
    "no expression": ({"pattern": "(?P<label>.", "constant_label": "x"}, "pattern is no regular expression: missing"),
    "no label": ({"pattern": "(?P<patient>.).png"}, r"give the label either as the group \(\?P<label>"),
    "two labels": ({"pattern": "(?P<label>.).png", "constant_label": "x"}, r"give the label either as the group \(\?P<label>"),
    "a column": ({"pattern": "(?P<label>.).png", "patient": "who"}, "patient is for a csv"),
    "a layout": ({"pattern": "(?P<label>.).png", "layout": "isic"}, "layout is for a csv"),
    "a constant and a column": ({"csv": "labels.csv", "constant_label": "x", "label": "dx"}, "take label and classes out"),
    "a further image called as the first": ({"csv": "labels.csv", "images": {"image": "{stem}.png"}}, "cannot be called 'image'"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_a_section_that_cannot_be_is_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        source(tmp_path, **options)


def test_a_pattern_that_matches_nothing_or_tears_a_patient_is_refused_without_names(tmp_path):
    draw(tmp_path, "train/Jane.png", "val/Jane.png", "x/Jane.png")
    with pytest.raises(SynthmillError, match=r"it matches none of the 3 images below .*: it must match the whole path") as nothing:
        source(tmp_path, pattern=r"(?P<patient>\w+)\.png", constant_label="x").files()
    pattern = r"(?P<split>train|val)/(?P<patient>\w+)\.png"
    with pytest.raises(SynthmillError, match=r"matches 1 \(train\) and 2 \(holdout\) put one patient into two splits") as torn:
        source(tmp_path, pattern=pattern, constant_label="x").files()
    with pytest.raises(SynthmillError, match=r"match 3 in the order of paths, the group 'split': the word is not a split") as strange:
        source(tmp_path, pattern=pattern.replace("train|val", ".*"), constant_label="x").files()
    assert not any("Jane" in str(caught.value) for caught in (nothing, torn, strange))


def test_twelve_planes_of_an_examination_are_told_apart_and_kept_together(tmp_path):
    names = [f"AMD/P1/E{exam}_{plane:02d}.png" for exam in (1, 2) for plane in range(1, 13)]
    draw(tmp_path, *names, "DRUSEN/P2/E3_01.png")
    plugin = source(tmp_path, pattern=r"(?P<label>[^/]+)/(?P<patient>[^/]+)/(?P<examination>[^_]+)_(?P<plane>\d+)\.png")
    records = list(plugin.records())
    assert [record.patient for record in records] == ["P1"] * 24 + ["P2"]
    assert [record.attributes["examination"] for record in records] == ["E1"] * 12 + ["E2"] * 12 + ["E3"]
    assert [int(record.attributes["plane"]) for record in records] == [*range(1, 13), *range(1, 13), 1]


def test_every_column_without_another_role_is_an_attribute_as_it_is_written(tmp_path):
    draw(tmp_path, "a.png", "b.png")
    rows = "file,who,set,dx,age, site ,\na.png,p1,train,nv|mel,063Y,,\nb.png,p2,test,nv,7.50,arm,\n"
    (tmp_path / "labels.csv").write_text(rows)
    columns = {"image": "file", "label": "dx", "patient": "who", "split": "set"}
    a, b = source(tmp_path, csv="labels.csv", classes={"nv": "nevus", "mel": "melanoma"}, priority=["melanoma"], **columns).records()
    assert (a.label, a.attributes) == ("melanoma", {"dx": "nv|mel", "age": "063Y", "site": None})
    assert (b.label, b.attributes) == ("nevus", {"dx": "nv", "age": "7.50", "site": "arm"})
    constant = source(tmp_path, csv="labels.csv", image="file", constant_label="skin").records()
    assert [(record.label, record.attributes["dx"]) for record in constant] == [("skin", "nv|mel"), ("skin", "nv")]


def test_further_images_are_found_beside_the_image_below_the_folder_or_by_a_column(tmp_path):
    draw(tmp_path, "in/a.png", "in/a_mask.png", "b.png", "b_mask.png", "masks/one.png", "masks/two.png", "spare.png")
    (tmp_path / "labels.csv").write_text("image,label,outline\nin/a.png,x,masks/one.png\nb.png,x,masks/two.png\n")
    plugin = source(tmp_path, csv="labels.csv", images={"mask": "{stem}_mask.png", "outline": "{outline}"})
    first, second, spare = plugin.units()
    assert first.files == tuple(tmp_path / name for name in ("in/a.png", "in/a_mask.png", "masks/one.png"))
    assert second.files == tuple(tmp_path / name for name in ("b.png", "b_mask.png", "masks/two.png"))
    assert (spare.key, len(plugin.files())) == ("spare.png", 8)
    (record,) = plugin.read(first)
    for name, file in {"mask": "in/a_mask.png", "outline": "masks/one.png"}.items():
        with Image.open(tmp_path / file) as image:
            np.testing.assert_array_equal(record.images[name], np.asarray(image))


def test_a_further_image_that_is_not_there_or_cannot_be_read_sets_its_record_aside(tmp_path):
    draw(tmp_path, "a.png", "b.png", "c.png", "d.png", "c_m.png", "folder.png")
    (tmp_path / "a_m.png").write_bytes((tmp_path / "c.png").read_bytes()[:60])
    outside = tmp_path.parent / f"{tmp_path.name}-elsewhere.png"
    draw(tmp_path.parent, outside.name)
    os.symlink(outside, tmp_path / "b_m.png")
    (tmp_path / "labels.csv").write_text("image,label,m\na.png,x,a_m\nb.png,x,b_m\nc.png,x,c_m\nd.png,x,\n")
    found = reasons(source(tmp_path, csv="labels.csv", images={"vessels": "{m}.png"}))
    assert {name: found[name] for name in ("a.png", "b.png", "c.png", "d.png")} == {
        "a.png": "vessels image: truncated image",
        "b.png": "no vessels image",
        "c.png": None,
        "d.png": "no vessels image",
    }
    climbing = reasons(source(tmp_path, csv="labels.csv", images={"vessels": f"../{outside.name}"}))
    assert climbing["a.png"] == "no vessels image"
    with pytest.raises(SynthmillError, match=r"no column 'mm' for ingest\.source\.images\.vessels.*; there are: stem, image, label, m"):
        source(tmp_path, csv="labels.csv", images={"vessels": "{mm}.png"}).files()


@pytest.mark.parametrize(
    ("size", "reason"), [((80, 120), None), ((20, 30), None), ((13, 20), None), ((40, 40), "m image of another shape")]
)
def test_a_mask_of_another_size_is_made_as_large_without_a_new_value(tmp_path, size, reason):
    draw(tmp_path, "a.png", size=(40, 60))
    draw(tmp_path, "a_m.png", size=size, values=2)
    (item,) = source(tmp_path, pattern=r"(?P<patient>a)\.png", constant_label="x", images={"m": "{patient}_m.png"}).records()
    assert getattr(item, "reason", None) == reason
    if reason is None:
        assert item.images["m"].shape == (40, 60)
        assert set(np.unique(item.images["m"])) == {0, 1}
        with Image.open(tmp_path / "a_m.png") as mask:
            assert item.images["m"][20, 30] == np.asarray(mask)[int(20.5 * size[0] / 40), int(30.5 * size[1] / 60)]


def test_a_jpeg_is_read_smaller_only_where_no_mask_must_fit_its_pixels(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (256, 256, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    draw(tmp_path, "a_m.png", size=(256, 256))
    options = {"pattern": r"(?P<patient>a)\.jpg", "constant_label": "x"}
    assert next(source(tmp_path, (64, 64), **options).records()).image.shape == (128, 128, 3)
    assert next(source(tmp_path, (64, 64), **options, images={"m": "{stem}_m.png"}).records()).image.shape == (256, 256, 3)


def test_real_fundus_photographs_with_their_vessels(data_root):
    images = {"vessels": "{stem}_1stHO.png", "second": "{stem}_2ndHO.png"}
    pattern = r"Image_(?P<patient>\d+)(?P<eye>[LR])\.jpg"
    plugin = source(data_root / "chase_db1_fundus_vessels", pattern=pattern, constant_label="fundus", images=images)
    records = list(plugin.records())
    assert len(records) == plugin.count() == 20
    assert len({record.patient for record in records}) == 10
    assert {record.attributes["eye"] for record in records} == {"L", "R"}
    for record in records:
        assert record.image.shape == (960, 999, 3)
        # Vessels are 5 to 15 % of such a photograph, and two observers agree on most of them.
        vessels = record.images["vessels"] > 0
        assert 0.04 < vessels.mean() < 0.15
        assert (vessels & (record.images["second"] > 0)).sum() > 0.6 * vessels.sum()
        # Vessels are darker than what is around them, most clearly in green.
        assert record.image[vessels][:, 1].mean() < record.image[~vessels & (record.image[:, :, 0] > 60)][:, 1].mean()


def test_real_chest_x_rays_have_a_class_and_all_their_findings(data_root):
    options = {"csv": "labels.csv", "label": "finding_labels", "patient": "patient_id"}
    plugin = source(data_root / "nih_cxr14_256", **options, classes={"No Finding": "normal", "*": "finding"})
    records = list(plugin.records())
    assert sum(record.label == "normal" for record in records) == 70
    assert sum(record.label == "finding" for record in records) == 421 - 70
    assert sum("|" in record.attributes["finding_labels"] for record in records) == 159
    assert {record.attributes["sex"] for record in records} == {"F", "M"}
    assert "patient_id" not in records[0].attributes
