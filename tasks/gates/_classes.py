"""Class by class: how synthetic images compare with real ones that the classifier was not trained on."""

from dataclasses import dataclass

import numpy as np

from models.manifold import squared_distances
from models.modes import coverages, reach
from models.scores import draw_weights, recalls
from models.stats import group_index
from schema.images import Images, RealImages, joined

MOST = 2000
"""Images of a class and side that are compared pair by pair."""
REFERENCE = 512
"""Training images of a class that are to be covered."""


@dataclass(frozen=True)
class View:
    """What the classifier makes of N images: the class that each shows, its features (N x D), and draws of their patients
    (weights as in `models.scores`)."""

    images: Images
    shown: np.ndarray
    features: np.ndarray
    weights: np.ndarray

    def count(self, label: int) -> int:
        return int((self.images.labels == label).sum())

    def recalls(self) -> np.ndarray:
        """How often images show the class that they are labelled as: draws x classes."""
        return recalls(self.shown, self.images.labels, len(self.images.classes), self.weights)

    def coverage(self, reference: np.ndarray, label: int, m: int) -> np.ndarray:
        """How much of the reference features, R x D, m images of a class cover: draws."""
        rows = np.flatnonzero(self.images.labels == label)[:MOST]
        inside = squared_distances(reference, self.features[rows]) <= reach(reference)[:, None]
        return coverages(inside, self.weights[:, rows], m)


@dataclass(frozen=True)
class Comparison:
    """Training images (a reference), other real images (the null) and synthetic ones, in the eyes of one classifier."""

    train: View
    others: View
    release: View

    def mistaken(self, label: int) -> float:
        """The share of other classes' real images that show this one."""
        rest = self.others.images.labels != label
        return float((self.others.shown[rest] == label).mean())

    def coverages(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Coverage of the training images of a class by other real images and by as many synthetic ones: draws each."""
        reference = self.train.features[self.train.images.labels == label]
        m = min(self.others.count(label), self.release.count(label), MOST) // 2
        return self.others.coverage(reference, label, m), self.release.coverage(reference, label, m)


def compare(real: RealImages, synthetic: Images, steps: int, draws: int, seed: int) -> Comparison:
    """Trains a small classifier on the real training images, and looks at all of them with it."""
    from models.classifier import features, probabilities, train_classifier
    from models.determinism import pick_device
    from schema.settings import device as asked
    from tasks.progress import ticking

    device = pick_device(asked())
    pixels, labels = real.train.pixels, real.train.labels
    with ticking("gate coverage", "training the classifier", steps, "step") as ticker:
        network = train_classifier(pixels, labels, len(real.train.classes), steps, seed, device, tick=ticker.update)
    random = np.random.default_rng([seed, 2])

    def view(images: Images, draws: int) -> View:
        shown = probabilities(network, images.pixels, device).argmax(axis=1)
        weights = draw_weights(group_index(images.patients), draws, random)
        return View(images, shown, features(network, images.pixels, device), weights)

    others = joined(real.holdout, real.test)
    return Comparison(view(_reference(real.train, random), 0), view(others, draws), view(synthetic, draws))


def _reference(train: Images, random: np.random.Generator) -> Images:
    """At most REFERENCE images of each class, by chance."""
    order = random.permutation(len(train))
    rows = [order[train.labels[order] == label][:REFERENCE] for label in range(len(train.classes))]
    return train.take(np.concatenate(rows))
