"""Names that can be folders, stages and tags; versions by Croissant's rule; digests that say what they should."""

import numpy as np
import pytest

from schema.digest import sha256_pixels, sha256_set, write_bytes, write_json
from schema.errors import UsageError
from schema.record import decode_png, encode_png
from schema.release import Version, check_name, next_version


@pytest.mark.parametrize("name", ["../pneumonia", "a/b", "", "-a", "a-", "A", "a b", "a@b", "a" * 65, "a\n"])
def test_a_name_that_is_not_one_is_refused(name):
    with pytest.raises(UsageError):
        check_name(name)


@pytest.mark.parametrize(
    ("same_files", "same_records", "contains", "version"),
    [(True, True, True, "v1.2.3"), (False, True, True, "v1.2.4"), (False, False, True, "v1.3.0"), (False, False, False, "v2.0.0")],
)
def test_the_next_version(same_files, same_records, contains, version):
    assert str(next_version(Version(1, 2, 3), same_files, same_records, contains)) == version


def test_versions_order_by_number_not_by_letter():
    assert Version.parse("v1.10.0") > Version.parse("1.9.9")
    with pytest.raises(UsageError):
        Version.parse("v1.02.0")


def test_pixels_decide_the_digest_and_not_the_file():
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert sha256_pixels(image) == sha256_pixels(decode_png(encode_png(image)))
    assert sha256_pixels(image) != sha256_pixels(image.reshape(8, 6))
    assert sha256_set(["a", "b"]) == sha256_set(["b", "a"]) != sha256_set(["a", "b", "b"])


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]


def test_json_refuses_what_is_not_a_number(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
