"""How researchers get a release: fetched, verified, and opened as a table or a torch dataset."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catalog import attestation, store, sums
from catalog import folder as release_folder
from catalog.cache import cached, check_once, derived, name_of
from catalog.elsewhere import where
from catalog.rows import Rows
from catalog.versions import find, parse, recalled, refuse_moved, releases, usable
from schema.digest import read_json, sha256_file
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.release import Release

if TYPE_CHECKING:
    from pyarrow import RecordBatch


@dataclass(frozen=True)
class Report:
    """What `verify` found whole. `against`: the tag whose digests were compared, or what stood in for it."""

    release: str
    files: int
    bytes: int
    images: int
    against: str
    recalled: str | None = None
    """Why that release was recalled, if it was: its bytes can be whole all the same."""
    statements: int = 0
    """How many the release's commit attests of it."""
    signed: str = "no record is there"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def get(spec: str, to: Path | str, repo: Path | str | None = None, force: bool = False) -> Release:
    """Puts the files of `pneumonia@v1.0.0` (or another selector: catalog.ranges) into the folder `to`, which must be empty or not
    there. `repo`: a checkout, or the git address of one elsewhere. A call that was interrupted is finished by the same call.

    Raises UsageError for an unknown release or a folder in use, SynthmillError for one that was recalled, unless `force`, and where the
    folder cannot be written, IntegrityError for bytes that are not the released ones.
    """
    place, folder = where(repo), Path(to).expanduser()
    release = usable(spec, place, force)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is not empty: name a folder that is empty or not there yet")
        store.fetch(place, release, folder.absolute())
    except OSError as error:
        raise SynthmillError(f"{release.tag} cannot be put into {folder}: {error}") from error
    return release


def verify(what: Path | str, repo: Path | str | None = None) -> Report:
    """Checks a folder with a release, or a released version as the remote holds it: every file against SHA256SUMS, every
    image's pixels against its row, both digests and SHA256SUMS itself against the tag, and what the tag's commit attests of them.

    `what`: a Path or a text with a `/` in it is a folder, any other text a release. Raises IntegrityError naming the files.
    """
    if isinstance(what, Path) or "/" in what or what in (".", ".."):
        release_folder.provenance_file(Path(what))
        said, place = sums.check(Path(what)), where(repo)
        return check(Path(what), said, tagged(Path(what), place), place)
    place = where(repo)
    name, selector = parse(what)
    refuse_moved(name, [f"{name}@v{selector.removeprefix('v')}"], place)
    release = find(what, place)
    # Before DVC, which goes by the commit, and would say in other words what is wrong with it.
    attestation.check(release, place)
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        folder = store.fetch(place, release, Path(scratch) / release.dataset, only_remote=True)
        return check(folder, sums.check(folder), release, place)


def check(folder: Path, said: dict[str, str], release: Release | None, place: Path) -> Report:
    """`said`: SHA256SUMS, which the files agree with; `release`: what its tag says, None where no tag is known, and the folder
    can only be held to its own words."""
    own = release_folder.described(folder)
    expected, against = (release, f"tag {release.tag}") if release else (own, "its own provenance.json: no tag is known here")
    found = release_folder.digests(folder)
    for kind, path in (("records", "data/"), ("files", sums.NAME)):
        if getattr(found, kind) != getattr(expected.digests, kind):
            raise IntegrityError(f"{folder / path} has other {kind} than {against} names: {sums.GET_AGAIN}")
    release_folder.check_sums(folder, expected)
    size = sum((folder / path).stat().st_size for path in said)
    gone = recalled(release, place) if release else None
    attested = attestation.check(release, place) if release else []
    signed = attestation.signers(attested)
    return Report(own.tag, len(said), size, own.images, against, gone.reason if gone else None, len(attested), signed)


def tagged(folder: Path, place: Path) -> Release | None:
    """The release whose version the folder bears, by its tag; None where there is no such tag or no repository."""
    own = release_folder.described(folder)
    try:
        known = releases(own.dataset, place)
    except IntegrityError:
        raise
    except SynthmillError:
        return None
    return next((release for release in known if release.version == own.version), None)


