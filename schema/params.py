"""params.yaml as frozen, typed models: every knob that changes a result, and nothing else.

Anything unknown, of the wrong type or impossible is refused before a stage starts, naming the path
(`datasets.pneumonia.train.lr`), what was given, what is allowed, and the nearest known key.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schema import starts
from schema.attributes import AnyAttribute
from schema.conditions import Condition, conditions_of
from schema.errors import UsageError
from schema.policy import Policy
from schema.record import RESERVED, SPLITS
from schema.release import check_name
from schema.section import Day, Section
from schema.settings import root

COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a further image or an attribute may be called: it becomes a column."""


class PluginSection(BaseModel):
    """The section of a plug-in: `kind` names it, and the plug-in's own `Config` checks the rest."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    def options(self) -> dict[str, Any]:
        """All that was written in the section, as the plug-in's `Config` takes it."""
        return self.model_dump()


class Canaries(Section):
    """Patterns planted among the training images by the toss of a coin each; how well the gate `canary` tells which, bounds epsilon."""

    n: int = Field(default=0, ge=0, le=100_000, description="canaries drawn, of which about half are trained on; 0 plants none")
    seed: int = Field(default=0, ge=0, description="decides the patterns and the coins")


class Told(Section):
    """An attribute that the generator is conditioned on."""

    bins: list[float] = Field(default=[], description="of a number: where its range is cut; its `strata` equal ranges unless given")


class Training(PluginSection):
    """`kind` names the generator, whose own `Config` checks the rest; what is said here belongs to the training of every kind."""

    canaries: Canaries = Canaries()
    conditions: dict[str, Told] = Field(default={}, description="attributes of ingest that the generator is told besides the class")
    init: str | None = Field(
        default=None, description="the model whose weights training starts from: a release, an alias of the registry, or a folder"
    )

    def options(self) -> dict[str, Any]:
        return self.model_dump(exclude=set(Training.model_fields) - {"kind"})

    @field_validator("init")
    @classmethod
    def _names_a_model(cls, given: str | None) -> str | None:
        if given is not None:
            starts.parse(given)
        return given

    def conditions_of(self, declared: Mapping[str, Mapping[str, Any]]) -> list[Condition]:
        """The conditions, by what `declared` says of the attributes. Raises ValueError for one that cannot be a condition."""
        return conditions_of({name: told.bins for name, told in self.conditions.items()}, declared)


class GateConfig(Section):
    """What the section of every gate holds; a gate's own `Config` adds its knobs."""

    required: bool = Field(default=True, description="whether a release is refused unless this gate passes")
    threshold: float = Field(allow_inf_nan=False, description="the bound that the excess over the null is judged against")


class ImageFormat(Section):
    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    channels: Literal[1, 3] = 1
    fit: Literal["pad", "crop", "stretch"] = Field(default="pad", description="how an image of another shape is made to fit")


class Further(ImageFormat):
    """A further image of each record, by name; it has the place of the main image, and what is declared here alone is its own."""

    role: Literal["image", "mask"] = Field(default="image", description="mask: its values are names, so it is resized by the nearest pixel")


class Split(Section):
    """Shares of patients. `by: patient` deals them by a hash of the keyed patient id; `by: source` keeps the split of the source.

    A patient keeps the split that it was dealt in every later ingest. New ones are dealt so that each stratum comes near the shares.
    """

    by: Literal["patient", "source"] = "patient"
    salt: str = "synthmill"
    stratify: list[str] = Field(default=["label"], description="`label` and declared attributes whose values are shared out evenly")
    train: float = Field(default=0.7, gt=0, lt=1)
    holdout: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = sum(getattr(self, split) for split in SPLITS)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + holdout + test must be 1, not {total:g}")
        return self


class Approval(Section):
    """What allows the use of the source: an ethics vote, a data use agreement, a licence. A build stops once it has expired."""

    reference: str = Field(min_length=1, max_length=200, description="such as `IRB 2026-113`; stands in the report")
    purpose: str = Field(min_length=1, max_length=500, description="what the data may be used for, in words; stands in the report")
    expires: Day | None = Field(default=None, description="the last day that it holds, in quotes; none: it holds until it is withdrawn")


class Quality(Section):
    """What makes an image unusable. Judged on the pixels as the source has them; masks are not judged."""

    min_side: int = Field(default=16, ge=1, description="fewest pixels of the shorter side")
    blank: float = Field(default=1.0, ge=0, le=128, description="grey levels of standard deviation under which an image is blank")
    saturated: float = Field(
        default=0.98, gt=0, le=1, description="share of the darkest and brightest grey level from which it is saturated"
    )


