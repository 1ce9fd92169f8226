"""Each format as the programs read it that it is made for, and what its options do."""

import tarfile

import export_workspace as ew
import numpy as np
import pydicom
import pytest
import release_workspace as rw
from PIL import Image

from schema.digest import read_json, sha256_file
from schema.errors import UsageError
from schema.marking import is_marked
from tasks.exports import dicom, image_folder, medmnist, webdataset
from tasks.sources.medmnist import Plugin as MedMNIST


def test_an_image_folder_opens_in_datasets_and_in_torchvision(tmp_path):
    import datasets
    from torchvision.datasets import ImageFolder

    image_folder.Plugin().write(ew.release(tmp_path / "release", 7), tmp_path / "out", {})
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    rows = {row["seed"]: row for row in loaded}
    assert sorted(rows) == list(range(500, 507))
    assert [rows[500 + n]["label"] for n in range(7)] == [0, 1, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(np.asarray(rows[503]["image"]), ew.pixels(3))
    folder = ImageFolder(tmp_path / "out/train")
    assert (folder.classes, len(folder)) == (rw.CLASSES, 7)


def test_a_jpeg_is_marked_near_in_its_pixels_and_nothing_else_is_written(tmp_path):
    release = ew.release(tmp_path / "release", 3, (32, 32, 3))
    for quality in (60, 95):
        image_folder.Plugin().write(release, tmp_path / f"q{quality}", {"format": "jpeg", "quality": str(quality)})
    found = {quality: sorted((tmp_path / f"q{quality}").rglob("*.jpg")) for quality in (60, 95)}
    errors = {
        quality: np.mean([np.abs(np.asarray(Image.open(path)).astype(int) - ew.pixels(int(path.stem[-7:]), (32, 32, 3))) for path in paths])
        for quality, paths in found.items()
    }
    assert 0 < errors[95] < errors[60]
    assert errors[95] < 4
    assert all(is_marked(path.read_bytes()) and Image.open(path).info["xmp"] for paths in found.values() for path in paths)
    assert not list((tmp_path / "q95").rglob("*.png"))


def test_classes_that_one_folder_would_hold_are_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be told apart as names of folders"):
        image_folder.Plugin().write(ew.release(tmp_path / "release", classes=["a/b", "A_B"]), tmp_path / "out", {})
    image_folder.Plugin().write(ew.release(tmp_path / "other", classes=["../up", "normal"]), tmp_path / "out", {})
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["_up", "metadata.csv", "normal"]


def entries(path) -> list[tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return tar.getmembers()


def test_tars_are_as_large_as_asked_at_most_and_open_in_datasets(tmp_path):
    import datasets

    webdataset.Plugin().write(ew.release(tmp_path / "release", 14, (400, 300)), tmp_path / "out", {"shard_mb": "1"})
    tars = sorted((tmp_path / "out").glob("*.tar"))
    assert [path.name for path in tars] == [f"train-{number:06d}.tar" for number in range(len(tars))]
    sizes = [path.stat().st_size for path in tars]
    # 400 x 300 random bytes do not compress: each pair takes 0.12 MB, so a tar has room for 8 of them.
    members = [entries(path) for path in tars]
    assert [len(each) for each in members] == [16, 12]
    assert 0.9e6 < max(sizes) <= 1e6
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.mode) for entry in members[0]} == {(0, 0, 0, "", 0o644)}
    files = [str(path) for path in tars]
    loaded = datasets.load_dataset("webdataset", data_files={"train": files}, split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["json"]["seed"] for row in loaded] == list(range(500, 514))
    np.testing.assert_array_equal(np.asarray(loaded[13]["png"]), ew.pixels(13, (400, 300)))


@pytest.mark.parametrize("shape", [(16, 14), (15, 13, 3)], ids=["grey", "rgb"])
def test_our_own_source_reads_the_npz_back(tmp_path, shape):
    medmnist.Plugin().write(ew.release(tmp_path / "release", 7, shape), tmp_path / "out", {})
    config = MedMNIST.Config(kind="medmnist", file=str(tmp_path / f"out/{rw.NAME}.npz"), classes=dict(enumerate(rw.CLASSES)))
    source = MedMNIST(config)
    records = [record for unit in source.units() for record in source.read(unit)]
    assert source.count() == 7
    assert [record.label for record in records] == [rw.CLASSES[n % 2] for n in range(7)]
    for number, record in enumerate(records):
        np.testing.assert_array_equal(record.image, ew.pixels(number, shape))


