"""Radiomics features: known values of drawn images, and a scale that outliers and blank images do not upset."""

import logging

import numpy as np
import pytest

from models.radiomics import UNDEFINED, Scaler, radiomics


def stripes(n: int) -> np.ndarray:
    """n x n, columns of 0 and 240 in turn: the lowest and the highest of 16 grey levels."""
    return np.tile(np.array([0, 240], dtype=np.uint8), (n, n // 2))


def named(pixels: np.ndarray) -> dict[str, np.ndarray]:
    features, names = radiomics(pixels)
    return {name: features[:, k] for k, name in enumerate(names)}


def test_statistics_and_texture_of_drawn_images_are_the_closed_forms(capsys):
    n = 12
    random = np.random.default_rng(0).integers(0, 256, (n, n), dtype=np.uint8)
    found = named(np.stack([stripes(n), random])[..., None])
    np.testing.assert_allclose(found["stat_mean"], [120, random.mean()])
    np.testing.assert_allclose(found["stat_var"], [120**2, random.var()])
    # Levels 1 and 16: all horizontal and diagonal neighbours differ by 15, no vertical ones do.
    differ, same = n * (n - 1) + 2 * (n - 1) ** 2, n * (n - 1)
    (contrast,) = [name for name in found if name.startswith("cm_contrast")]
    assert found[contrast][0] == pytest.approx(225 * differ / (differ + same))
    assert capsys.readouterr().out == ""


def test_it_leaves_logging_as_it_was():
    before = list(logging.getLogger().handlers), logging.root.manager.disable
    radiomics(stripes(8)[None, ..., None])
    assert (list(logging.getLogger().handlers), logging.root.manager.disable) == before


def test_colour_images_have_statistics_of_each_channel_and_textures_of_the_luminance():
    grey = stripes(8)
    coloured = np.stack([grey, grey, grey], axis=-1)
    coloured[..., 2] = 255 - coloured[..., 2]
    found = named(np.stack([np.stack([grey] * 3, axis=-1), coloured]))
    np.testing.assert_allclose(found["red_stat_mean"], 120)
    np.testing.assert_allclose(found["blue_stat_mean"], [120, 135])
    alone = named(grey[None, ..., None])
    (contrast,) = [name for name in found if name.startswith("cm_contrast")]
    np.testing.assert_allclose(found[contrast][0], alone[contrast][0])


def test_scaling_is_linear_in_the_bulk_and_tames_the_tails():
    reference = np.random.default_rng(0).normal(50, 4, (4000, 1))
    scaler = Scaler(reference)
    np.testing.assert_allclose(scaler(np.array([[50.0], [50.4], [50 + 4e6]]))[:, 0], [0, 0.1, np.arcsinh(1e6)], atol=0.05)


def test_what_does_not_vary_is_dropped_and_what_is_undefined_counts_as_far():
    reference = np.random.default_rng(1).normal(size=(50, 4))
    reference[:, 1] = 7.0
    reference[:, 2] = np.nan
    reference[:45, 3] = 0.0
    scaler = Scaler(reference)
    assert scaler.kept.tolist() == [0, 3]
    assert np.isfinite(scaler(reference)).all()
    assert scaler(np.array([[np.nan, 7, 1, 0]]))[0, 0] == UNDEFINED
