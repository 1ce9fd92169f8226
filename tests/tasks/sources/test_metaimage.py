"""MetaImage: places as ITK has them, and a header that cannot reach a file that is not beside it."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from schema.params import validate
from schema.record import Record, Rejected
from tasks.sources.metaimage import LPS_TO_RAS, Plugin

RNG = np.random.default_rng(4)
WHOLE = {"low": 0, "high": 255}


def source(folder: Path, **options) -> Plugin:
    section = {"kind": "metaimage", "folder": str(folder), "images": {"image": "*.mh?"}, "label": "head", "window": WHOLE, **options}
    return Plugin(validate(Plugin.Config, {"patient": "^(?P<patient>[a-z]+)", **section}, "source"))


def header(data: str = "LOCAL", **fields) -> bytes:
    given = {"ObjectType": "Image", "NDims": 3, "DimSize": "4 5 2", "ElementType": "MET_UCHAR", **fields, "ElementDataFile": data}
    return "".join(f"{key} = {value}\n" for key, value in given.items() if value is not None).encode()


VOXELS = RNG.integers(0, 255, (2, 5, 4), dtype=np.uint8)
"""K x J x I, as the bytes lie. ITK's axes run to the patient's left and back: an axial slice is shown as it is stored."""


def reasons(plugin: Plugin) -> list[str]:
    return [item.reason for item in plugin.records() if isinstance(item, Rejected)]


ITK_HEADER = b"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = True
CompressedDataSize = 247
TransformMatrix = 0 0.59999999999999998 0.80000000000000004 0 -0.80000000000000004 0.59999999999999998 1 0 0
Offset = -20 30 7
CenterOfRotation = 0 0 0
AnatomicalOrientation = IPR
ElementSpacing = 0.5 0.75 2.5
DimSize = 6 7 4
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
"""As ITK 5.4 writes an image of the direction [[0, 0, 1], [0.6, -0.8, 0], [0.8, 0.6, 0]]."""


@pytest.mark.parametrize(("index", "place"), [((0, 0, 0), (-20, 30, 7)), ((5, 6, 3), (-12.5, 27.9, 11.7)), ((2, 1, 3), (-12.5, 30, 8.25))])
def test_voxels_are_where_itk_places_them(tmp_path, index, place):
    """The places are those of its TransformIndexToPhysicalPoint."""
    voxels = RNG.integers(-500, 500, (4, 7, 6), dtype=np.int16)
    (tmp_path / "a.mha").write_bytes(ITK_HEADER + zlib.compress(voxels.tobytes()))
    volume = source(tmp_path).load(tmp_path / "a.mha", ())
    np.testing.assert_allclose(volume.affine @ [*index, 1], LPS_TO_RAS @ [*place, 1], atol=1e-9)
    assert volume.voxels[index] == voxels[index[::-1]]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["mha", "mhd"])
@pytest.mark.parametrize(("kind", "order"), [("MET_UCHAR", "<u1"), ("MET_SHORT", "<i2"), ("MET_USHORT", ">u2"), ("MET_DOUBLE", ">f8")])
def test_voxels_beside_the_header_or_behind_it_packed_or_not(tmp_path, packed, suffix, kind, order):
    data = VOXELS.astype(order).tobytes()
    data = zlib.compress(data) if packed else data
    fields = {"ElementType": kind, "BinaryDataByteOrderMSB": order.startswith(">"), "CompressedData": packed}
    inside = suffix == "mha"
    (tmp_path / f"a.{suffix}").write_bytes(header("LOCAL" if inside else "sub/a.raw", **fields) + (data if inside else b""))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.raw").write_bytes(b"" if inside else data)
    plugin = source(tmp_path)
    np.testing.assert_array_equal([record.image for record in plugin.records()], VOXELS)
    assert (tmp_path / "sub/a.raw" in plugin.files()) == (not inside)


def test_a_header_size_skips_bytes_or_counts_from_the_end(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"x" * 9 + VOXELS.tobytes())
    for size in (9, -1):
        (tmp_path / "a.mhd").write_bytes(header("a.raw", HeaderSize=size))
        np.testing.assert_array_equal([record.image for record in source(tmp_path).records()], VOXELS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "voxels in a file outside its folder"),
        ("../secret.raw", "voxels in a file outside its folder"),
        ("sub/../../secret.raw", "voxels in a file outside its folder"),
        ("C:\\secret.raw", "voxels in a file outside its folder"),
        ("..\\secret.raw", "voxels in a file outside its folder"),
        ("LIST", "voxels in several files"),
        ("list 2D", "voxels in several files"),
        ("a%03d.raw 1 2 1", "voxels in several files"),
        ("link.raw", "missing file"),
        ("gone.raw", "missing file"),
        ("", "voxels in a file outside its folder"),
    ],
)
def test_no_file_is_opened_that_is_not_beside_the_header_or_below(tmp_path, name, reason):
    folder = tmp_path / "ct"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    (folder / "a.mhd").write_bytes(header(name))
    plugin = source(folder)
    assert reasons(plugin) == [reason]
    assert plugin.files() == [folder / "a.mhd"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"DimSize": "10000 10000 10000"}, "decompression bomb"),
        ({"DimSize": "400 500 200"}, "truncated volume"),
        ({"DimSize": "400 500 200", "CompressedData": True}, "truncated volume"),
        ({"DimSize": "4 5"}, "broken header"),
        ({"DimSize": "4 5 two"}, "broken header"),
        ({"DimSize": "4 5 -2"}, "broken header"),
        ({"DimSize": None}, "broken header"),
        ({"NDims": 4, "DimSize": "4 5 2 1"}, "neither 2 nor 3 dimensions"),
        ({"ObjectType": "Tube"}, "not a readable MetaImage"),
        ({"BinaryData": False}, "voxels written as text"),
        ({"BinaryData": "maybe"}, "broken header"),
        ({"ElementNumberOfChannels": 3}, "colour voxels"),
        ({"ElementType": "MET_STRING"}, "voxels of an unknown kind"),
        ({"ElementSpacing": "1 0 1"}, "broken affine"),
        ({"ElementSpacing": "1 nan 1"}, "broken affine"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "broken affine"),
        ({"TransformMatrix": "1 0 0 1"}, "broken header"),
        ({"Offset": "0 0 0", "Position": "1 1 1"}, "broken header"),
        ({"HeaderSize": 5}, "broken header"),
        ({"ElementToIntensityFunctionSlope": 0}, "broken header"),
        ({"CompressedData": True}, "corrupt volume"),
    ],
)
def test_a_header_that_lies_is_set_aside(tmp_path, fields, reason):
    (tmp_path / "a.mha").write_bytes(header(**fields) + VOXELS.tobytes())
    assert reasons(source(tmp_path)) == [reason]


def test_a_volume_cut_or_changed_anywhere_raises_nothing(tmp_path):
    whole = header(CompressedData=True) + zlib.compress(VOXELS.tobytes())
    for size in range(len(whole)):
        (tmp_path / "a.mha").write_bytes(whole[:size])
        assert len(reasons(source(tmp_path))) == 1, size
    for at in range(len(whole)):
        (tmp_path / "a.mha").write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        items = list(source(tmp_path).records())
        assert items, at
    (tmp_path / "a.mha").write_bytes(header(CompressedData=True) + zlib.compress(VOXELS.tobytes() + b"more"))
    assert reasons(source(tmp_path)) == ["corrupt volume"]


def test_no_key_but_those_of_the_geometry_passes(tmp_path):
    names = {"PatientName": "DOE JANE", "Comment": "DOE JANE", "0010|0010": "DOE JANE"}
    (tmp_path / "a.mha").write_bytes(header(**names) + VOXELS.tobytes())
    records = list(source(tmp_path).records())
    assert len(records) == 2
    assert "DOE" not in repr(records)


def test_real_slices_are_shown_as_stored_and_lie_below_their_masks(data_root):
    folder = data_root / "mha_ct_head_2d"
    images = {"image": "CT_2D_head_*.mha", "mask": "CT_2D_head_*_mask.mha"}
    records = list(source(folder, images=images, masks=["mask"], patient="volunteer").records())
    assert [record.id for record in records] == ["CT_2D_head_fixed.mha#0", "CT_2D_head_moving.mha#0"]
    for record in records:
        assert isinstance(record, Record)
        stored = np.frombuffer((folder / record.id.removesuffix("#0")).read_bytes()[-2 * 256 * 256 :], "<i2").reshape(256, 256)
        np.testing.assert_array_equal(record.image, stored.clip(0, 255))
        assert set(np.unique(record.images["mask"])) == {0, 1}
        bright = record.image > record.image.mean()
        assert (record.images["mask"][bright] == 1).mean() > 0.75
