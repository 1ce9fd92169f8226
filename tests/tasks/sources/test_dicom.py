"""Pixels of DICOM by the formulas of PS3.3, and every broken file as a reason that can be counted."""

import os
import struct
import zlib
from collections import Counter

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from schema.errors import SynthmillError, UsageError
from schema.params import validate
from schema.record import Record, Rejected
from tasks.sources._dicom_render import apply_window, percentiles
from tasks.sources.dicom import Plugin
from tests.dicoms import dataset, lut, write


def source(folder, **config):
    config = config if {"label_from", "csv"} & set(config) else {"label": "x", **config}
    return Plugin(validate(Plugin.Config, {"kind": "dicom", "folder": str(folder), **config}, "source"))


def image(path, **config) -> np.ndarray:
    """The one image of the one file beside `path`."""
    [record] = source(path.parent, **config).records()
    assert isinstance(record, Record), record
    return record.image


def reasons(folder, **config) -> dict[str, str]:
    return {item.id: item.reason for item in source(folder, **config).records() if isinstance(item, Rejected)}


# Windows


@pytest.mark.parametrize(
    ("function", "center", "width", "value", "shown"),
    [
        # PS3.3 C.11.2.1.2.1 gives these three windows written out, for y from 0 to 255.
        ("LINEAR", 2048, 4096, 0, 0),
        ("LINEAR", 2048, 4096, 4095, 255),
        ("LINEAR", 2048, 4096, 1000, ((1000 - 2047.5) / 4095 + 0.5) * 255),
        ("LINEAR", 2048, 1, 2047, 0),
        ("LINEAR", 2048, 1, 2048, 255),
        ("LINEAR", 0, 100, -50, 0),
        ("LINEAR", 0, 100, 49, 255),
        ("LINEAR", 0, 100, 10, ((10 + 0.5) / 99 + 0.5) * 255),
        ("LINEAR_EXACT", 40, 400, -160, 0),
        ("LINEAR_EXACT", 40, 400, 240, 255),
        ("LINEAR_EXACT", 40, 400, 140, 0.75 * 255),
        ("SIGMOID", 40, 400, 40, 127.5),
        ("SIGMOID", 40, 400, 140, 255 / (1 + np.exp(-1))),
        ("SIGMOID", 40, 400, -1e9, 0),
    ],
)
def test_window_functions_follow_the_standard(function, center, width, value, shown):
    assert apply_window(np.array([value]), center, width, function)[0] == int(shown + 0.5)


