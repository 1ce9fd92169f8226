"""A release: its name, its version, and the rule that decides the next one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from schema.digest import sha256_json, sha256_set
from schema.errors import NewerFormat, UsageError

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
"""What a dataset may be called: it becomes a folder, a DVC stage and a git tag (GTO's rule for artifact names)."""

TAG_FORMAT = "synthmill-release/1"
PROVENANCE_FORMAT = "synthmill-provenance/1"
"""What a tag's message and provenance.json say of themselves. Within a format fields are only added, and readers pass over those that they
do not know; the number rises when a field goes or comes to mean something else, or when one is added that no reader may pass over."""


def check_format(said: str, known: str, what: str) -> None:
    """Raises NewerFormat where `said` is a later format than the one `known` here, ValueError where it is another altogether.
    `what` holds it, as a person would call it."""
    name, _, number = str(said).partition("/")
    expected, _, highest = known.partition("/")
    if name != expected or not number.isdecimal():
        raise ValueError(f"its format is {said!r}, not {known!r}")
    if int(number) > int(highest):
        raise NewerFormat(
            f"{what} was made by a newer synthmill ({said}; this one reads up to {known}): update synthmill "
            "(`git pull`, then `./mill doctor`), or name an earlier version"
        )


def check_name(name: str) -> str:
    """The name itself. Raises UsageError for anything that could not be a folder, a stage and a tag alike."""
    if not NAME.fullmatch(name) or len(name) > 64:
        raise UsageError(
            f"{name!r} is not a dataset name: use lower-case letters, digits and single words joined by '-', at most 64 characters"
        )
    return name


@dataclass(frozen=True, order=True)
class Version:
    """Semantic version of a release, as in the tag `pneumonia@v2.1.0`."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `2.1.0` or `v2.1.0`. Raises UsageError otherwise."""
        match = re.fullmatch(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", text)
        if not match:
            raise UsageError(f"{text!r} is not a version: write it as v1.2.3")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"


class ReleaseDigests(BaseModel):
    """Two digests tell releases apart: of the records in no order, and of the files."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    records: str
    files: str

    @property
    def together(self) -> str:
        """One digest for both: what a person approves."""
        return sha256_json([self.records, self.files])


PLAIN = ("id", "image", "label", "label_name", "seed", "sha256")
"""The columns that every release has."""


def record_digest(row: Mapping[str, Any], pixels: str) -> str:
    """What makes a released record that record: its id, its class in words, its attributes, and the sha256 of its pixels; not how it
    is serialised. `row` has the columns of `schema.record.synthetic_schema`."""
    said = {name: value for name, value in row.items() if name not in PLAIN}
    return sha256_json([row["id"], row["label_name"], pixels, *([said] if said else [])])


def files_digest(sums: Mapping[str, str]) -> str:
    """Digest of a release's decisive files, `sums` being {path: sha256} of them all: the data and the privacy report.

    The other files name the version and the commit, so they cannot decide the version; report.json holds the dataset card's
    own words (title, licence, ...), so a card written anew is seen there.
    """
    return sha256_set(f"{digest}  {path}" for path, digest in sums.items() if path.startswith(("data/", "privacy/")))


def next_version(previous: Version | None, same_files: bool, same_records: bool, contains_previous: bool) -> Version:
    """Croissant's rule (format specification 1.1, dataset versioning): the version that follows `previous`.

    The same files: the version itself, for nothing changed. PATCH: the same records serialised anew. MINOR: records
    were added and none changed. MAJOR: records changed or are gone. The first release is v1.0.0.
    """
    if previous is None:
        return Version(1, 0, 0)
    if same_records:
        return previous if same_files else Version(previous.major, previous.minor, previous.patch + 1)
    if contains_previous:
        return Version(previous.major, previous.minor + 1, 0)
    return Version(previous.major + 1, 0, 0)


class Release(BaseModel):
    """One published version, as its annotated git tag records it. `sums`: sha256 of SHA256SUMS, which vouches for every file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str
    version: str
    images: int
    labels: dict[str, int]
    digests: ReleaseDigests
    sums: str
    gates: list[dict[str, Any]]
    code_commit: str

    @property
    def tag(self) -> str:
        return f"{self.dataset}@{self.version}"


class Tombstone(BaseModel):
    """Why a release was recalled, as the annotated tag `<dataset>@vX.Y.Z!` records it (GTO's name for a deregistered version).

    Public, as tags are: nothing in it names a patient. `release` is the tag of the release, `at` RFC 3339 in UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    release: str
    digests: ReleaseDigests
    reason: str
    by: str
    at: str

    @property
    def tag(self) -> str:
        return f"{self.release}!"
