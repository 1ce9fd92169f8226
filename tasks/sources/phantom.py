"""Drawn chest phantoms with known truth: `datasets.<name>.ingest.source: {kind: phantom, n: 3000, seed: 7}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from models.phantoms.chest import LABELS, draw_chest
from schema.params import Section, nearest
from schema.record import Record
from tasks.sources import Source, Unit

RUN = 64
"""Images that are drawn at one go."""


class Plugin(Source):
    """Image i depends on `seed` and i alone, so a longer dataset begins with the shorter one. Every run of as many images as there are
    classes holds each class once. A patient's images share the anatomy; opacities, pose and exposure differ. `meta` is the truth."""

    kind = "phantom"
    drawn = True

    class Config(Section):
        kind: Literal["phantom"]
        n: int = Field(ge=1, description="how many images")
        seed: int = Field(default=0, ge=0)
        modality: Literal["chest"] = "chest"
        classes: list[str] = Field(default=["normal", "opacity"], min_length=1, description=f"some of {', '.join(LABELS)}")
        images_per_patient: int = Field(default=1, ge=1)
        size: int = Field(default=64, ge=32, le=1024, description="height and width to draw at; ingest resizes to the dataset's")

        @field_validator("classes")
        @classmethod
        def _are_drawn(cls, classes: list[str]) -> list[str]:
            for name in classes:
                if name not in LABELS:
                    raise ValueError(f"a phantom cannot be {name!r}{nearest(name, LABELS)}; the classes are: {', '.join(LABELS)}")
            if len(set(classes)) != len(classes):
                raise ValueError("classes must differ from one another")
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
        image, truth = draw_chest([seed, 0, patient], label, size, size, view=[seed, 1, index])
        return Record(f"image-{index:06d}", f"patient-{patient:06d}", image, label, truth)

    def _label(self, index: int) -> str:
        run, place = divmod(index, len(self.config.classes))
        order = np.random.default_rng([self.config.seed, 2, run]).permutation(len(self.config.classes))
        return self.config.classes[order[place]]