def test_percentiles_of_counted_values_are_numpys():
    rng = np.random.default_rng(0)
    values, counts = rng.permutation(50) * 3.0, rng.integers(0, 9, 50)
    assert np.allclose(percentiles(values, counts, (0.5, 99.5)), np.percentile(np.repeat(values, counts), (0.5, 99.5)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_rescale_then_window_then_polarity(tmp_path, dtype):
    stored = np.random.default_rng(0).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (40, 50), dtype=dtype, endpoint=True)
    elements = {"RescaleSlope": 0.5, "RescaleIntercept": -20, "WindowCenter": [30, 1], "WindowWidth": [90, 2]}
    hounsfield = stored * 0.5 - 20
    expected = (np.clip((hounsfield - 29.5) / 89 + 0.5, 0, 1) * 255 + 0.5).astype(int)
    assert np.array_equal(image(write(tmp_path / "a" / "x", stored, **elements)), expected)
    inverted = image(write(tmp_path / "b" / "x", stored, PhotometricInterpretation="MONOCHROME1", **elements))
    assert np.array_equal(inverted, 255 - expected)
    chosen = image(tmp_path / "a" / "x", window={"center": 0, "width": 11})
    assert np.array_equal(chosen, (np.clip((hounsfield + 0.5) / 10 + 0.5, 0, 1) * 255 + 0.5).astype(int))


def test_eight_bits_without_a_window_stay_as_they_are(tmp_path):
    stored = np.random.default_rng(0).integers(50, 99, (9, 9), dtype=np.uint8)
    assert np.array_equal(image(write(tmp_path / "x", stored)), stored)
    assert image(tmp_path / "x", window="minmax", percentiles=[0, 100]).max() == 255


def test_more_bits_without_a_window_reach_from_black_to_white_whatever_the_padding_holds(tmp_path):
    stored = np.random.default_rng(0).integers(100, 866, (100, 100), dtype=np.int16)
    stored[1, :2] = 100, 865
    stored[0] = -2000
    shown = image(write(tmp_path / "x", stored, PixelPaddingValue=-2000), percentiles=[0, 100])
    assert np.array_equal(shown[1:], np.rint((stored[1:] - 100) / 3))
    assert not shown[0].any()
    inverse = write(tmp_path / "inverse" / "x", stored, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")
    assert not image(inverse)[0].any()  # black, not white: it is no part of the image


def test_floating_point_pixels_with_gaps(tmp_path):
    stored = np.linspace(-1, 1, 101, dtype=np.float32)[None].repeat(3, 0)
    stored[1, 5] = np.nan
    path = write(tmp_path / "x", stored)
    shown = image(path, window="minmax", percentiles=[0, 100])
    assert [shown[0, 0], shown[0, 50], shown[0, 100], shown[1, 5]] == [0, 128, 255, 0]


def test_lookup_tables_of_modality_and_voi(tmp_path):
    stored = np.arange(8, dtype=np.uint8).reshape(2, 4)
    modality, voi = lut(2, [100, 200, 300], 16), lut(100, [4095 - v for v in range(201)], 12)
    path = write(tmp_path / "x", stored, ModalityLUTSequence=[modality], VOILUTSequence=[voi])
    values = np.array([100, 100, 100, 200, 300, 300, 300, 300])  # below the first value mapped the first, above the last the last
    assert np.array_equal(image(path).ravel(), ((4095 - (values - 100)) * 255 / 4095 + 0.5).astype(int))


def test_palette_starts_at_its_first_value(tmp_path):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    elements: dict = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in (("Red", [1, 2, 3, 4]), ("Green", [10, 20, 30, 40]), ("Blue", [200, 210, 220, 230])):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 1, 8]
        elements[f"{colour}PaletteColorLookupTableData"] = bytes(entries)
    shown = image(write(tmp_path / "x", stored, **elements)).reshape(-1, 3)
    assert shown.tolist() == [[1, 10, 200], [1, 10, 200], [2, 20, 210], [3, 30, 220], [4, 40, 230], [4, 40, 230]]


def test_colour_by_plane_is_the_same_as_by_pixel_and_sixteen_bits_are_scaled(tmp_path):
    stored = np.random.default_rng(0).integers(0, 65536, (4, 5, 3), dtype=np.uint16)
    expected = (stored / 257 + 0.5).astype(int)
    assert np.array_equal(image(write(tmp_path / "a" / "x", stored)), expected)
    path = write(tmp_path / "b" / "x", stored, PlanarConfiguration=1, PixelData=np.moveaxis(stored, 2, 0).tobytes())
    assert np.array_equal(image(path), expected)


def test_frames_have_windows_of_their_own(tmp_path):
    def window(center):
        group, voi = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 101
        group.FrameVOILUTSequence = [voi]
        return group

    stored = np.full((3, 4, 4), 100, np.uint16)
    write(tmp_path / "x", stored, NumberOfFrames=3, PerFrameFunctionalGroupsSequence=[window(50.5), window(100.5), window(1000)])
    assert [record.image[0, 0] for record in source(tmp_path).records()] == [255, 128, 0]


def test_frames_that_are_wanted(tmp_path):
    write(tmp_path / "x", np.arange(7, dtype=np.uint8)[:, None, None].repeat(3, 1).repeat(3, 2), NumberOfFrames=7)

    def taken(frames):
        return {record.id: int(record.image[0, 0]) for record in source(tmp_path, frames=frames).records()}

    assert taken("all") == {f"x#{n + 1}": n for n in range(7)}
    assert taken("first") == {"x#1": 0}
    assert taken("middle") == {"x#4": 3}
    assert taken(3) == {"x#1": 0, "x#4": 3, "x#7": 6}


def test_pixels_become_square(tmp_path):
    stored = np.zeros((20, 30), np.uint8)
    path = write(tmp_path / "x", stored, PixelSpacing=[2, 1])
    assert image(path).shape == (40, 30)
    assert image(path, square_pixels=False).shape == (20, 30)
    assert image(write(tmp_path / "wide" / "x", stored, PixelAspectRatio=["1", "2"])).shape == (20, 60)


# The files of pydicom: equal images in different encodings, and broken ones

BROKEN = {
    "ExplVR_BigEndNoMeta.dcm": "no pixel data",
    "ExplVR_LitEndNoMeta.dcm": "no pixel data",
    "JPEG-lossy.dcm": "no decoder for JPEG Extended of 12 bits: pylibjpeg-libjpeg (GPL) has one",
    "JPEG2000-embedded-sequence-delimiter.dcm": "decompression bomb",
    "JPGExtended.dcm": "no decoder for JPEG Extended of 12 bits: pylibjpeg-libjpeg (GPL) has one",
    "LICENSE.pydicom": "not DICOM",
    "MR_truncated.dcm": "truncated image",
    "README.txt": "not DICOM",
    "UN_sequence.dcm": "no pixel data",
    "badVR.dcm": "corrupt image",
    "crayons.icc": "not DICOM",
    "empty_charset_LEI.dcm": "no pixel data",
    "meta_missing_tsyntax.dcm": "header without the size of the image",
    "nested_priv_SQ.dcm": "header without the size of the image",
    "no_meta.dcm": "not DICOM",
    "no_meta_group_length.dcm": "no pixel data",
    "priv_SQ.dcm": "no pixel data",
    "reportsi.dcm": "no pixel data",
    "reportsi_with_empty_number_tags.dcm": "no pixel data",
    "rtplan.dcm": "no pixel data",
    "rtplan.dump": "not DICOM",
    "rtplan_truncated.dcm": "truncated image",
    "rtstruct.dcm": "no pixel data",
    "rtstruct.dump": "not DICOM",
    "test-SR.dcm": "no pixel data",
    "test1.json": "not DICOM",
    "test_PN.json": "not DICOM",
    "waveform_ecg.dcm": "no pixel data",
    "zipMR.gz": "not DICOM",
}


@pytest.fixture(scope="module")
def outcomes(data_root):
    folder = data_root / "dicom_pydicom_test_files"
    return [list(source(folder, no_patient="file").read(unit)) for unit in source(folder).units()]


def test_every_file_is_read_or_has_a_reason(outcomes):
    assert all(outcomes)
    assert len(outcomes) == 177
    items = [item for unit in outcomes for item in unit]
    rejected = {item.id: item.reason for item in items if isinstance(item, Rejected)}
    assert {name: reason for name, reason in rejected.items() if "/" not in name} == BROKEN
    below = Counter(reason for name, reason in rejected.items() if "/" in name)
    assert below == {"no pixel data": 50, "DICOMDIR": 8, "not DICOM": 2}
    assert sum(isinstance(item, Record) for item in items) == 162
    faults = {item.reason for item in items if isinstance(item, Rejected) and not item.asked}
    assert faults == {
        "truncated image",
        "corrupt image",
        "decompression bomb",
        "header without the size of the image",
        BROKEN["JPGExtended.dcm"],
    }


MR = ["MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_jp2klossless", "MR_small_padded"]
SAME = [
    [*MR, "MR_small_jpeg_ls_lossless"],
    ["SC_rgb_rle", "SC_rgb_rle_16bit", "SC_rgb_rle_32bit", "SC_rgb_gdcm_KY", "SC_rgb_jpeg_gdcm"],
    ["SC_rgb_jpeg", "SC_rgb_jpeg_dcmd", "SC_jpeg_no_color_transform"],
    ["SC_rgb_small_odd", "SC_rgb_small_odd_big_endian"],
    ["rtdose_1frame", "rtdose_expb_1frame", "rtdose_rle_1frame"],
    ["rtdose", "rtdose_expb", "rtdose_rle"],
    ["liver_1frame", "liver_expb_1frame"],
]


@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0])
def test_one_image_in_several_encodings_has_the_same_pixels(outcomes, names):
    images = {}
    for unit in outcomes:
        stem = unit[0].id.split("#")[0].removesuffix(".dcm")
        if stem in names:
            images[stem] = np.stack([record.image for record in unit])
    assert sorted(images) == sorted(names)
    for stem in names[1:]:
        assert np.array_equal(images[stem], images[names[0]]), stem


