"""What a release folder says of itself, and what its bytes say."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from catalog import sums
from schema.digest import Digests
from schema.errors import IntegrityError, SynthmillError
from schema.marking import is_marked
from schema.release import PROVENANCE_FORMAT, Release, ReleaseDigests, check_format, files_digest, record_digest
from schema.settings import root
from schema.threads import each

if TYPE_CHECKING:
    import pyarrow as pa

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
        built = folder.resolve().parent == root() / "data" / "releases"
        way = f"build one with `./mill run {folder.name}`" if built else "name the folder that `get` filled"
        raise SynthmillError(f"{path} is missing: there is no release in {folder}; {way}")
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
    return ReleaseDigests(records=record_digests(folder).sha256(), files=files_digest(sums.read(folder)))


def check_sums(folder: Path, release: Release) -> None:
    """Raises IntegrityError unless SHA256SUMS, and so every file that it lists, is the one that the tag vouches for."""
    if sums.digest(folder) != release.sums:
        raise IntegrityError(f"{folder} is whole, but its files are not those of {release.tag}: {sums.GET_AGAIN}")


def record_digests(folder: Path) -> Digests:
    """The digest of each record, its pixels decoded. Raises IntegrityError for an image whose pixels its row denies."""
    import pyarrow.parquet as pq

    # Read ahead, pyarrow would hold a whole file.
    files = ((path, pq.ParquetFile(path, pre_buffer=False)) for path in sorted((folder / "data").glob("*.parquet")))
    batches = ((path, batch) for path, file in files for batch in file.iter_batches(batch_size=256))
    found = Digests()
    for raw in each(lambda one: digests_of(one[1], one[0], sums.GET_AGAIN), batches):
        found.add(raw)
    return found


def digests_of(batch: "pa.RecordBatch", path: Path, remedy: str, marked: bool = False) -> bytes:
    """The digests of the records of a batch of the file `path`, 32 bytes each. Raises IntegrityError for an image whose pixels its row
    denies, and where they are to be `marked`, for one that does not say that it is synthetic."""
    from schema.record import has_pixels

    found = bytearray()
    pngs = batch.column("image").field("bytes").to_pylist()
    for png, row in zip(pngs, batch.drop_columns(["image"]).to_pylist(), strict=True):
        if not has_pixels(png, row["sha256"]):
            raise IntegrityError(f"{path}: the pixels of {row['id']} are not those that its sha256 names: {remedy}")
        if marked and not is_marked(png):
            raise IntegrityError(f"{path}: {row['id']} is not marked as synthetic: {remedy}")
        found += bytes.fromhex(record_digest(row, row["sha256"]))
    return bytes(found)
