"""What a release folder says of itself, and what its bytes say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from catalog import sums
from schema.digest import read_json, sha256_pixels, sha256_set
from schema.errors import IntegrityError, SynthmillError
from schema.release import Release, ReleaseDigests, files_digest, record_digest

PROVENANCE = "provenance.json"


def provenance(folder: Path) -> dict[str, Any]:
    """provenance.json. Raises SynthmillError where there is no release in the folder."""
    path = folder / PROVENANCE
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: there is no release in {folder}; build one with `./mill run {folder.name}`")
    return read_json(path)


def described(folder: Path, code_commit: str) -> Release:
    """The Release that the folder says it holds."""
    said = provenance(folder)
    return Release(
        **{field: said[field] for field in ("dataset", "version", "images", "labels", "digests", "gates")}, code_commit=code_commit
    )


def digests(folder: Path) -> ReleaseDigests:
    """The two digests, made afresh from SHA256SUMS (which is not checked here) and from every image's pixels."""
    return ReleaseDigests(records=sha256_set(record_digests(folder)), files=files_digest(sums.read(folder)))


def check_files_digest(folder: Path, release: Release) -> None:
    """Raises IntegrityError unless the files that SHA256SUMS lists are those that the tag vouches for."""
    if files_digest(sums.read(folder)) != release.digests.files:
        raise IntegrityError(f"{folder} is whole, but its files are not those of {release.tag}: get the release again")


def record_digests(folder: Path) -> Iterator[str]:
    """The digest of each record, its pixels decoded. Raises IntegrityError for an image whose pixels its row denies."""
    import pyarrow.parquet as pq

    from schema.record import decode_png

    for path in sorted((folder / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=256, columns=["id", "label_name", "image", "sha256"]):
            for row in batch.to_pylist():
                pixels = sha256_pixels(decode_png(row["image"]["bytes"]))
                if pixels != row["sha256"]:
                    raise IntegrityError(f"{path}: the pixels of {row['id']} are not those that its sha256 names: get the release again")
                yield record_digest(row["id"], row["label_name"], pixels)