def test_subsampled_luminance_and_chrominance_become_the_colours_they_came_from(outcomes):
    images = {unit[0].id: unit[0].image.astype(int) for unit in outcomes if isinstance(unit[0], Record)}
    rgb = images["SC_rgb_rle.dcm"]
    for name in ("SC_ybr_full_422_uncompressed.dcm", "SC_rgb_dcmtk_+eb+cy+n2.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm"):
        assert np.abs(images[name] - rgb).mean() < 3, name  # of 255; with YBR taken for RGB it is 80 and more


# Bytes of any kind


def test_sizes_that_cannot_be_true_are_refused_before_anything_is_allocated(tmp_path):
    small = np.zeros((4, 4), np.uint8)
    write(tmp_path / "rows", small, Rows=65535, Columns=65535)
    write(tmp_path / "frames", small[None], NumberOfFrames=2_000_000_000)
    write(tmp_path / "short", small[None], NumberOfFrames=5, Rows=2, Columns=4)
    path = write(tmp_path / "length", small, PatientComments="x" * 10)
    data = path.read_bytes()
    at = data.index(b"LT", 200)
    path.write_bytes(data[:at] + b"UT\0\0" + struct.pack("<L", 0xFFFFFFF0) + data[at + 4 :])
    whole = dataset(small)
    whole.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    whole.save_as(tmp_path / "deflated", enforce_file_format=True)
    head = (tmp_path / "deflated").read_bytes()
    offset = 144 + pydicom.dcmread(tmp_path / "deflated").file_meta.FileMetaInformationGroupLength
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"".join(bomb.compress(b"\x09\0\x10\0UN\0\0" + struct.pack("<L", 1 << 20) + bytes(1 << 20)) for _ in range(300))
    (tmp_path / "bomb").write_bytes(head[:offset] + zeros + bomb.flush())
    assert reasons(tmp_path) == {
        "rows": "decompression bomb",
        "frames": "decompression bomb",
        "bomb": "decompression bomb",
        "length": "truncated image",
        "short": "truncated image",
    }
    assert [item.id for item in source(tmp_path).records() if isinstance(item, Record)] == ["deflated", "short#1", "short#2"]


