"""The invisible mark: found where it was put, nowhere else, and as faint as its step says."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom
from scipy.stats import binom

from models import watermark


def smooth(seed: int, height: int, width: int, channels: int = 1) -> np.ndarray:
    """Cloudy images from black to white, so that parts of them are cut off at both ends."""
    drawn = np.random.default_rng(seed).normal(size=(height, width, channels))
    clouds = gaussian_filter(drawn, (height / 12, width / 12, 0))
    return np.clip(128 + 110 * clouds / clouds.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (64, 48, 1), (33, 61, 3), (224, 224, 3)])
def test_all_bits_are_there_and_the_image_keeps_its_shape(height, width, channels):
    images = [smooth(seed, height, width, channels) for seed in range(20)]
    marked = [watermark.embed(image) for image in images]
    assert all(image.shape == (height, width, channels) and image.dtype == np.uint8 for image in marked)
    assert [watermark.agreeing(image) for image in marked] == [watermark.BITS] * 20
    assert not any(watermark.is_marked(image) for image in images)


def test_the_change_is_as_faint_as_the_quantisation_error_of_its_step():
    """Uniform within a step: mean square STEP^2 / 12 a wave (Chen, Wornell 2001), and what rounding to whole grey levels adds, 1 / 12."""
    images = [(64 + smooth(seed, 64, 64) // 2).astype(np.uint8) for seed in range(200)]
    changes = [np.mean((watermark.embed(image).astype(float) - image) ** 2) for image in images]
    assert np.mean(changes) == pytest.approx(watermark.BITS * watermark.STEP**2 / 12 + 1 / 12, rel=0.05)


def test_unmarked_images_hold_as_many_bits_as_fair_coins():
    found = [watermark.agreeing(smooth(seed, 40, 40)) for seed in range(500)]
    assert np.mean(found) == pytest.approx(16, abs=4 * np.sqrt(8 / 500))
    assert np.var(found) == pytest.approx(8, rel=0.3)
    assert binom.sf(watermark.FOUND - 1, watermark.BITS, 0.5) == pytest.approx(9.65e-6, rel=0.01)


def test_flat_images_are_not_taken_for_marked():
    assert not any(watermark.is_marked(np.full((32, 32, 1), value, np.uint8)) for value in range(256))


def test_it_is_read_at_another_size():
    marked = [watermark.embed(smooth(seed, 64, 64)) for seed in range(20)]
    for factor in (0.75, 2):
        again = [
            np.clip(zoom(image.astype(float), (factor, factor, 1), order=3, grid_mode=True, mode="mirror"), 0, 255) for image in marked
        ]
        assert all(watermark.is_marked(np.round(image).astype(np.uint8)) for image in again)


def test_small_images_are_objected_to():
    assert watermark.objection(28, 28) is None
    assert watermark.objection(16, 300).startswith("images of 16 x 300 are too small")
