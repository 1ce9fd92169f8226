"""NIfTI: slices are upright in the patient's space, paired volumes line up, and no byte or text of a header does harm."""

import gzip
import itertools
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff
from nibabel.processing import resample_from_to

from schema.errors import SynthmillError, UsageError
from schema.params import validate
from schema.record import Record, Rejected
from tasks.sources.nifti import Plugin

RNG = np.random.default_rng(3)
WHOLE = {"low": 0, "high": 255}
"""The window in which the intensities are the pixels."""


def source(folder: Path, **options) -> Plugin:
    section = {"kind": "nifti", "folder": str(folder), "images": {"image": "*_t1.nii*"}, "label": "head", "window": WHOLE, **options}
    return Plugin(validate(Plugin.Config, section, "source"))


def save(path: Path, voxels: np.ndarray, affine: np.ndarray | None = None) -> None:
    nib.save(nib.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)


def reasons(plugin: Plugin) -> list[str]:
    return [item.reason for item in plugin.records() if isinstance(item, Rejected)]


def turn(degrees: float, axis: tuple[int, int]) -> np.ndarray:
    """4 x 4, a rotation in the plane of two axes."""
    matrix, (a, b) = np.eye(4), axis
    matrix[a, a] = matrix[b, b] = np.cos(np.radians(degrees))
    matrix[b, a] = np.sin(np.radians(degrees))
    matrix[a, b] = -matrix[b, a]
    return matrix


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_the_same_head_gives_the_same_slices_in_each_of_the_48_orientations_of_its_voxels(tmp_path, axis):
    ras = RNG.integers(0, 256, (4, 5, 6), dtype=np.uint8)
    # Right on the viewer's left, front or head on top, nose to the left.
    expected = {
        "axial": ras[::-1, ::-1].transpose(2, 1, 0),
        "coronal": ras[::-1, :, ::-1].transpose(1, 2, 0),
        "sagittal": ras[:, ::-1, ::-1],
    }
    expected["sagittal"] = expected["sagittal"].transpose(0, 2, 1)
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            orientation = np.array([order, signs]).T
            save(tmp_path / "a_t1.nii", apply_orientation(ras, orientation), inv_ornt_aff(orientation, ras.shape))
            images = [record.image for record in source(tmp_path, axis=axis).records()]
            np.testing.assert_array_equal(images, expected[axis])