def test_a_compressed_frame_larger_than_the_header_says_is_refused(tmp_path, data_root):
    read = pydicom.dcmread(data_root / "dicom_pydicom_test_files" / "MR_small_jp2klossless.dcm")
    at = read.PixelData.index(b"\xff\x4f\xff\x51")
    read.PixelData = read.PixelData[: at + 8] + struct.pack(">LL", 60_000, 60_000) + read.PixelData[at + 16 :]
    read.save_as(tmp_path / "x")
    assert reasons(tmp_path) == {"x": "decompression bomb"}


def test_any_cut_and_any_flipped_byte_ends_in_a_record_or_a_reason(tmp_path, capfd):
    stored = np.random.default_rng(0).integers(0, 4096, (8, 8), dtype=np.uint16)
    whole = write(tmp_path / "whole", stored, PatientName="Doe^John", VOILUTSequence=[lut(0, list(range(64)), 8)]).read_bytes()
    rng = np.random.default_rng(1)
    for cut in range(0, len(whole), 7):
        (tmp_path / f"cut{cut}").write_bytes(whole[:cut])
    for flip in range(300):
        data = bytearray(whole)
        for at in rng.integers(132, len(whole), 3):
            data[at] = rng.integers(256)
        (tmp_path / f"flip{flip}").write_bytes(data)
    deep = bytearray(whole)
    sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000
    (tmp_path / "deep").write_bytes(deep[: whole.index(b"\x08\0\x16\0")] + sequence)
    items = list(source(tmp_path, no_patient="file").records())
    cuts = [item for item in items if item.id.startswith("cut")]
    assert all(isinstance(item, Rejected) for item in cuts)
    assert {item.reason for item in cuts} <= {
        "zero-byte file", "not DICOM", "truncated image", "no pixel data", "header without the size of the image", "corrupt image"
    }  # fmt: skip
    assert not any("Doe" in item.reason for item in items if isinstance(item, Rejected))
    assert capfd.readouterr() == ("", "")


def test_unknown_transfer_syntaxes_are_named_by_the_standard_alone(tmp_path):
    made = dataset(np.zeros((4, 4), np.uint8))
    for name, uid in (("mpeg", "1.2.840.10008.1.2.4.102"), ("private", "1.2.3.4.5")):
        made.file_meta.TransferSyntaxUID = uid
        made.PixelData = pydicom.encaps.encapsulate([b"ab"])
        made["PixelData"].is_undefined_length = True
        made.save_as(tmp_path / name, implicit_vr=False, little_endian=True)
    assert reasons(tmp_path) == {
        "mpeg": "unsupported transfer syntax: MPEG-4 AVC/H.264 High Profile / Level 4.1",
        "private": "unsupported transfer syntax: a private one",
    }


def test_links_and_pipes_are_never_followed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    write(inside / "a", np.zeros((4, 4), np.uint8))
    write(outside / "b", np.zeros((4, 4), np.uint8))
    (inside / "copy").symlink_to(inside / "a")
    (inside / "file").symlink_to(outside / "b")
    (inside / "folder").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    items = {item.id: item for item in source(inside).records()}
    assert isinstance(items.pop("a"), Record)
    assert {name: (item.reason, item.asked) for name, item in items.items()} == {
        "copy": ("link to another file of the folder", True),
        "file": ("link out of the folder", False),
        "folder": ("link out of the folder", False),
        "pipe": ("not a regular file", False),
    }


# Patients, labels and what is asked for


