"""How researchers get a release: fetched, verified, and opened as a table or a torch dataset."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from catalog import folder as release_folder
from catalog import store, sums
from catalog.versions import find, releases
from schema.digest import read_json, sha256_file
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.release import Release
from schema.settings import root


@dataclass(frozen=True)
class Report:
    """What `verify` found whole. `against`: the tag whose digests were compared, or what stood in for it."""

    release: str
    files: int
    bytes: int
    images: int
    against: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def get(spec: str, to: Path | str, repo: Path | str | None = None) -> Release:
    """Puts the files of `pneumonia@v1.0.0` (or `pneumonia`, the latest) into the folder `to`, which must be empty or not there.

    Raises UsageError for an unknown release or a folder in use, IntegrityError for bytes that are not the released ones.
    """
    release, folder = find(spec, repo), Path(to)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty: name a folder that is empty or not there yet")
    store.fetch(where(repo), release, folder.absolute())
    return release


def verify(what: Path | str, repo: Path | str | None = None) -> Report:
    """Checks a folder with a release, or a released version as the remote holds it: every file against SHA256SUMS, every
    image's pixels against its row, both digests and SHA256SUMS itself against the tag.

    `what`: a Path or a text with a `/` in it is a folder, any other text a release. Raises IntegrityError naming the files.
    """
    if isinstance(what, Path) or "/" in what or what in (".", ".."):
        release_folder.provenance_file(Path(what))
        said = sums.check(Path(what))
        return check(Path(what), said, tagged(Path(what), repo))
    release = find(what, repo)
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        folder = store.fetch(where(repo), release, Path(scratch) / release.dataset, only_remote=True)
        return check(folder, sums.check(folder), release)


def check(folder: Path, said: dict[str, str], release: Release | None) -> Report:
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
    return Report(own.tag, len(said), size, own.images, against)


def tagged(folder: Path, repo: Path | str | None) -> Release | None:
    """The release whose version the folder bears, by its tag; None where there is no such tag or no repository."""
    own = release_folder.described(folder)
    try:
        known = releases(own.dataset, repo)
    except IntegrityError:
        raise
    except SynthmillError:
        return None
    return next((release for release in known if release.version == own.version), None)


def load(
    name: str,
    version: str = "latest",
    columns: Sequence[str] | None = None,
    as_: Literal["arrow", "pandas", "torch"] = "arrow",
    repo: Path | str | None = None,
) -> Any:
    """The images of a release: a `pyarrow.Table`, a `pandas.DataFrame`, or a `torch.utils.data.Dataset` of
    (float32 tensor C x H x W in 0..1, label index). Fetched and verified once, then read from `SYNTHMILL_CACHE`.

    `repo`: the checkout whose releases are meant, else `SYNTHMILL_ROOT`. Raises UsageError for what is not there.
    """
    if as_ not in ("arrow", "pandas", "torch"):
        raise UsageError(f"as_={as_!r}: it is one of arrow, pandas, torch")
    if as_ == "torch" and columns is not None:
        raise UsageError("columns goes with arrow and pandas: a torch dataset gives image and label")
    import pyarrow.dataset

    folder = cached(find(name if "@" in name else f"{name}@{version}", repo), where(repo))
    files = pyarrow.dataset.dataset(sorted(map(str, (folder / "data").glob("*.parquet"))), format="parquet")
    wanted = ["image", "label"] if as_ == "torch" else list(columns) if columns is not None else None
    unknown = sorted(set(wanted or ()) - set(files.schema.names))
    if unknown:
        raise UsageError(f"no column {', '.join(map(repr, unknown))}; there are: {', '.join(files.schema.names)}")
    table = files.to_table(columns=wanted)
    if as_ == "torch":
        from catalog.tensors import Images

        return Images(table)
    return table.to_pandas() if as_ == "pandas" else table


def said_of(release: Release, home: Path, repo: Path) -> dict[str, Any]:
    """provenance.json of a release without its images, checked against its tag; kept under `home`. Raises IntegrityError for bytes
    that are not the released ones, SynthmillError when they cannot be had."""
    wanted = (release_folder.PROVENANCE, sums.NAME)
    folder = home / f"{release.tag}-{release.sums[:16]}"
    if not all((folder / name).is_file() for name in wanted):
        store.stream(repo, f"refs/tags/{release.tag}", release.dataset, folder, only=wanted)
    path = release_folder.provenance_file(folder)
    release_folder.check_sums(folder, release)
    if sums.read(folder).get(path.name) != sha256_file(path):
        raise IntegrityError(f"{path} is not what {release.tag} was released with: delete {folder} and run again")
    return read_json(path)


def cached(release: Release, repo: Path) -> Path:
    """The release's folder in the cache, fetched and verified if it is not there. Named by digest: two checkouts may both have a v1.0.0."""
    folder = cache_folder(release)
    if not folder.is_dir():
        try:
            store.fetch(repo, release, folder)
        except OSError:
            # Another process may have put the same bytes there first; a folder is only ever renamed into place whole.
            if not folder.is_dir():
                raise
    return folder


def cache_folder(release: Release) -> Path:
    """Where the cache keeps a release, whether it is there or not."""
    home = Path(os.environ.get("SYNTHMILL_CACHE") or "~/.cache/synthmill").expanduser()
    return home / f"{release.tag}-{release.sums[:16]}"


def where(repo: Path | str | None) -> Path:
    return Path(repo).resolve() if repo else root()
