"""From a unit of the source to rows: checked, keyed, made to fit and encoded. Runs in worker processes; nothing it gives names anybody."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

import tasks.sources
from schema.attributes import Date, Implausible
from schema.digest import sha256_pixels
from schema.errors import SynthmillError, UsageError
from schema.params import Ingest, validate
from schema.plugins import named
from schema.record import Record, Rejected, encode_png
from tasks.fit import fit_image
from tasks.ingesting.burned_in import TextFinder
from tasks.ingesting.duplicates import perceptual_hash, thumbnail
from tasks.ingesting.keys import keyed, one_spelling, person, population_of, shifted
from tasks.ingesting.quality import fault_of
from tasks.ingesting.rows import Row
from tasks.sources import Source, Unit

BURNED_IN = "burned-in text"


def open_source(dataset: str, params: Ingest) -> Source:
    """The dataset's source, its section checked. Raises UsageError naming what is wrong with it."""
    path = f"datasets.{dataset}.ingest.source"
    plugin = named(tasks.sources, params.source.kind, path)
    # Letters are looked for in all the pixels that there are.
    at_least = (params.image.height, params.image.width) if params.burned_in.action == "keep" else None
    return plugin(validate(plugin.Config, params.source.options(), path), at_least)


def check_source(dataset: str, params: Ingest) -> Source:
    """The source, once its use is allowed, its files are there and its labels are all declared: the cheap checks, before any long work.

    Raises SynthmillError or UsageError naming the file or the key.
    """
    approval = params.approval
    if approval is not None and approval.expires is not None and approval.expires < date.today():
        raise SynthmillError(
            f"the approval {approval.reference!r} of {dataset} expired on {approval.expires}: nothing may be built from its source; "
            f"have it renewed and write the new date to datasets.{dataset}.ingest.approval.expires"
        )
    source = open_source(dataset, params)
    source.files()
    undeclared = sorted(source.labels() - set(params.labels))
    if undeclared:
        # The column may be the wrong one, and hold names: only what was drawn is told.
        which = ", ".join(map(repr, undeclared[:5])) if source.drawn else f"{len(undeclared)} of the labels"
        raise UsageError(
            f"datasets.{dataset}.ingest.labels lacks {which} that the source has: "
            "declare each there, or map it to a declared one in the source's section"
        )
    return source