def load(
    name: str,
    version: str = "latest",
    columns: Sequence[str] | None = None,
    as_: Literal["arrow", "pandas", "torch", "datasets", "batches"] = "arrow",
    repo: Path | str | None = None,
    *,
    split: str | None = None,
    streaming: bool = False,
    batch_size: int = 256,
    force: bool = False,
) -> Any:
    """The images of a release, fetched and verified once, then read from `SYNTHMILL_CACHE`.

    `name`: a dataset, with or without `@` and its version, or a folder that `get` made, written with a `/`. `version`: exact, a range
    (`^2`), `latest` or a stage (`prod`); see catalog.ranges. `split`: `train`, or a part of it such as `train[:80%]`. `repo`: the checkout
    or the git address whose releases are meant, else `SYNTHMILL_ROOT`.

    | as_ | gives | with streaming |
    |---|---|---|
    | arrow | `pyarrow.Table`, all in memory | `pyarrow.RecordBatch` after batch |
    | batches | the same as arrow with streaming | |
    | pandas | `pandas.DataFrame`, all in memory | frame after frame |
    | torch | map-style dataset of (float32 C x H x W in 0..1, class index) | iterable dataset of the same |
    | datasets | `datasets.Dataset`, its `image` decoded | `datasets.IterableDataset` |

    Raises UsageError for what is not there, SynthmillError for a release that was recalled, unless `force`, IntegrityError for bytes
    that are not the released ones.
    """
    if not isinstance(name, (str, Path)) or not (split is None or isinstance(split, str)):
        raise UsageError(f"name={name!r}, split={split!r}: both are texts")
    if "@" in str(name) and version != "latest":
        raise UsageError(f"{name} and version={version!r} both name a version: give one of them")
    if isinstance(columns, str):
        raise UsageError(f"columns={columns!r}: it is a list of names, as in ['id', 'label']")
    columns = None if columns is None else list(columns)
    if batch_size < 1:
        raise UsageError(f"batch_size={batch_size} is not possible: it is at least 1")
    forms = ("arrow", "pandas", "torch", "datasets", "batches")
    if as_ not in forms:
        raise UsageError(f"as_={as_!r}: it is one of {', '.join(forms)}")
    if as_ == "torch" and columns is not None:
        raise UsageError("columns goes with all forms but torch: a torch dataset gives image and label")
    folder, home = _place(name, version, repo, force)
    rows = Rows.of(folder, split, columns)
    if as_ == "torch":
        from catalog.tensors import Images, Stream

        return Stream(rows, batch_size) if streaming else Images(rows, home)
    if as_ == "datasets":
        from catalog.hub import open_rows

        return open_rows(rows, columns, streaming, home)
    if streaming or as_ == "batches":
        batches = rows.batches(columns, batch_size)
        return (batch.to_pandas() for batch in batches) if as_ == "pandas" else batches
    return rows.table(columns).to_pandas() if as_ == "pandas" else rows.table(columns)


def stream(name: str, version: str = "latest", columns: Sequence[str] | None = None, **options: Any) -> Iterator["RecordBatch"]:
    """`load` as record batches, one after another: memory for a row group, not for the dataset."""
    return load(name, version, columns, as_="batches", **options)


def _place(name: str, version: str, repo: Path | str | None, force: bool) -> tuple[Path, Path]:
    """The folder of a release, checked, and the folder for what is derived from it. Raises as `load` does."""
    if isinstance(name, Path) or "/" in name:
        if version != "latest" or repo is not None:
            raise UsageError(f"{name} is a folder, which holds one version: leave `version` and `repo` out, or name a dataset")
        folder = Path(name).expanduser().resolve()
        check_once(folder)
        return folder, derived(release_folder.described(folder))
    place = where(repo)
    release = usable(name if "@" in name else f"{name}@{version}", place, force)
    return cached(release, place), derived(release)


def said_of(release: Release, home: Path, repo: Path) -> dict[str, Any]:
    """provenance.json of a release without its images, checked against its tag; kept under `home`. Raises IntegrityError for bytes
    that are not the released ones, SynthmillError when they cannot be had."""
    wanted = (release_folder.PROVENANCE, sums.NAME)
    folder = home / name_of(release)
    if not all((folder / name).is_file() for name in wanted):
        store.stream(repo, f"refs/tags/{release.tag}", release.dataset, folder, only=wanted)
    path = release_folder.provenance_file(folder)
    release_folder.check_sums(folder, release)
    if sums.read(folder).get(path.name) != sha256_file(path):
        raise IntegrityError(f"{path} is not what {release.tag} was released with: delete {folder} and run again")
    release_folder.provenance(folder)
    return read_json(path)
