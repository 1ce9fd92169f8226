"""Drawn images with known truth: `datasets.<name>.ingest.source: {kind: phantom, modality: fundus, n: 3000, seed: 7, size: 256}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from models.phantoms import load, modalities
from schema.params import Section, nearest
from schema.record import Record
from tasks.sources import Source, Unit

RUN = 64
"""Images that are drawn at one go."""


class Plugin(Source):
    """Image i depends on `seed` and i alone, so a longer dataset begins with the shorter one. Every run of as many images as there are
    classes holds each class once. A patient's images share the anatomy; what is found, pose and exposure differ. `meta` is the truth, and
    `attributes` are those of its facts that are single numbers or words."""

    kind = "phantom"
    drawn = True

    class Config(Section):
        kind: Literal["phantom"]
        n: int = Field(ge=1, description="how many images")
        seed: int = Field(default=0, ge=0)
        modality: str = Field(default="chest", description=f"one of {', '.join(modalities())}")
        classes: list[str] | None = Field(
            default=None, validate_default=True, description="some of the modality's labels; without it, the first two of them"
        )
        images_per_patient: int = Field(default=1, ge=1)
        size: int = Field(default=64, ge=32, le=1024, description="height and width to draw at; ingest resizes to the dataset's")

        @field_validator("modality")
        @classmethod
        def _is_drawn(cls, name: str) -> str:
            if name not in modalities():
                raise ValueError(f"no phantom of {name!r}{nearest(name, modalities())}; the modalities are: {', '.join(modalities())}")
            return name

        @field_validator("classes")
        @classmethod
        def _are_drawn(cls, classes: list[str] | None, info: ValidationInfo) -> list[str]:
            if "modality" not in info.data:
                return classes or []
            modality = info.data["modality"]
            labels = load(modality).labels
            if classes is None:
                return list(labels[:2])
            for name in classes:
                if name not in labels:
                    raise ValueError(
                        f"a {modality} phantom cannot be {name!r}{nearest(name, labels)}; the classes are: {', '.join(labels)}"
                    )
            if not classes or len(set(classes)) != len(classes):
                raise ValueError("classes must be one or more, and differ from one another")
            return classes

    def files(self) -> list[Path]:
        return []

    def labels(self) -> set[str]:
        return set(self.config.classes)

    def count(self) -> int:
        return self.config.n

    def units(self) -> Iterator[Unit]:
        for first in range(0, self.config.n, RUN):
            yield Unit(f"{first}", (), {"first": first, "last": min(first + RUN, self.config.n)})

    def read(self, unit: Unit) -> Iterator[Record]:
        for index in range(unit.facts["first"], unit.facts["last"]):
            yield self._record(index)

    def _record(self, index: int) -> Record:
        seed, size = self.config.seed, self.config.size
        patient = index // self.config.images_per_patient
        label = self._label(index)
        images, truth = load(self.config.modality).draw([seed, 0, patient], label, size, size, view=[seed, 1, index])
        image = images.pop("image")
        return Record(f"image-{index:06d}", f"patient-{patient:06d}", image, label, truth, images=images, attributes=_attributes(truth))

    def _label(self, index: int) -> str:
        run, place = divmod(index, len(self.config.classes))
        order = np.random.default_rng([self.config.seed, 2, run]).permutation(len(self.config.classes))
        return self.config.classes[order[place]]


def _attributes(truth: dict[str, Any]) -> dict[str, Any]:
    """The facts of a truth that are single numbers, words, or lists of words."""

    def is_flat(value: Any) -> bool:
        words = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
        return isinstance(value, (str, int, float)) or words

    return {name: value for name, value in truth.items() if name != "label" and is_flat(value)}
