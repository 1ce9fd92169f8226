"""The keys that the sources of volumes share."""

import re
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from schema.params import Section, nearest
from tasks.sources._further import check_names
from tasks.sources._glob import translate, wildcards
from tasks.sources._volume import Axis, Window


class Slices(Section):
    """Which slices of a volume. Shares count from the feet, the back or the patient's left; a slice stands where its middle is."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)
    start: float = Field(default=0.0, ge=0, le=1, alias="from", description="share of the volume's extent where they start")
    to: float = Field(default=1.0, ge=0, le=1, description="share of the extent where they end")
    every: int = Field(default=1, ge=1, description="of those, every so many")
    skip_empty: float = Field(
        default=0.0, ge=0, le=1, description="slices with a smaller share of pixels above a tenth of the window are left out"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.to:
            raise ValueError(f"from ({self.start:g}) must be less than to ({self.to:g})")
        return self

    def chosen(self, count: int) -> list[int]:
        inside = [index for index in range(count) if self.start <= (index + 0.5) / count <= self.to]
        return inside[:: self.every]


class ScansConfig(Section):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    folder: str = Field(description="where the volumes are; relative to SYNTHMILL_DATA, or absolute")
    images: dict[str, str] = Field(min_length=1, description="name: pattern of paths below `folder`; `image` is the main one")
    masks: list[str] = Field(default=[], description="those of `images` whose values are names: nearest voxel, no window")
    patient: str | None = Field(default=None, description="regular expression on the path with a group `patient`, or one patient's name")
    label: str = Field(description="label of every slice; with `csv`, its column of labels")
    csv: str | None = Field(default=None, description="a table of labels, relative to `folder` or to SYNTHMILL_DATA, or absolute")
    csv_key: str = Field(default="patient", description="the table's column of patients, file names or paths of main volumes")
    classes: dict[str, str] | None = Field(default=None, min_length=1, description="word of the table: label; '*' is every other word")
    other: Literal["refuse", "ignore"] = Field(default="refuse", description="what becomes of words that `classes` lacks")
    axis: Axis = Field(default="axial", description="the direction of the slices")
    slices: Slices = Slices()
    window: Window = Field(default=Window(percentiles=(1, 99)), description="intensities that become 0 and 255")
    windows: dict[str, Window] = Field(default={}, description="the same for one of `images` by name")
    overlap: float = Field(default=0.5, gt=0, le=1, description="share of a slice that every further image must cover; masks need not")

    @model_validator(mode="after")
    def _names_are_of_images(self) -> Self:
        if "image" not in self.images:
            raise ValueError(f"images has no `image`, the main one; it has: {', '.join(self.images)}")
        further = [name for name in self.images if name != "image"]
        check_names(further)
        for key, names, known in (("masks", self.masks, further), ("windows", self.windows, set(self.images) - set(self.masks))):
            strange = [name for name in names if name not in known]
            if strange:
                there = ", ".join(sorted(known)) or "none"
                raise ValueError(f"{key} names {strange[0]!r}{nearest(strange[0], known)}; there can be: {there}")
        return self

    @model_validator(mode="after")
    def _patterns_can_pair(self) -> Self:
        for name, pattern in self.images.items():
            if pattern.startswith("/") or ".." in pattern.split("/"):
                raise ValueError(f"images.{name}: {pattern!r} climbs out of the folder: write a pattern of paths below it")
            try:
                translate(pattern)
            except re.error as error:
                raise ValueError(f"images.{name}: {pattern!r} is no pattern ({error})") from None
        counts = {name: len(wildcards(pattern)) for name, pattern in self.images.items()}
        if not self.regular and len(set(counts.values())) > 1:
            raise ValueError("its patterns have different numbers of wildcards: write `patient` with a group for all that pairs them")
        return self

    @model_validator(mode="after")
    def _patient_is_named(self) -> Self:
        if self.patient is None or not self.regular:
            return self
        try:
            groups = re.compile(self.patient).groupindex
        except re.error as error:
            raise ValueError(f"patient is no regular expression: {error}") from None
        if "patient" not in groups:
            raise ValueError("patient has no group of that name: write it as (?P<patient>...)")
        return self

    @property
    def regular(self) -> bool:
        """Whether `patient` is a regular expression rather than a name."""
        return self.patient is not None and any(character in r"\.^$*+?{}[]|()" for character in self.patient)