def test_a_point_of_an_oblique_volume_is_at_the_pixel_that_its_place_in_space_says(tmp_path):
    affine = turn(20, (0, 1)) @ turn(-15, (1, 2)) @ np.diag([-2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 11, -7, 40
    voxels = np.zeros((20, 24, 9), np.uint8)
    voxels[3, 17, 5] = 200
    save(tmp_path / "a_t1.nii.gz", voxels, affine)
    records = list(source(tmp_path).records())
    # i runs to the patient's left, as columns do; j to the front, as rows do not.
    assert [np.argwhere(record.image == 200).tolist() for record in records] == [[[24 - 1 - 17, 3]] if k == 5 else [] for k in range(9)]
    assert records[5].attributes == {"slice": 5, "extent_share": 5.5 / 9}


def test_paired_volumes_of_other_voxels_origin_and_tilt_line_up(tmp_path):
    """Trilinear interpolation gives a function that is linear in space exactly, wherever it is sampled."""
    main = turn(10, (0, 1)) @ np.diag([1.5, 1.5, 2.0, 1.0])
    other = turn(-25, (1, 2)) @ np.diag([2.5, -1.2, 3.1, 1.0])
    other[:3, 3] = -50, 60, -70
    indices = np.stack(np.meshgrid(*map(np.arange, (60, 110, 60)), indexing="ij"))
    weights, constant = np.array([0.7, 1.1, -0.9]), 100.0
    world = np.einsum("ab,bijk->aijk", other[:3, :3], indices) + other[:3, 3, None, None, None]
    save(tmp_path / "a_t1.nii", np.zeros((16, 18, 7), np.uint8), main)
    save(tmp_path / "a_pd.nii", (np.einsum("a,aijk->ijk", weights, world) + constant).astype(np.float64), other)
    records = list(source(tmp_path, images={"image": "*_t1.nii", "pd": "*_pd.nii"}).records())
    assert len(records) == 7
    for record in records:
        for row, column in ((0, 0), (17, 15), (3, 9)):
            place = (main @ [15 - column, 17 - row, record.attributes["slice"], 1])[:3]
            assert abs(record.images["pd"][row, column] - (weights @ place + constant)) <= 0.5 + 1e-3


def test_masks_keep_their_values_and_end_where_their_volume_ends(tmp_path):
    save(tmp_path / "a_t1.nii", RNG.integers(0, 255, (12, 12, 3), dtype=np.uint8))
    mask = np.zeros((4, 4, 3), np.int16)
    mask[1:, 1:] = 7
    affine = np.diag([2.0, 2.0, 1.0, 1.0])
    affine[:3, 3] = 2.5, 2.5, 0  # its voxels reach from 1.5 to 9.5 mm, two of the main one's voxels in each
    save(tmp_path / "a_seg.nii", mask, affine)
    options = {"images": {"image": "*_t1.nii", "seg": "*_seg.nii"}, "masks": ["seg"]}
    expected = np.zeros((12, 12), np.uint8)
    expected[12 - 10 : 12 - 4, 12 - 10 : 12 - 4] = 7
    for record in source(tmp_path, **options).records():
        np.testing.assert_array_equal(record.images["seg"], expected)
    save(tmp_path / "a_seg.nii", mask + 0.5, affine)
    assert reasons(source(tmp_path, **options)) == ["seg volume: not a mask: values other than 0, 1, ... 255"]


def test_pixels_are_made_square(tmp_path):
    ramp = np.broadcast_to(np.arange(10.0)[None, :, None] * 20, (6, 10, 2))
    save(tmp_path / "a_t1.nii", ramp, np.diag([1.0, 3.0, 5.0, 1.0]))
    image = next(source(tmp_path).records()).image
    assert image.shape == (30, 6)
    # Row r of 1 mm stands at voxel 9 - (r - 1) / 3, which the middle rows of each voxel meet.
    np.testing.assert_array_equal(image[1::3, 0], np.arange(180, -1, -20))
    np.testing.assert_array_equal(image[2::3, 0][:-1], np.floor(np.arange(180, 19, -20) - 20 / 3 + 0.5))


@pytest.mark.parametrize(
    ("slices", "expected"),
    [({}, list(range(10))), ({"from": 0.2, "to": 0.8, "every": 3}, [2, 5]), ({"to": 0.25}, [0, 1, 2]), ({"from": 0.95, "every": 7}, [9])],
)
def test_slices_are_shares_of_the_extent(tmp_path, slices, expected):
    save(tmp_path / "a_t1.nii", RNG.integers(0, 255, (4, 4, 10), dtype=np.uint8))
    assert [record.attributes["slice"] for record in source(tmp_path, slices=slices).records()] == expected


def test_empty_slices_are_left_out_as_asked(tmp_path):
    voxels = np.zeros((4, 4, 3), np.uint8)
    voxels[:2, :, 1], voxels[0, :, 2] = 255, 255
    save(tmp_path / "a_t1.nii", voxels)
    items = list(source(tmp_path, slices={"skip_empty": 0.5}).records())
    assert items[0] == Rejected("a_t1.nii#0", "empty slice", asked=True)
    assert items[1].id == "a_t1.nii#1"
    assert items[2].asked


def test_a_window_is_in_units_or_in_percentiles_of_all_voxels_above_the_lowest(tmp_path):
    hounsfield = np.full((10, 11, 1), -1024, np.int16)
    hounsfield[:, 1:, 0] = np.arange(-10, 90).reshape(10, 10)
    save(tmp_path / "a_t1.nii", hounsfield)
    shown = hounsfield[::-1, ::-1, 0].T.astype(float)
    for window, low, high in (
        ({"low": 0, "high": 80}, 0, 80),
        ({"percentiles": [0, 100]}, -10, 89),
        ({"percentiles": [10, 50]}, -0.1, 39.5),
    ):
        image = next(source(tmp_path, window=window).records()).image
        np.testing.assert_array_equal(image, np.floor(255 * np.clip((shown - low) / (high - low), 0, 1) + 0.5))


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_and_byte_order_and_both_versions(tmp_path, kind, order):
    voxels = RNG.integers(0, 127, (3, 4, 2)).astype(kind)
    for image, suffix in ((nib.Nifti1Image, "nii"), (nib.Nifti2Image, "nii.gz")):
        header = image.header_class(endianness=order)
        header.set_data_dtype(np.dtype(order + kind))
        (tmp_path / "a_t1.nii.gz").unlink(missing_ok=True)
        (tmp_path / "a_t1.nii").unlink(missing_ok=True)
        nib.save(image(voxels, np.eye(4), header, dtype=order + kind), tmp_path / f"a_t1.{suffix}")
        images = [record.image for record in source(tmp_path).records()]
        np.testing.assert_array_equal(images, voxels[::-1, ::-1].transpose(2, 1, 0))


def edited(path: Path, *changes: tuple[int, str, object]) -> None:
    """A small NIfTI-1 with fields of its header overwritten: (offset, struct format, value), offsets as in nifti1.h."""
    save(path, RNG.integers(1, 100, (5, 4, 3), dtype=np.int16))
    data = bytearray(path.read_bytes())
    for offset, kind, value in changes:
        struct.pack_into(f"<{kind}", data, offset, value)
    path.write_bytes(data)


DIM, TYPE, OFFSET, SLOPE, INTER, MAGIC, SROW = 40, 70, 108, 112, 116, 344, 280


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_no_scale_where_the_slope_is_zero_or_not_finite(tmp_path, slope):
    edited(tmp_path / "a_t1.nii")
    before = [record.image.tolist() for record in source(tmp_path).records()]
    data = bytearray((tmp_path / "a_t1.nii").read_bytes())
    struct.pack_into("<ff", data, SLOPE, slope, 5.0)
    (tmp_path / "a_t1.nii").write_bytes(data)
    assert [record.image.tolist() for record in source(tmp_path).records()] == before


@pytest.mark.parametrize("slope", [2.0, -2.0])
def test_intensity_is_slope_times_voxel_plus_intercept(tmp_path, slope):
    edited(tmp_path / "a_t1.nii", (SLOPE, "f", slope), (INTER, "f", 10.0))
    voxels = np.frombuffer((tmp_path / "a_t1.nii").read_bytes()[352:], "<i2").reshape((5, 4, 3), order="F")
    intensity = slope * voxels[::-1, ::-1].transpose(2, 1, 0) + 10.0
    images = [record.image for record in source(tmp_path, window={"low": -200, "high": 310}).records()]
    np.testing.assert_array_equal(images, np.floor((intensity + 200) / 2 + 0.5))
    ranked = np.array([record.image for record in source(tmp_path, window={"percentiles": [0, 100]}).records()], dtype=float)
    assert np.corrcoef(ranked.ravel(), intensity.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([(DIM + 2, "h", 10_000), (DIM + 4, "h", 10_000), (DIM + 6, "h", 10_000)], "decompression bomb"),
        ([(DIM + 2, "h", 600), (DIM + 4, "h", 600), (DIM + 6, "h", 600)], "truncated volume"),
        ([(DIM + 2, "h", -5)], "broken header"),
        ([(DIM + 2, "h", 0)], "broken header"),
        ([(DIM, "h", 99)], "broken header"),
        ([(DIM, "h", 5), (DIM + 10, "h", 3)], "vectors in place of intensities"),
        ([(TYPE, "h", 128)], "colour voxels"),
        ([(TYPE, "h", 32)], "complex voxels"),
        ([(TYPE, "h", 4242)], "voxels of an unknown kind"),
        ([(OFFSET, "f", 1e12)], "broken header"),
        ([(OFFSET, "f", np.nan)], "broken header"),
        ([(OFFSET, "f", 360.0)], "truncated volume"),
        ([(MAGIC, "4s", b"ni1\0")], "NIfTI in two files: join .hdr and .img to .nii"),
        ([(MAGIC, "4s", b"abc\0")], "not a readable NIfTI"),
        ([(0, "i", 12)], "not a readable NIfTI"),
        ([(SROW, "f", np.nan)], "broken affine"),
        ([(SROW, "f", 0.0)], "broken affine"),
        ([(SLOPE, "f", 1.0), (INTER, "f", np.nan)], "broken header"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_lies_is_set_aside_before_anything_is_allocated(tmp_path, changes, reason, packed):
    edited(tmp_path / "a_t1.nii", *changes)
    if packed:
        data = (tmp_path / "a_t1.nii").read_bytes()
        (tmp_path / "a_t1.nii").unlink()
        (tmp_path / "a_t1.nii.gz").write_bytes(gzip.compress(data))
    assert reasons(source(tmp_path)) == [reason]


def test_a_volume_that_is_cut_anywhere_is_set_aside_and_nothing_else_is_raised(tmp_path):
    edited(tmp_path / "b_t1.nii")
    whole = gzip.compress((tmp_path / "b_t1.nii").read_bytes())
    (tmp_path / "b_t1.nii").unlink()
    for size in range(len(whole)):
        (tmp_path / "a_t1.nii.gz").write_bytes(whole[:size])
        assert reasons(source(tmp_path)) != [], size
    for at in range(10, len(whole)):
        (tmp_path / "a_t1.nii.gz").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        assert len(reasons(source(tmp_path))) == 1, at  # every byte of it is under a checksum


def test_no_byte_of_a_header_raises_anything(tmp_path):
    edited(tmp_path / "a_t1.nii")
    whole = (tmp_path / "a_t1.nii").read_bytes()
    for at in range(352):
        for value in (0, 0xFF):
            (tmp_path / "a_t1.nii").write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            assert list(source(tmp_path).records()), (at, value)


@pytest.mark.parametrize(
    ("voxels", "window", "reason"),
    [
        (np.full((3, 3, 2), 5, np.int16), {"percentiles": [1, 99]}, "constant volume"),
        (np.full((1, 1, 1), 5, np.int16), WHOLE, "fewer than 2 x 2 voxels"),
        (np.full((3, 3, 2), np.nan), WHOLE, "no finite voxel"),
        (np.full((40, 2, 2), 1, np.uint8), WHOLE, "decompression bomb"),  # once its pixels of 1e-6 mm are square
    ],
)
def test_a_volume_without_a_picture_is_set_aside(tmp_path, voxels, window, reason):
    save(tmp_path / "a_t1.nii", voxels, np.diag([1.0, 1e-6 if reason == "decompression bomb" else 1.0, 1.0, 1.0]))
    assert reasons(source(tmp_path, window=window)) == [reason]


def test_nan_and_infinity_take_the_lowest_value(tmp_path):
    voxels = np.full((2, 2, 1), 7.0)
    voxels[0, 0], voxels[1, 1], voxels[0, 1] = np.nan, np.inf, 90
    save(tmp_path / "a_t1.nii", voxels)
    np.testing.assert_array_equal(next(source(tmp_path).records()).image, [[7, 90], [7, 7]])


def test_an_image_in_2d_is_one_slice_whatever_the_axis(tmp_path):
    voxels = RNG.integers(0, 255, (5, 4), dtype=np.uint8)
    save(tmp_path / "a_t1.nii", voxels)
    for axis in ("axial", "coronal"):
        (record,) = source(tmp_path, axis=axis).records()
        np.testing.assert_array_equal(record.image, voxels[::-1, ::-1].T)


def test_one_volume_of_a_file_in_4d(tmp_path):
    voxels = RNG.integers(0, 255, (3, 4, 2, 5), dtype=np.uint8)
    save(tmp_path / "a_t1.nii.gz", voxels)
    images = [record.image for record in source(tmp_path, volume=3).records()]
    np.testing.assert_array_equal(images, voxels[::-1, ::-1, :, 3].transpose(2, 1, 0))
    assert reasons(source(tmp_path, volume=5)) == ["no volume 5"]


def test_no_text_of_a_header_passes(tmp_path):
    image = nib.Nifti1Image(RNG.integers(0, 255, (3, 3, 2), dtype=np.uint8), np.eye(4))
    for key in ("descrip", "intent_name", "aux_file", "db_name"):
        image.header[key] = b"DOE^JANE"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JANE"))
    nib.save(image, tmp_path / "a_t1.nii.gz")
    plugin = source(tmp_path)
    records = list(plugin.records())
    assert b"DOE^JANE" in gzip.decompress((tmp_path / "a_t1.nii.gz").read_bytes())
    assert len(records) == 2
    assert "DOE" not in repr(records) + repr(list(plugin.units()))


def scans(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(folder / name, RNG.integers(0, 255, (3, 3, 1), dtype=np.uint8))


def test_volumes_are_paired_by_what_the_wildcards_or_the_groups_match_and_no_volume_is_lost(tmp_path):
    scans(tmp_path, "sub-1/ses-a/sub-1_t1.nii", "sub-1/ses-b/sub-1_t1.nii", "sub-1/ses-b/sub-1_pd.nii", "sub-2/ses-a/sub-2_pd.nii", "x.nii")
    images = {"image": "**/*_t1.nii", "pd": "**/*_pd.nii"}
    with pytest.raises(SynthmillError, match=r"its wildcards stand for 'sub-1' and 'sub-1/ses-a', of which either may be the patient"):
        list(source(tmp_path, images=images).units())
    groups = "(?P<patient>sub-[0-9]+)/(?P<session>ses-[a-z]+)"
    items = list(source(tmp_path, images=images, patient=groups).records())
    assert [(item.id, getattr(item, "patient", None) or item.reason) for item in items] == [
        ("sub-1/ses-a/sub-1_t1.nii", "no pd volume"),
        ("sub-1/ses-b/sub-1_t1.nii#0", "sub-1"),
        ("sub-2/ses-a/sub-2_pd.nii", "no image volume"),
        ("x.nii", "in no pattern of images"),
    ]
    assert [item.asked for item in items if isinstance(item, Rejected)] == [False, False, True]
    with pytest.raises(SynthmillError, match=r"are two volumes 'image' of one scan: tell them apart by a further named group"):
        list(source(tmp_path, images=images, patient="(?P<patient>sub-[0-9]+)").units())


def test_the_most_particular_pattern_counts(tmp_path):
    scans(tmp_path, "one.nii", "one_seg.nii")
    (record,) = source(tmp_path, images={"image": "*.nii", "seg": "*_seg.nii"}, masks=["seg"]).records()
    assert (record.patient, set(record.images)) == ("one", {"seg"})
    with pytest.raises(UsageError, match="alike: make the patterns"):
        list(source(tmp_path, images={"image": "*.nii", "seg": "?ne.nii", "t2": "*n*nii"}, patient="(?P<patient>one)").units())


def test_a_partner_elsewhere_in_space_is_set_aside_and_slices_beyond_it_are_left_out(tmp_path):
    save(tmp_path / "a_t1.nii", RNG.integers(0, 255, (4, 4, 4), dtype=np.uint8))
    options = {"images": {"image": "*_t1.nii", "pd": "*_pd.nii"}}
    for z, expected in ((2, ["slice outside pd"] * 2), (3.4, ["slice outside pd"] * 3), (50, ["pd volume: no overlap with the main one"])):
        affine = np.eye(4)
        affine[2, 3] = z
        save(tmp_path / "a_pd.nii", RNG.integers(0, 255, (4, 4, 4), dtype=np.uint8), affine)
        items = [item for item in source(tmp_path, **options).records() if isinstance(item, Rejected)]
        assert [item.reason for item in items] == expected
        assert all(item.asked == (z != 50) for item in items)


def test_labels_and_attributes_of_a_table(tmp_path):
    scans(tmp_path, "one_t1.nii", "two_t1.nii", "three_t1.nii", "four_t1.nii")
    (tmp_path / "who.tsv").write_text("participant\tgroup\tage\none\tpatient\t61\ntwo_t1.nii\tcontrol\t\nthree\t\t5\ngone\tcontrol\t7\n")
    options = {"csv": "who.tsv", "csv_key": "participant", "label": "group", "classes": {"patient": "ill", "control": "well"}}
    plugin = source(tmp_path, **options)
    found = {item.id: item for item in plugin.records()}
    assert plugin.labels() == {"ill", "well"}
    assert (found["one_t1.nii#0"].label, found["one_t1.nii#0"].attributes["age"]) == ("ill", "61")
    assert (found["two_t1.nii#0"].label, found["two_t1.nii#0"].attributes["age"]) == ("well", None)
    assert found["three_t1.nii"].reason == "no label"
    assert found["four_t1.nii"] == Rejected("four_t1.nii", "not in the csv", asked=True)
    assert found["row 5 of the csv"] == Rejected("row 5 of the csv", "missing file")
    with pytest.raises(SynthmillError, match=r"row 3, column 'group': a word is not in ingest\.source\.classes"):
        source(tmp_path, **{**options, "classes": {"patient": "ill"}}).labels()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": {"t1": "*.nii"}}, "images has no `image`"),
        ({"images": {"image": "../*.nii"}}, "climbs out of the folder"),
        ({"images": {"image": "*.nii", "pd": "*/pd.nii"}, "masks": ["ps"]}, "masks names 'ps'.*pd"),
        ({"images": {"image": "*.nii", "pd": "*/*.nii"}}, "different numbers of wildcards"),
        ({"patient": "sub-([0-9]+)"}, r"write it as \(\?P<patient>"),
        ({"patient": "(?P<patient>["}, "no regular expression"),
        ({"window": {"low": 5}}, "either `low` and `high`, or `percentiles`"),
        ({"window": {"low": 5, "high": 5}}, "no window"),
        ({"window": {"percentiles": [1, 101]}}, "no window"),
        ({"slices": {"from": 0.5, "to": 0.5}}, "must be less than to"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        source(tmp_path, **options)


def test_nothing_found_says_what_to_do(tmp_path):
    with pytest.raises(SynthmillError, match=r"no file below .* is named like '\*_t1\.nii\*': mend ingest\.source\.images\.image"):
        source(tmp_path).files()
    with pytest.raises(SynthmillError, match=r"is not there: mend ingest\.source\.folder"):
        source(tmp_path / "nowhere").files()


def test_a_real_head_is_sampled_as_nibabel_does(data_root):
    folder = data_root / "nifti_chris_t1_pd"
    images = {"image": "*_t1.nii.gz", "pd": "*_PD.nii.gz"}
    records = list(source(folder, images=images, slices={"from": 0.3, "to": 0.7, "every": 25}).records())
    t1, pd = nib.load(folder / "chris_t1.nii.gz"), nib.load(folder / "chris_PD.nii.gz")
    expected = np.asarray(resample_from_to(pd, t1, order=1).dataobj).astype(int)
    assert len(records) == 4
    for record in records:
        assert isinstance(record, Record)
        assert (record.patient, record.image.shape) == ("chris", (256, 188))
        index = record.attributes["slice"]
        np.testing.assert_array_equal(record.image, np.asarray(t1.dataobj)[::-1, ::-1, index].T)
        differs = np.abs(record.images["pd"].astype(int) - expected[::-1, ::-1, index].T) > 1
        assert differs.mean() < 0.005  # half a voxel at the border of PD, which nibabel leaves black
