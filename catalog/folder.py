"""What a release folder says of itself, and what its bytes say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from catalog import sums
from schema.digest import sha256_pixels, sha256_set
from schema.errors import IntegrityError, SynthmillError
from schema.release import PROVENANCE_FORMAT, Release, ReleaseDigests, check_format, files_digest, record_digest

PROVENANCE = "provenance.json"


class Code(BaseModel):
    commit: str
    modified: bool


class Provenance(BaseModel):
    """The part of provenance.json that publishing and verifying stand on."""

    dataset: str
    version: str
    previous: str | None
    images: int
    labels: dict[str, int]
    digests: ReleaseDigests
    gates: list[dict[str, Any]]
    code: Code


def provenance_file(folder: Path) -> Path:
    """Raises SynthmillError where there is no release in the folder."""
    path = folder / PROVENANCE
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: there is no release in {folder}; build one with `./mill run {folder.name}`")
    return path


def provenance(folder: Path) -> Provenance:
    """Raises SynthmillError where there is no release in the folder, IntegrityError where provenance.json is not what a release has,
    NewerFormat where a later synthmill wrote it."""
    path = provenance_file(folder)
    try:
        said = json.loads(path.read_bytes())
        check_format(said.get("format", PROVENANCE_FORMAT), PROVENANCE_FORMAT, str(path))
        return Provenance.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise IntegrityError(f"{path} does not say where a release comes from ({where}: {fault['msg']}): {sums.GET_AGAIN}") from None
    except (ValueError, AttributeError) as error:
        raise IntegrityError(f"{path} does not say where a release comes from ({error}): {sums.GET_AGAIN}") from None


def described(folder: Path) -> Release:
    """The Release that the folder says it holds. Raises as `provenance` does, and IntegrityError where SHA256SUMS is missing."""
    said = provenance(folder)
    return Release(**said.model_dump(exclude={"previous", "code"}), sums=sums.digest(folder), code_commit=said.code.commit)


def digests(folder: Path) -> ReleaseDigests:
    """The two digests, made afresh from SHA256SUMS (which is not checked here) and from every image's pixels."""
    return ReleaseDigests(records=sha256_set(record_digests(folder)), files=files_digest(sums.read(folder)))


def check_sums(folder: Path, release: Release) -> None:
    """Raises IntegrityError unless SHA256SUMS, and so every file that it lists, is the one that the tag vouches for."""
    if sums.digest(folder) != release.sums:
        raise IntegrityError(f"{folder} is whole, but its files are not those of {release.tag}: {sums.GET_AGAIN}")


def record_digests(folder: Path) -> Iterator[str]:
    """The digest of each record, its pixels decoded. Raises IntegrityError for an image whose pixels its row denies."""
    import pyarrow.parquet as pq

    from schema.record import decode_png

    for path in sorted((folder / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                pixels = sha256_pixels(decode_png(row["image"]["bytes"]))
                if pixels != row["sha256"]:
                    raise IntegrityError(f"{path}: the pixels of {row['id']} are not those that its sha256 names: get the release again")
                yield record_digest(row, pixels)