class Duplicates(Section):
    """Copies of an image. One of each stays: that whose keyed id is the smallest, whatever else comes or in which order."""

    within: Literal["quarantine", "keep"] = Field(default="keep", description="copies of one patient: they share a split in any case")
    across: Literal["quarantine", "refuse"] = Field(default="quarantine", description="copies under several patients: never kept")
    hash_distance: int = Field(default=6, ge=0, le=16, description="bits of a 64-bit perceptual hash that near copies may differ in")
    grey_distance: float = Field(
        default=5.0, ge=0, le=64, description="root mean square of grey levels that they may differ by, at 32 x 32 and like exposure"
    )


class BurnedIn(Section):
    """What becomes of images with letters in their pixels, which may name a patient."""

    action: Literal["quarantine", "mask", "keep"] = Field(
        default="quarantine", description="set the image aside, paint the letters over, or do not look for any"
    )
    min_side: int = Field(default=128, ge=16, description="images with a shorter side are too small for letters and are not looked at")


class Ingest(Section):
    source: PluginSection
    approval: Approval | None = None
    image: ImageFormat
    images: dict[str, Further] = Field(default={}, description="further images of each record, by the source's name for them")
    labels: list[str] = Field(min_length=1, description="the classes, in the order of their indices; any other label is refused")
    attributes: dict[str, AnyAttribute] = Field(default={}, description="what else is kept of each record; all that is not here is dropped")
    implausible: Literal["quarantine", "blank"] = Field(
        default="quarantine", description="a record with an attribute that cannot be: set it aside, or leave that attribute empty"
    )
    dates: Literal["drop", "shift"] = Field(default="drop", description="attributes of kind date: dropped, or shifted by patient")
    prevalence: dict[str, tuple[float, float]] = Field(
        default={}, description="label: the share of all records that is plausible, from and to"
    )
    quality: Quality = Quality()
    duplicates: Duplicates = Duplicates()
    burned_in: BurnedIn = BurnedIn()
    split: Split = Split()
    population: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="what numbers the patients, such as a hospital's archive: a patient is known again in all datasets of a population; "
        "none: the source's own section, so that datasets of the same source share it",
    )
    max_rejected: float = Field(
        default=0.0, ge=0, le=1, description="largest share of images that may be unreadable; more refuses the ingest"
    )
    shard_size: int = Field(default=2048, ge=1)

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ from one another")
        return self

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        for name in (*self.images, *self.attributes):
            if not COLUMN.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a column: use lower-case letters, digits and _, a letter first")
            if name in RESERVED or (name in self.images and name in self.attributes):
                raise ValueError(f"{name!r} is taken: name the image or attribute otherwise (taken are {', '.join(RESERVED)})")
        return self

    @model_validator(mode="after")
    def _strata_are_declared(self) -> Self:
        for name in self.split.stratify:
            known = ["label", *(name for name, attribute in self.attributes.items() if attribute.kind not in ("id", "date"))]
            if name not in known:
                raise ValueError(f"split.stratify names {name!r}{nearest(name, known)}, which is none of: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _dates_are_shifted(self) -> Self:
        for name, attribute in self.attributes.items():
            if attribute.kind == "date" and self.dates != "shift":
                raise ValueError(f"attributes.{name} is a date, and no date is written as it was: set `dates: shift`, or take it out")
        return self

    @model_validator(mode="after")
    def _prevalences_are_shares(self) -> Self:
        for label, (low, high) in self.prevalence.items():
            if label not in self.labels:
                raise ValueError(f"prevalence names {label!r}{nearest(label, self.labels)}, which is none of labels")
            if not 0 <= low <= high <= 1:
                raise ValueError(f"prevalence of {label!r} must be two shares between 0 and 1, the smaller first")
        return self


class Watermark(Section):
    """An invisible mark in every image, put in before any gate measures."""

    detected: float = Field(
        default=0.99,
        gt=0,
        le=1,
        description="share of the images in which the release stage must find it again, JPEG and resizing outlived",
    )


class Sample(Section):
    """How the synthetic images are drawn. Image i is drawn from seed `base_seed + i` alone."""

    n: int = Field(ge=1, description="how many images")
    prevalence: Literal["train", "uniform"] = Field(default="train", description="class shares: as in the training images, or equal")
    base_seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=64, ge=1, description="the fixed composition of a batch: part of the result")
    shard_size: int = Field(default=512, ge=1)
    sampler: Literal["dpm-solver++", "ddim", "ddpm"] = "dpm-solver++"
    steps: int = Field(default=20, ge=1, le=1000, description="network evaluations an image")
    spacing: Literal["trailing", "quadratic"] = Field(
        default="trailing", description="timesteps at equal distances, or dense where there is little noise (dpm-solver++ only)"
    )
    guidance: float = Field(default=1.0, ge=1, le=20, description="classifier-free guidance weight; 1 is none, more sharpens the classes")
    negative_prompt: str = Field(
        default="", max_length=300, description="what guidance leads away from, in words; for generators that are told by words"
    )
    leave_out: list[str] = Field(default=[], description="conditions that the generator knows and is not told: their columns are left out")
    eta: float = Field(default=0.0, ge=0, le=1, description="DDIM only: 0 is deterministic, 1 has DDPM's variance")
    watermark: Watermark | None = Field(default=None, description="an invisible mark in the pixels; none unless asked for")

    @model_validator(mode="after")
    def _spacing_fits_the_sampler(self) -> Self:
        if self.spacing == "quadratic" and self.sampler != "dpm-solver++":
            raise ValueError(f"spacing quadratic is for the sampler dpm-solver++, not {self.sampler}")
        return self

    @model_validator(mode="after")
    def _shards_hold_whole_batches(self) -> Self:
        if self.shard_size % self.batch_size:
            raise ValueError(f"shard_size ({self.shard_size}) must be a multiple of batch_size ({self.batch_size})")
        return self