def test_who_is_the_patient(tmp_path):
    pixels = np.zeros((4, 4), np.uint8)
    write(tmp_path / "a", pixels, PatientID="1", IssuerOfPatientID="H")
    write(tmp_path / "b", pixels, PatientID="1")
    write(tmp_path / "c", pixels, PatientID="")
    write(tmp_path / "d", pixels, PatientID="", SeriesInstanceUID="2.25.9")
    assert reasons(tmp_path) == {"c": "no patient", "d": "no patient"}

    def groups(**config):
        return len({record.patient for record in source(tmp_path, **config).records()})

    assert [groups(no_patient=by) for by in ("study", "series", "file")] == [3, 4, 4]
    assert [groups(patient=by) for by in ("study", "series", "file")] == [1, 2, 4]


def test_label_from_the_header_is_a_word_of_classes_alone(tmp_path):
    for name, modality in (("a", "CT"), ("b", "MR"), ("c", "US"), ("d", "")):
        write(tmp_path / name, np.zeros((4, 4), np.uint8), Modality=modality)
    config = {"label_from": "Modality", "classes": {"CT": "ct", "MR": "mr"}}
    assert source(tmp_path, **config).labels() == {"ct", "mr"}
    items = {item.id: item for item in source(tmp_path, **config).records()}
    assert [items[name].label for name in "ab"] == ["ct", "mr"]
    assert [(items[name].reason, items[name].asked) for name in "cd"] == [("label not in classes", False), ("no label", False)]
    assert [item.asked for item in source(tmp_path, other="ignore", **config).records() if isinstance(item, Rejected)] == [True, False]
    wanted = {item.id: item for item in source(tmp_path, modality=["CT"]).records()}
    assert (wanted["b"].reason, wanted["b"].asked) == ("modality that is not asked for", True)


@pytest.mark.parametrize(("key", "names"), [("file", ("a", "sub/b")), ("SOPInstanceUID", ("2.25.71", "2.25.72"))])
def test_labels_and_further_columns_of_a_csv(tmp_path, key, names):
    for name, uid in (("a", "2.25.71"), ("sub/b", "2.25.72"), ("c", "2.25.73")):
        write(tmp_path / name, np.zeros((4, 4), np.uint8), SOPInstanceUID=uid)
    (tmp_path / "t.csv").write_text(f"{key},label,stage\n{names[0]},nv,2\n{names[1]},mel,3\n", encoding="utf-8")
    opened = source(tmp_path, csv="t.csv", csv_key=key)
    assert opened.labels() == {"nv", "mel"}
    items = {item.id: item for item in opened.records()}
    assert sorted(items) == ["a", "c", "sub/b"]
    assert [(items[name].label, items[name].attributes["stage"]) for name in ("a", "sub/b")] == [("nv", "2"), ("mel", "3")]
    assert items["c"].reason == "not in the csv"


def test_a_row_whose_file_is_not_there_is_missing(tmp_path):
    write(tmp_path / "a", np.zeros((4, 4), np.uint8))
    (tmp_path / "t.csv").write_text("file,label\na,nv\ngone,nv\n", encoding="utf-8")
    assert reasons(tmp_path, csv="t.csv") == {"gone": "missing file"}
    (tmp_path / "t.csv").write_text("file,label\na,nv\na,mel\n", encoding="utf-8")
    with pytest.raises(SynthmillError, match="rows 2 and 3 have one file"):
        source(tmp_path, csv="t.csv").labels()


def test_burned_in_annotation(tmp_path):
    write(tmp_path / "x", np.zeros((4, 4), np.uint8), BurnedInAnnotation="YES")
    (refused,) = source(tmp_path).records()
    (skipped,) = source(tmp_path, burned_in="skip").records()
    (kept,) = source(tmp_path, burned_in="keep").records()
    assert (refused.reason, refused.asked, skipped.asked) == ("burned-in annotation", False, True)
    assert isinstance(kept, Record)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"label": None}, "set one of label"),
        ({"label_from": "Modality"}, "label_from needs classes"),
        ({"label": "x", "percentiles": [5, 5]}, "percentiles must be"),
        ({"label": "x", "frames": 0}, "frames"),
        ({"label": "x", "window": {"center": 1, "width": 0}}, "width"),
    ],
)
def test_configs_that_make_no_sense(config, message):
    with pytest.raises(UsageError, match=message):
        validate(Plugin.Config, {"kind": "dicom", "folder": "x", **config}, "source")


def test_a_word_that_is_no_keyword(tmp_path):
    with pytest.raises(UsageError, match="'BodyPart' is no DICOM keyword"):
        source(tmp_path, label_from="BodyPart", classes={"CHEST": "chest"}).files()