def reading(dataset: str, params: Ingest) -> Callable[[Unit], list[Row]]:
    """What a worker process does with each unit. What libraries print goes nowhere, since they may print what they read."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if not os.environ.get("SYNTHMILL_TRACEBACK"):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
    return Reader(dataset, params).rows


def aside(dataset: str, rejected: Rejected) -> Row:
    """The row of a record that is left out."""
    return Row({"id": keyed(dataset, "record", rejected.id), "reason": rejected.reason, "asked": rejected.asked})


class LeftOut(Exception):
    """Why a record is left out, in words that can be counted and that name nobody; `asked`: the params ask for it, and it is no fault."""

    def __init__(self, reason: str, asked: bool = False) -> None:
        super().__init__(reason)
        self.asked = asked


class Reader:
    """`rows(unit)` is a function of the unit, its files, the params and the id key alone."""

    def __init__(self, dataset: str, params: Ingest) -> None:
        self.dataset = dataset
        self.params = params
        self.source = open_source(dataset, params)

    def rows(self, unit: Unit) -> list[Row]:
        """A row for each record and each rejected one. Raises SynthmillError for what makes the whole source unusable."""
        return [self._row(item) for item in self.source.read(unit)]

    def _row(self, item: Record | Rejected) -> Row:
        if isinstance(item, Rejected):
            return aside(self.dataset, item)
        try:
            images, letters = self._images(item)
            return self._taken(item, images, letters)
        except LeftOut as error:
            return aside(self.dataset, Rejected(item.id, str(error), error.asked))

    def _images(self, item: Record) -> tuple[dict[str, np.ndarray], int]:
        """The declared images by name, as the source has them but for letters that were painted over, and how many boxes of those there
        were. Raises LeftOut."""
        images = {"image": item.image}
        for name in self.params.images:
            if name not in item.images:
                raise LeftOut(f"no image {name}")
            images[name] = item.images[name]
        for name, pixels in images.items():
            fault = None if self._is_mask(name) else fault_of(pixels, self.params.quality)
            if fault is not None:
                raise LeftOut(fault, asked=True)
        if self.source.drawn or self.params.burned_in.action == "keep":
            return images, 0
        images, letters = self._without_letters(images)
        if letters and self.params.burned_in.action == "quarantine":
            raise LeftOut(BURNED_IN, asked=True)
        return images, letters

    def _taken(self, item: Record, images: dict[str, np.ndarray], letters: int) -> Row:
        """The row of a record that stays. Raises LeftOut for attributes that cannot be, UsageError for an undeclared label."""
        identity = keyed(self.dataset, "record", item.id)
        if item.label not in self.params.labels:
            raise UsageError(
                f"record {identity} has a label that datasets.{self.dataset}.ingest.labels does not declare: declare it, or map it to a "
                "declared one in the source's section"
            )
        patient = keyed(self.dataset, "patient", one_spelling(item.patient))
        attributes, blanked = self._attributes(item, patient)
        used = {(attribute.source or name) for name, attribute in self.params.attributes.items()}
        fitted = {name: self._fitted(name, pixels) for name, pixels in images.items()}
        small = thumbnail(item.image)
        facts = {
            "id": identity,
            "patient": patient,
            "person": person(population_of(self.params), item.patient),
            "spelling": keyed(self.dataset, "spelling", item.patient),
            "split": item.split,
            "label": item.label,
            "attributes": attributes,
            "blanked": blanked,
            "undeclared": sorted(name for name, value in item.attributes.items() if name not in used and value not in (None, "")),
            "undeclared_images": sorted({*item.images} - {*self.params.images}),
            "painted_over": letters,
            "sha256": sha256_pixels(fitted["image"]),
            "further": {name: sha256_pixels(fitted[name]) for name in self.params.images},
            "native": sha256_pixels(item.image),
            "hash": perceptual_hash(small),
            "height": item.image.shape[0],
            "width": item.image.shape[1],
        }
        if self.source.drawn:
            facts["truth"] = dict(item.meta)
        return Row(facts, {name: encode_png(pixels) for name, pixels in fitted.items()}, small)

    def _is_mask(self, name: str) -> bool:
        return name in self.params.images and self.params.images[name].role == "mask"

    def _without_letters(self, images: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """The images with letters painted over, if that is asked for, and how many boxes of them there were."""
        clean, found = dict(images), 0
        for name, pixels in images.items():
            if self._is_mask(name) or min(pixels.shape[:2]) < self.params.burned_in.min_side:
                continue
            if self.params.burned_in.action == "mask":
                clean[name], boxes = self._letters.mask(pixels)
            else:
                boxes = self._letters.find(pixels)
            found += len(boxes)
        return clean, found

    @cached_property
    def _letters(self) -> TextFinder:
        return TextFinder()

    def _attributes(self, item: Record, patient: str) -> tuple[dict[str, Any], list[str]]:
        """The declared attributes by name, as JSON holds them, and the names of those that were left empty for being implausible.

        Raises LeftOut, naming the attribute, where such a record is to be set aside.
        """
        values, blanked = {}, []
        for name, attribute in self.params.attributes.items():
            try:
                value = attribute.value(
                    item.attributes.get(attribute.source or name), lambda given, of=name: keyed(self.dataset, of, given)
                )
            except Implausible as error:
                if self.params.implausible == "quarantine" or attribute.required:
                    raise LeftOut(f"attribute {name}: {error}") from None
                value = None
                blanked.append(name)
            values[name] = shifted(self.dataset, patient, value).isoformat() if isinstance(attribute, Date) and value else value
        return values, blanked

    def _fitted(self, name: str, pixels: np.ndarray) -> np.ndarray:
        form = self.params.image if name == "image" else self.params.images[name]
        return fit_image(pixels, form, nearest=self._is_mask(name))