def test_val_and_test_are_there_and_empty(tmp_path):
    medmnist.Plugin().write(ew.release(tmp_path / "release", 7), tmp_path / "out", {})
    arrays = np.load(tmp_path / f"out/{rw.NAME}.npz", allow_pickle=False)
    told = {key: (arrays[key].shape, arrays[key].dtype.name) for key in arrays if key != "synthetic"}
    none = {"images": ((0, 16, 14), "uint8"), "labels": ((0, 1), "uint8")}
    assert told == {
        "train_images": ((7, 16, 14), "uint8"),
        "train_labels": ((7, 1), "uint8"),
        **{f"{split}_{what}": each for split in ("val", "test") for what, each in none.items()},
    }


def test_labels_may_be_an_attribute_of_one_word_or_of_several(tmp_path):
    release = ew.release(tmp_path / "release", 6)
    for name in ("view", "findings"):
        medmnist.Plugin().write(release, tmp_path / name, {"labels": name})
    view, findings = (np.load(tmp_path / name / f"{rw.NAME}.npz")["train_labels"] for name in ("view", "findings"))
    assert view.tolist() == [[0], [0], [1], [1], [0], [0]]
    assert findings.tolist() == [[0, 0], [1, 0], [1, 1], [0, 0], [1, 0], [1, 1]]
    with pytest.raises(UsageError, match="says no 'age' of its images; it says: label, view, findings"):
        medmnist.Plugin().write(release, tmp_path / "age", {"labels": "age"})


def instances(folder) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def test_an_instance_says_that_it_is_synthetic_and_claims_nothing_of_anybody(tmp_path, monkeypatch):
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.RAISE)
    dicom.Plugin().write(ew.release(tmp_path / "release", 4, (15, 13, 3)), tmp_path / "out", {})
    one = instances(tmp_path / "out")[0]
    assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert list(one.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert (one.SyntheticData, one.ConversionType, one.BurnedInAnnotation) == ("YES", "SYN", "NO")
    assert (one.PatientName, one.PatientID, one.IssuerOfPatientID) == ("Synthetic^pneumonia-0000000", "pneumonia-0000000", "SYNTHETIC")
    assert (one.PatientBirthDate, one.PatientSex, one.StudyDate, one.StudyTime) == ("", "", "", "")
    assert "PatientIdentityRemoved" not in one
    assert one.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert (one.PhotometricInterpretation, one.SamplesPerPixel, one.PlanarConfiguration) == ("RGB", 3, 0)
    # 15 x 13 x 3 is odd, and a value's length is even (PS3.5 7.1.1).
    assert len(one.PixelData) == 586


def test_uids_follow_from_the_release_and_the_record_alone(tmp_path):
    for name, n in (("one", 4), ("again", 4), ("other", 5)):
        dicom.Plugin().write(ew.release(tmp_path / name / "release", n), tmp_path / name / "out", {})
    one, again, other = ([each.SOPInstanceUID for each in instances(tmp_path / name / "out")] for name in ("one", "again", "other"))
    assert one == again
    assert not set(one) & set(other)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in (*one, *other))


def test_each_image_is_its_own_patient_or_all_are_one_patients_by_class(tmp_path):
    release = ew.release(tmp_path / "in", 5)
    for patient in ("image", "release"):
        dicom.Plugin().write(release, tmp_path / patient, {"patient": patient})
    for patient, counts in (("image", (5, 5, 5)), ("release", (1, 1, 2))):
        found = instances(tmp_path / patient)
        named = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")
        assert tuple(len({each[keyword].value for each in found}) for keyword in named) == counts
        assert len({each.SOPInstanceUID for each in found}) == 5
    assert sorted((each.SeriesNumber, each.InstanceNumber) for each in found) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


def test_the_statement_has_the_options(tmp_path):
    release = ew.release(tmp_path / "release")
    image_folder.Plugin().write(release, tmp_path / "out", {"format": "jpeg"})
    said = read_json(tmp_path / "out/export.json")
    assert said["options"] == {"format": "jpeg", "quality": 95}
    assert sha256_file(tmp_path / "out/release/README.md") == sha256_file(release.path / "README.md")
