"""Stages, or channels: which version is `prod` now. Kept by GTO as annotated tags `pneumonia#prod#4` on the release's commit.

The last assignment holds, as in `gto show`; the history of a stage is its tags. `latest` is no stage: it is always the highest version.
"""

import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from catalog import git, store, sums, versions
from schema.errors import SynthmillError, UsageError
from schema.release import Release
from schema.settings import root

STAGE = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
TAG = re.compile(r"(?P<dataset>[^#@]+)#(?P<stage>[^#!]+)(?P<cancel>!?)(?:#(?P<counter>\d+))?")
CLOCKS = 5
"""Seconds that the clock of whoever promoted last may be ahead of ours."""
FIELDS = "%(taggerdate:unix)%00%(*objectname)%00%(taggername)%00%(refname:strip=2)"


@dataclass(frozen=True)
class Promotion:
    """`release` stands in `stage` by `tag`; `before` is the release that stood there. `pushed`: the git remote that has the tag, if any."""

    release: str
    stage: str
    tag: str
    before: str | None
    pushed: str | None

    def as_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Event:
    """One stage tag. `at`: seconds since the epoch; `tag`: its name."""

    at: int
    counter: int
    stage: str
    tag: str
    commit: str
    by: str
    cancel: bool


def check_stage(name: str) -> str:
    """The name itself. Raises UsageError for one that could be taken for a version or for another word of ours."""
    if name == "latest" or len(name) > 64 or not STAGE.fullmatch(name) or re.fullmatch(r"v\d*", name):
        raise UsageError(
            f"{name!r} cannot be a stage: use a word of lower-case letters, digits and '-', such as prod; not latest, nor a version"
        )
    return name


def history(dataset: str, repo: Path | str | None = None) -> list[Event]:
    """Every assignment of a dataset's stages, oldest first."""
    where = Path(repo) if repo else root()
    lines = git.git(where, "for-each-ref", f"--format={FIELDS}", f"refs/tags/{dataset}#*").splitlines()
    found = []
    for at, commit, by, tag in (line.split("\0") for line in lines):
        match = TAG.fullmatch(tag)
        # GTO, too, passes over a tag that carries no date.
        if match and at:
            found.append(Event(int(at), int(match["counter"] or 0), match["stage"], tag, commit, by, bool(match["cancel"])))
    return sorted(found, key=lambda event: (event.at, event.counter))


def standing(dataset: str, repo: Path | str | None = None) -> dict[str, str]:
    """{stage: version}, as it is now."""
    events = history(dataset, repo)
    if not events:
        return {}
    where = Path(repo) if repo else root()
    listing = git.git(where, "for-each-ref", "--format=%(*objectname) %(refname:strip=2)", f"refs/tags/{dataset}@v*")
    commits = dict(line.split(" ", 1) for line in listing.splitlines() if not line.startswith(" ") and not line.endswith("!"))
    now: dict[str, str] = {}
    for event in events:
        tag = commits.get(event.commit)
        if event.cancel or tag is None:
            now.pop(event.stage, None)
        else:
            now[event.stage] = tag.partition("@")[2]
    return now


def promote(spec: str, stage: str) -> Promotion:
    """Assigns a stage to a release by GTO, and sends the tag to `SYNTHMILL_GIT_REMOTE`, if that is set. Where it stands there already no
    tag is made. Raises UsageError for an unknown release or no stage's name, SynthmillError where GTO or git refuse."""
    check_stage(stage)
    release = versions.usable(spec)
    remote = git.release_remote(root())
    if remote:
        unknown = [tag for tag in git.tags_of(root(), remote, f"{release.dataset}#*") if git.resolve(root(), f"refs/tags/{tag}") is None]
        if unknown:
            raise SynthmillError(
                f"{remote} has assignments of {release.dataset} that are not known here ({sums.some(unknown)}): run "
                f"`git fetch {remote} 'refs/tags/{release.dataset}#*:refs/tags/{release.dataset}#*'` first"
            )
    before = standing(release.dataset).get(stage)
    if before != release.version:
        _assign(release, stage)
    event = [event for event in history(release.dataset) if event.stage == stage][-1]
    if remote:
        try:
            git.git(root(), "push", remote, f"refs/tags/{event.tag}")
        except git.GitError as error:
            raise SynthmillError(
                f"{release.tag} is {stage} here, but {remote} did not take {event.tag}: run again when it can ({error})"
            ) from error
    return Promotion(release.tag, stage, event.tag, f"{release.dataset}@{before}" if before else None, remote)


def _assign(release: Release, stage: str) -> None:
    events = history(release.dataset)
    # Tags are dated to the second, and GTO goes by the date: two in one second would have no order.
    ahead = events[-1].at + 1 - time.time() if events else 0
    if ahead > CLOCKS:
        raise SynthmillError(
            f"{events[-1].tag} is dated {ahead:.0f} s from now, and the last assignment is the one that holds: set this machine's clock "
            "right, or wait until then"
        )
    time.sleep(max(0, ahead))
    # `--force`: GTO takes a version that ever had the stage as still in it, and would not let it come back.
    words = ["assign", release.dataset, "--version", release.version, "--stage", stage, "--force", "--repo", str(root())]
    store.tool(root(), "gto", *words, env=git.identity(root()))
    if standing(release.dataset).get(stage) != release.version:
        raise SynthmillError(
            f"gto assigned {stage} to {release.tag}, and another assignment came after it: look at `gto show {release.dataset}`, run again"
        )
