"""What has been released: read from git's annotated tags alone, each of which carries its Release as JSON."""

import json
import re
from collections.abc import Container
from pathlib import Path

from pydantic import ValidationError

from catalog import ranges
from catalog.git import GitError, check_repository, git
from schema.errors import IntegrityError, NewerFormat, SynthmillError, UsageError
from schema.release import TAG_FORMAT, Release, Tombstone, Version, check_format, check_name
from schema.settings import root

VERSION_TAG = re.compile(r"[^@]+@v\d+\.\d+\.\d+")
FEW = 3
"""So many versions are all named where another was asked for."""
FIELDS = "%00%(refname:strip=2)%00%(contents:body)"


def releases(dataset: str | None = None, repo: Path | str | None = None) -> list[Release]:
    """Every release of the workspace, or of one dataset, by name and version, oldest first, recalled ones included. One git process,
    nothing else.

    Raises SynthmillError where there is no git repository, NewerFormat where a tag is of a format that is not known yet, IntegrityError
    for a tag of ours that cannot be read.
    """
    found, newer = readable(dataset, repo)
    for error in newer:
        raise error
    return found


def readable(dataset: str | None = None, repo: Path | str | None = None) -> tuple[list[Release], list[NewerFormat]]:
    """`releases`, and beside them why those that are of a later format cannot be read. Raises as `releases` does for all else."""
    everything = _read_all(dataset, repo).values()
    found = [release for release in everything if isinstance(release, Release)]
    newer = [error for error in everything if isinstance(error, NewerFormat)]
    return sorted(found, key=lambda release: (release.dataset, Version.parse(release.version))), newer


def refuse_moved(dataset: str, tags: Container[str], repo: Path | str | None = None) -> None:
    """Raises IntegrityError where one of these tags of releases is there and says nothing of a release."""
    said = _read_all(dataset, repo)
    moved = [tag for tag in _tags(dataset, repo) if tag in tags and tag not in said]
    if moved:
        raise IntegrityError(
            f"the tag {', '.join(moved)} says nothing of a release: it was made or moved by hand; fetch it again from where it was made"
        )


def tombstones(dataset: str | None = None, repo: Path | str | None = None) -> dict[str, Tombstone]:
    """{tag of a release: why it was recalled}. Raises as `releases` does."""
    return {tag[:-1]: read_tombstone(tag, body) for tag, body in _tags(dataset, repo).items() if tag.endswith("!")}


def recalled(release: Release, repo: Path | str | None = None) -> Tombstone | None:
    """Why a release was recalled; None where it was not."""
    return tombstones(release.dataset, repo).get(release.tag)


def _known(dataset: str, repo: Path | str | None) -> dict[Version, Release | NewerFormat]:
    """The versions of a dataset, lowest first. One that only a newer synthmill can read stands in the way of nobody who pins another."""
    found = {Version.parse(tag.partition("@")[2]): release for tag, release in _read_all(dataset, repo).items()}
    return dict(sorted(found.items()))


def _read_all(dataset: str | None, repo: Path | str | None) -> dict[str, Release | NewerFormat]:
    found: dict[str, Release | NewerFormat] = {}
    for tag, body in _tags(dataset, repo).items():
        if not VERSION_TAG.fullmatch(tag):
            continue
        try:
            release = read_tag(tag, body)
        except NewerFormat as newer:
            release = newer
        if release is not None:
            found[tag] = release
    return found


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
    said = {"format": TAG_FORMAT, **release.model_dump(mode="json")}
    return f"{release.dataset} {release.version}: {release.images} synthetic images\n\n{json.dumps(said, indent=2, ensure_ascii=False)}\n"


def read_tag(tag: str, body: str) -> Release | None:
    """The Release that a tag's message carries; None for a tag that somebody made for something else.

    Fields that are unknown here are passed over: within a format, fields are only ever added. Raises NewerFormat for a later format,
    IntegrityError for a tag that cannot be read.
    """
    if not body.lstrip().startswith("{"):
        return None
    try:
        said = json.loads(body)
        check_format(said.pop("format", TAG_FORMAT), TAG_FORMAT, f"the tag {tag}")
        release = Release.model_validate_json(json.dumps({name: said[name] for name in said.keys() & Release.model_fields.keys()}))
    except ValueError as error:
        raise IntegrityError(
            f"the tag {tag} does not say what it releases ({words_of(error)}): fetch it again from where it was made"
        ) from None
    if release.tag != tag:
        raise IntegrityError(f"the tag {tag} speaks of {release.tag}: it was made or moved by hand; fetch it again from where it was made")
    return release


def words_of(error: ValueError) -> str:
    """What pydantic or json found first, in a few words."""
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)


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


def parse(spec: str) -> tuple[str, str]:
    """`pneumonia@^2` as name and selector, `latest` where there is none. Raises UsageError for what is no dataset's name."""
    name, _, selector = spec.partition("@")
    return check_name(name), selector.strip() or "latest"


def find(spec: str, repo: Path | str | None = None) -> Release:
    """The release that a name and a selector name: `pneumonia`, `pneumonia@latest`, `pneumonia@v1.0.0`, a stage (`pneumonia@prod`), or the
    highest version of a range (`pneumonia@^2`; the grammar is that of catalog.ranges). `latest` and a range pass over what was recalled,
    unless nothing else is left.

    Raises UsageError naming the nearest versions where there is none, NewerFormat where the one that is meant is a newer synthmill's.
    """
    name, selector = parse(spec)
    known = _known(name, repo)
    if not known:
        others = sorted({tag.partition("@")[0] for tag in _read_all(None, repo)})
        there = f"there are: {', '.join(others)}" if others else f"nothing has been released here yet: `./mill run {name}` would"
        raise UsageError(f"no release of {name!r} is known in {repo or root()} ({there}); `git fetch --tags` brings those of others")
    if selector == "latest":
        named = list(known)
    elif re.fullmatch(r"[A-Za-z].*", selector) and not re.match(r"v\d", selector):
        named = [_in_stage(name, selector, repo)]
    else:
        named = ranges.matching(selector, list(known))
    if not named:
        near = list(known) if len(known) <= FEW else ranges.nearest(selector, list(known))
        some = "there are" if len(known) <= FEW else f"the nearest of its {len(known)} versions"
        raise UsageError(f"{name} has no {_shown(selector)}; {some}: {', '.join(map(str, near))}")
    gone = tombstones(name, repo)
    chosen = known[next((version for version in reversed(named) if f"{name}@{version}" not in gone), named[-1])]
    if isinstance(chosen, NewerFormat):
        raise chosen
    return chosen


def _shown(selector: str) -> str:
    """A version as tags have it; a range as it was written."""
    return f"v{selector}" if re.fullmatch(r"\d+\.\d+\.\d+", selector) else selector


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


def _in_stage(name: str, stage: str, repo: Path | str | None) -> Version:
    from catalog import stages

    now = stages.standing(name, repo)
    if stage not in now:
        there = ", ".join(f"{each} ({version})" for each, version in sorted(now.items())) or "none yet"
        raise UsageError(
            f"{name} has no stage {stage!r}; its stages: {there}. `./mill promote {name}@vX.Y.Z {stage}` makes one; "
            f"after the @ goes {ranges.EXAMPLES}"
        )
    return Version.parse(now[stage])
