"""What has been released: read from git's annotated tags alone, each of which carries its Release as JSON."""

from pathlib import Path

from pydantic import ValidationError

from catalog.git import GitError, check_repository, git
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.release import Release, Tombstone, Version, check_name
from schema.settings import root

FIELDS = "%00%(refname:strip=2)%00%(contents:body)"


def releases(dataset: str | None = None, repo: Path | str | None = None) -> list[Release]:
    """Every release of the workspace, or of one dataset, by name and version, oldest first, recalled ones included. One git process,
    nothing else.

    Raises SynthmillError where there is no git repository, IntegrityError for a tag of ours that cannot be read.
    """
    found = [read_tag(tag, body) for tag, body in _tags(dataset, repo).items() if not tag.endswith("!")]
    return sorted((release for release in found if release), key=lambda release: (release.dataset, Version.parse(release.version)))


def tombstones(dataset: str | None = None, repo: Path | str | None = None) -> dict[str, Tombstone]:
    """{tag of a release: why it was recalled}. Raises as `releases` does."""
    return {tag[:-1]: read_tombstone(tag, body) for tag, body in _tags(dataset, repo).items() if tag.endswith("!")}


def recalled(release: Release, repo: Path | str | None = None) -> Tombstone | None:
    """Why a release was recalled; None where it was not."""
    return tombstones(release.dataset, repo).get(release.tag)


def _tags(dataset: str | None, repo: Path | str | None) -> dict[str, str]:
    """{tag: the body of its message} of what may be releases and tombstones."""
    where = Path(repo) if repo else root()
    if dataset is not None:
        check_name(dataset)
    try:
        listing = git(where, "for-each-ref", f"--format={FIELDS}", f"refs/tags/{dataset or '*'}@v*")
    except GitError:
        check_repository(where)
        raise
    parts = listing.split("\0")
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def write_tag(release: Release) -> str:
    """The message of a release's tag: a line for people, then the Release as JSON."""
    return f"{release.dataset} {release.version}: {release.images} synthetic images\n\n{release.model_dump_json(indent=2)}\n"


def read_tag(tag: str, body: str) -> Release | None:
    """The Release that a tag's message carries; None for a tag that somebody made for something else."""
    if not body.lstrip().startswith("{"):
        return None
    try:
        release = Release.model_validate_json(body)
    except ValidationError as error:
        raise IntegrityError(
            f"the tag {tag} does not say what it releases ({error.errors()[0]['msg']}): fetch it again from where it was made"
        ) from None
    if release.tag != tag:
        raise IntegrityError(f"the tag {tag} speaks of {release.tag}: it was made or moved by hand; fetch it again from where it was made")
    return release


def write_tombstone(tombstone: Tombstone) -> str:
    """The message of a tombstone's tag: a line for people, then the Tombstone as JSON."""
    return f"{tombstone.release} is recalled\n\n{tombstone.model_dump_json(indent=2)}\n"


def read_tombstone(tag: str, body: str) -> Tombstone:
    """Raises IntegrityError for a tag that does not say why."""
    try:
        tombstone = Tombstone.model_validate_json(body)
    except ValidationError:
        raise IntegrityError(
            f"the tag {tag} recalls a release and does not say why as synthmill writes it: fetch it again from where it was made, or "
            "delete it if it was made by hand, and recall the release with `recall`"
        ) from None
    if tombstone.tag != tag:
        raise IntegrityError(f"the tag {tag} speaks of {tombstone.release}: it was made or moved by hand; fetch it again")
    return tombstone


def latest(dataset: str, repo: Path | str | None = None) -> Release | None:
    """The release of the highest version, recalled or not, since no version is used twice; None before the first."""
    known = releases(dataset, repo)
    return known[-1] if known else None


def before(version: Version, known: list[Release]) -> Release | None:
    """Of the releases of one dataset, oldest first, the last one below `version`."""
    earlier = [release for release in known if Version.parse(release.version) < version]
    return earlier[-1] if earlier else None


def parse(spec: str) -> tuple[str, Version | None]:
    """`pneumonia`, `pneumonia@latest` or `pneumonia@v1.0.0` as name and version, None for the latest. Raises UsageError otherwise."""
    name, _, version = spec.partition("@")
    return check_name(name), None if version in ("", "latest") else Version.parse(version)


def find(spec: str, repo: Path | str | None = None) -> Release:
    """The release that `pneumonia`, `pneumonia@latest` or `pneumonia@v1.0.0` names; the latest is the last that was not recalled, if
    there is one. Raises UsageError with those that there are."""
    name, version = parse(spec)
    known = releases(name, repo)
    if not known:
        others = sorted({release.dataset for release in releases(repo=repo)})
        there = f"there are: {', '.join(others)}" if others else f"nothing has been released here yet: `./mill run {name}` would"
        raise UsageError(f"no release of {name!r} is known in {repo or root()} ({there}); `git fetch --tags` brings those of others")
    if version is None:
        gone = tombstones(name, repo)
        return next((release for release in reversed(known) if release.tag not in gone), known[-1])
    for release in known:
        if release.version == str(version):
            return release
    raise UsageError(f"{name} has no {version}; there are: {', '.join(release.version for release in known)}")


def usable(spec: str, repo: Path | str | None = None, force: bool = False) -> Release:
    """`find`, of what may be used: raises SynthmillError, with the reason, for a release that was recalled, unless `force`."""
    release = find(spec, repo)
    gone = None if force else recalled(release, repo)
    if gone is None:
        return release
    other = find(release.dataset, repo)
    instead = f"use {other.tag}" if other != release and recalled(other, repo) is None else "there is no other release to use"
    raise SynthmillError(
        f"{release.tag} was recalled on {gone.at[:10]} by {gone.by}: {gone.reason}; {instead}. `get --force` (`force=True`) hands its "
        "bytes out all the same: to look into the recall or to find copies that must be destroyed, not to work with them"
    )