class Report(Section):
    pairs: int = Field(default=8, ge=1, le=64, description="how many synthetic images are shown beside their nearest training image")


class Card(Section):
    """What the dataset card says that cannot be measured."""

    title: str
    description: str
    license: str = Field(description="SPDX identifier of the licence of the synthetic images")
    modality: str
    source_license: str = Field(description="licence of the real images")
    citation: str = ""
    creator: str = "synthmill"


class Dataset(Section):
    card: Card
    ingest: Ingest
    train: Training
    sample: Sample
    gates: dict[str, dict[str, Any]]
    report: Report = Report()
    policy: Policy = Policy()

    @model_validator(mode="after")
    def _names_are_declared(self) -> Self:
        try:
            self.train.conditions_of({name: attribute.declared() for name, attribute in self.ingest.attributes.items()})
        except ValueError as error:
            raise ValueError(f"train.conditions: {error}") from None
        for waiver in self.policy.waivers:
            if waiver.gate not in self.gates:
                raise ValueError(f"policy.waivers names the gate {waiver.gate!r}{nearest(waiver.gate, self.gates)}, which has no section")
        for name in self.sample.leave_out:
            if name not in self.train.conditions:
                raise ValueError(f"sample.leave_out names {name!r}{nearest(name, self.train.conditions)}, which train.conditions does not")
        return self


class Params(Section):
    build: list[str] = Field(description="the datasets that dvc.yaml has stages for: the keys of `datasets`")
    panel: list[str] = Field(min_length=1, description="the gates that every dataset goes through, required or not")
    datasets: dict[str, Dataset]

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name in self.datasets:
            try:
                check_name(name)
            except UsageError as error:
                raise ValueError(str(error)) from None
        if sorted(self.build) != sorted(self.datasets):
            lacking, strange = sorted({*self.datasets} - {*self.build}), sorted({*self.build} - {*self.datasets})
            told = [f"add {', '.join(lacking)}"] if lacking else []
            told += [f"take out {', '.join(strange)}"] if strange else []
            raise ValueError(f"build must name the keys of datasets, each once: {'; '.join(told) or 'one stands there twice'}")
        for name, dataset in self.datasets.items():
            if sorted(dataset.gates) != sorted(self.panel):
                raise ValueError(
                    f"datasets.{name}.gates must have one section for each gate of the panel ({', '.join(self.panel)}), "
                    f"not ({', '.join(dataset.gates)}); `required: false` keeps a gate that only informs"
                )
        return self

    def dataset(self, name: str) -> Dataset:
        """The dataset's params. Raises UsageError for a name that is not there, with the nearest one that is."""
        check_name(name)
        if name not in self.datasets:
            raise UsageError(f"params.yaml has no dataset {name!r}{nearest(name, self.datasets)}; it has: {', '.join(self.datasets)}")
        return self.datasets[name]


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], value: Any, path: str) -> Model:
    """`value` as a `model`. Raises UsageError with a line for each fault: where, what was given, what is allowed."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [_explain(model, fault, path) for fault in error.errors()]
        raise UsageError("params.yaml is refused:\n" + "\n".join(f"  {line}" for line in lines)) from None


def load(path: Path | None = None) -> Params:
    """Reads params.yaml of the workspace. Raises UsageError if it is missing, is not YAML, or says something impossible."""
    path = path or root() / "params.yaml"
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is missing: run this in a checkout of synthmill, or set SYNTHMILL_ROOT") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not readable YAML: {error}") from None
    return validate(Params, value, "")


def _explain(model: type[BaseModel], fault: Any, path: str) -> str:
    where = ".".join([*filter(None, [path]), *(str(part) for part in fault["loc"])]) or "params.yaml"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key{nearest(str(fault['loc'][-1]), _keys_at(model, fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return f"{where}: missing"
    given = "" if isinstance(fault["input"], dict | list | BaseModel) else f"{fault['input']!r} given; "
    return f"{where}: {given}{fault['msg'].removeprefix('Value error, ')}"


def _keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The known keys of the section that `loc` leads to."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[part].annotation
        else:
            arguments = getattr(here, "__args__", ())
            here = arguments[-1] if arguments else None
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def nearest(given: str, known: Any) -> str:
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
