"""Radiomics features of whole images, by mirp, which follows the IBSI standard (Zwanenburg et al. 2020, Radiology 295:328).

mirp's names are the standard's: `stat_*` intensity statistics, `cm_*` grey level co-occurrence, `ngt_*` neighbourhood grey tone
difference. Textures are taken from 16 grey levels between an image's darkest and lightest, so they do not depend on its contrast.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

GREY_LEVELS = 16
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue (ITU-R BT.601), as Pillow's."""
CHUNK = 16
UNDEFINED = 10.0
"""What a feature that an image does not have (the texture of a blank one) counts as, after scaling: far from any real value."""


def radiomics(pixels: np.ndarray, tick: Callable[[int], None] = lambda _: None) -> tuple[np.ndarray, list[str]]:
    """Features, float64, N x D, and their names, of uint8 images N x H x W x C. NaN where an image does not have a feature.

    Colour images: intensity statistics of each channel, textures of the luminance.
    """
    rows: list[np.ndarray] = []
    names: list[str] = []
    for start in range(0, len(pixels), CHUNK):
        images = pixels[start : start + CHUNK].astype(np.float64)
        if images.shape[3] == 1:
            found = [_extract(images[..., 0], ["statistics", "cm", "ngtdm"], "")]
        else:
            found = [_extract(images[..., channel], ["statistics"], f"{name}_") for channel, name in enumerate(("red", "green", "blue"))]
            found.append(_extract(images @ LUMINANCE, ["cm", "ngtdm"], ""))
        rows.append(np.hstack([values for values, _ in found]))
        names = [name for _, of in found for name in of]
        tick(len(images))
    return np.concatenate(rows), names


def _extract(images: np.ndarray, families: list[str], prefix: str) -> tuple[np.ndarray, list[str]]:
    """Features and their names of images N x H x W."""
    import pandas as pd
    from mirp import extract_features

    # mirp looks its columns up by name: in Arrow's strings a fifth of the time goes into converting these.
    with _quiet(), pd.option_context("mode.string_storage", "python"):
        tables = extract_features(
            image=[image[None] for image in images],
            mask=[np.ones((1, *images.shape[1:]), dtype=int)] * len(images),
            by_slice=True,
            base_feature_families=families,
            base_discretisation_method="fixed_bin_number",
            base_discretisation_n_bins=GREY_LEVELS,
        )
    columns = [name for name in tables[0].columns if name.startswith(("stat_", "cm_", "ngt_"))]
    return np.stack([table.loc[0, columns].to_numpy(dtype=np.float64) for table in tables]), [prefix + name for name in columns]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps mirp from logging a line an image, and from setting up the root logger of whoever calls it."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)


class Scaler:
    """Brings features to a common scale by those of reference images: less the median, over 0.74 times the interquartile range (the
    deviation, where normal), then the inverse hyperbolic sine, which is linear in the bulk and logarithmic in the tails: radiomics
    features have heavy ones, and a covariance would be about the outliers."""

    def __init__(self, reference: np.ndarray) -> None:
        """From features N x D. Features that do not vary there, or that no image has, are left out: `kept`."""
        finite = np.where(np.isfinite(reference), reference, np.nan)
        has = np.isfinite(finite).any(axis=0)
        self.kept = np.flatnonzero(has)
        low, self.middle, high = np.nanquantile(finite[:, has], [0.25, 0.5, 0.75], axis=0)
        robust, spread = (high - low) / 1.349, np.nanstd(finite[:, has], axis=0)
        # Some are the same for most images, such as the minimum: their quartiles coincide.
        # A difference of quartiles that is rounding counts as none.
        least = 1e-9 * (1 + np.abs(self.middle))
        self.scale = np.where(robust > least, robust, spread)
        varies = spread > least
        self.kept, self.middle, self.scale = self.kept[varies], self.middle[varies], self.scale[varies]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scaled features, N x the number of those kept."""
        scaled = np.arcsinh((features[:, self.kept] - self.middle) / self.scale)
        return np.where(np.isfinite(scaled), scaled, UNDEFINED)
