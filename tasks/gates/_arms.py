"""What each classifier of the utility gate is trained on."""

from collections.abc import Iterator

import numpy as np

from schema.images import Images

SINGLE = ("real", "synthetic", "real_again")
"""Arms of as many images each: real ones, synthetic ones, and other real ones (the null)."""


def pair(ratio: float) -> tuple[str, str]:
    """The names of the two arms of a ratio: all real images and duplicates of some, all real images and synthetic ones."""
    return f"control_{ratio:g}", f"hybrid_{ratio:g}"


def extra(ratio: float, real: Images) -> int:
    """How many images a ratio adds to the real ones."""
    return round(ratio * len(real))


def possible(ratios: list[float], real: Images, synthetic: Images) -> list[float]:
    """The ratios for which there are synthetic images enough, and one to add at all."""
    return [ratio for ratio in ratios if 1 <= extra(ratio, real) <= len(synthetic)]


def arms(seed: int, n: int, ratios: list[float], real: Images, synthetic: Images) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, pixels, labels) of each arm of one seed; the single ones have `n` images.

    Both arms of a ratio begin with all the real images, and their extra images have the same labels in the same order, so one
    shuffle goes through both alike: they differ in what the extra images show, and in nothing else.
    """
    order = np.random.default_rng([seed, 1]).permutation(len(real))
    drawn = np.random.default_rng([seed, 2]).permutation(len(synthetic))
    for name, images, rows in (("real", real, order[:n]), ("synthetic", synthetic, drawn[:n]), ("real_again", real, order[n : 2 * n])):
        yield name, images.pixels[rows], images.labels[rows]
    for ratio in ratios:
        added = drawn[: extra(ratio, real)]
        copies = duplicates(real.labels, synthetic.labels[added], np.random.default_rng([seed, 5]))
        for name, images, rows in zip(pair(ratio), (real, synthetic), (copies, added), strict=True):
            yield name, np.concatenate([real.pixels, images.pixels[rows]]), np.concatenate([real.labels, images.labels[rows]])


def duplicates(labels: np.ndarray, asked: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A row of `labels` for each label in `asked`: of that class, none again before all of the class were taken.

    A class that `labels` has none of takes rows of any class.
    """
    rows = np.empty(len(asked), dtype=np.int64)
    for label in np.unique(asked):
        wanted = np.flatnonzero(asked == label)
        pool = np.flatnonzero(labels == label)
        pool = pool if len(pool) else np.arange(len(labels))
        rows[wanted] = np.concatenate([random.permutation(pool) for _ in range(-(-len(wanted) // len(pool)))])[: len(wanted)]
    return rows
