"""What the scenarios of a seed are made of: real images dealt afresh, and models trained on some of them."""

import zlib
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from pydantic import Field

from models.stats import group_index
from schema.errors import SynthmillError
from schema.images import Images, RealImages
from schema.params import ImageFormat, Sample, Section, load

GROUPED = "phantom-cxr"
"""Phantoms can be drawn several times with another pose, exposure and findings; the real archives at hand say nothing of patients, or
hold one image of each."""


class Sizes(Section):
    """How much of everything a seed takes."""

    train: int = Field(default=1536, description="real training images")
    holdout: int = Field(default=700, description="real holdout images")
    test: int = Field(default=700, description="real test images")
    release: int = Field(default=1536, description="images of other patients, which are the good release")
    grouped: int = Field(default=1600, description="phantoms, two of a patient, that are split by image and by patient")
    members: int = Field(default=64, description="images that the overfitted model is trained on")
    outsiders: int = Field(default=650, description="holdout and test images that this model is tried on, of each")
    side: int = Field(default=16, description="height and width of what the models draw, in pixels")
    channels: list[int] = Field(default=[16, 32, 64], description="feature maps of the models (ddpm)")
    steps: int = Field(default=450, description="training steps of the models")
    batch_size: int = Field(default=32, description="images in a training step of the models")
    lr: float = Field(default=0.004, description="peak learning rate of the models")
    timesteps: int = Field(default=1000, description="timesteps of the models")
    samples: int = Field(default=256, description="images that the overfitted model draws")


@dataclass(frozen=True)
class Trial:
    """What gates are given: images, the folder of the model, and the dataset whose section of params.yaml they are set by."""

    real: RealImages
    synthetic: Images
    model: Path
    dataset: str


@cache
def archive(dataset: str, **told: int) -> Images:
    """All images of a dataset's source as ingest makes them, with the source's patients, and what else the source is `told`."""
    from tasks.fit import fit_image
    from tasks.ingesting.reader import open_source

    ingest = load().dataset(dataset).ingest
    source = ingest.source.model_copy(update=told)
    records = list(open_source(dataset, ingest.model_copy(update={"source": source})).records())
    return Images(
        np.stack([fit_image(record.image, ingest.image) for record in records]),
        np.array([ingest.labels.index(record.label) for record in records], dtype=np.int64),
        [f"image-{number}" for number in range(len(records))],
        [record.patient for record in records],
        ingest.labels,
    )


def deal(images: Images, counts: dict[str, int], random: np.random.Generator) -> dict[str, Images]:
    """The images in parts of about so many each, whole patients, by chance. Raises SynthmillError if there are too few."""
    if len(images) < sum(counts.values()):
        raise SynthmillError(f"{len(images)} images are fewer than the {sum(counts.values())} that a seed takes")
    groups = group_index(images.patients)
    order = random.permutation(len(groups))
    ends = np.cumsum([len(groups[k]) for k in order])
    cuts = [0, *(np.searchsorted(ends, np.cumsum(list(counts.values()))) + 1)]
    parts = zip(counts, cuts, cuts[1:], strict=False)
    return {name: images.take(np.concatenate([groups[k] for k in order[start:end]])) for name, start, end in parts}


def shrunk(images: Images, side: int) -> Images:
    """The images at `side` x `side` pixels."""
    from tasks.fit import fit_image

    form = ImageFormat(height=side, width=side, channels=images.pixels.shape[3])
    return replace(images, pixels=np.stack([fit_image(image, form) for image in images.pixels]))


class World:
    """All that the scenarios of one seed are made of. `folder` is where models are kept while the seed is tried."""

    def __init__(self, dataset: str, images: Images, seed: int, sizes: Sizes, folder: Path) -> None:
        self.dataset, self.seed, self.sizes, self.folder = dataset, seed, sizes, folder
        counts = {name: getattr(sizes, name) for name in ("train", "holdout", "test", "release")}
        parts = deal(images, counts, np.random.default_rng([seed, 0]))
        self.release = parts.pop("release")
        self.real = RealImages(**parts)

    def random(self, purpose: str) -> np.random.Generator:
        """Chance of its own for each purpose, so that scenarios may come and go without changing others."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def trial(self, synthetic: Images | None = None, real: RealImages | None = None) -> Trial:
        """The good release, but for what is given."""
        return Trial(real or self.real, self.release if synthetic is None else synthetic, self.folder / "none", self.dataset)

    @cached_property
    def grouped(self) -> Images:
        """Patients with two images each."""
        return archive(GROUPED, n=self.sizes.grouped, images_per_patient=2)

    def split_grouped(self, images: Images, by_image: bool = False) -> Trial:
        """Half to train on, the rest in halves, by the patients that the images claim, or whosever they are."""
        counts = {"train": len(images) // 2, "holdout": len(images) // 4, "test": len(images) // 4}
        random = self.random("grouped")
        if by_image:
            parts = np.split(random.permutation(len(images)), np.cumsum(list(counts.values())))
            real = RealImages(*(images.take(rows) for rows in parts[: len(counts)]))
        else:
            real = RealImages(**deal(images, counts, random))
        return Trial(real, real.test, self.folder / "none", GROUPED)

    @cached_property
    def small(self) -> RealImages:
        """The real images at the models' size, the members alone to train on."""
        members = self.real.train.take(np.arange(self.sizes.members))
        holdout, test = (images.take(np.arange(self.sizes.outsiders)) for images in (self.real.holdout, self.real.test))
        return RealImages(*(shrunk(images, self.sizes.side) for images in (members, holdout, test)))

    @cached_property
    def overfitted(self) -> Path:
        """The folder of a model that was trained on the few members for very long."""
        return self._trained(self.small.train, "overfitted")

    @cached_property
    def samples(self) -> Images:
        """What the overfitted model draws, with the members' labels."""
        from tasks.weights import open_model

        generator, _ = open_model(self.overfitted)
        n, batch = self.sizes.samples, 64
        plan = Sample(n=n, batch_size=batch, shard_size=batch, steps=min(20, self.sizes.timesteps), spacing="quadratic")
        labels = np.resize(self.small.train.labels, n)
        chunks = [slice(start, start + batch) for start in range(0, n, batch)]
        pixels = np.concatenate([generator.sample(np.arange(n)[rows], generator.shape.told(labels[rows]), plan) for rows in chunks])
        names = [f"sample-{number}" for number in range(n)]
        return Images(pixels, labels, names, names, self.small.train.classes)

    def attacked(self, members: Images) -> Trial:
        """The overfitted model, with those images taken for its members."""
        return replace(self.trial(self.samples, replace(self.small, train=members)), model=self.overfitted)

    def _trained(self, images: Images, name: str) -> Path:
        from models.determinism import pick_device
        from models.generators import Material, Shape
        from models.generators.ddpm import Config, Plugin
        from schema.settings import device
        from tasks import weights

        sizes = self.sizes
        config = Config(
            channels=sizes.channels,
            steps=sizes.steps,
            batch_size=sizes.batch_size,
            lr=sizes.lr,
            timesteps=sizes.timesteps,
            warmup=20,
            # A longer average of the weights would lag behind what they have learnt by heart.
            ema_decay=0.95,
            class_balance=False,
            seed=self.seed,
        )
        shape = Shape(sizes.side, sizes.side, images.pixels.shape[3], len(images.classes))
        generator = Plugin(config, shape, pick_device(device()), images.classes)
        generator.fit(Material.of(images), None, lambda _: None, lambda *_: None)
        weights.save(generator, self.folder / name, name, 0.0)
        return self.folder / name
