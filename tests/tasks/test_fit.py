"""Fitting an image: what must not change, what must not fold back, and how near it is to the resampling that costs more."""

import numpy as np
import pytest
from PIL import Image

from schema.params import ImageFormat
from tasks.fit import fit_image

SHAPES = [(1, 1), (1, 900), (900, 1), (33, 57), (513, 400), (64, 64, 1), (500, 300, 3)]


def form(height: int, width: int, channels: int = 1, fit: str = "pad") -> ImageFormat:
    return ImageFormat(height=height, width=width, channels=channels, fit=fit)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("nearest", [False, True])
def test_a_constant_image_stays_constant_at_every_size_and_scale(shape, fit, nearest):
    image = fit_image(np.full(shape, 173, np.uint8), form(40, 24, 3, fit), nearest)
    assert image.shape == (40, 24, 3)
    assert image.dtype == np.uint8
    assert set(np.unique(image)) <= ({0, 173} if fit == "pad" else {173})
    assert (image[20, 12] == 173).all()


@pytest.mark.parametrize(("shape", "bars"), [((100, 200), (8, 8)), ((200, 100), (0, 0)), ((30, 60), (8, 8))])
def test_padding_keeps_the_aspect_in_the_middle_of_black(shape, bars):
    image = fit_image(np.full(shape, 255, np.uint8), form(32, 32))[:, :, 0]
    lit = np.flatnonzero(image.max(axis=1))
    assert (lit[0], 31 - lit[-1]) == bars


def test_cropping_loses_equally_at_two_edges():
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8), (100, 200))
    image = fit_image(ramp, form(50, 50, fit="crop"))[25, :, 0]
    # Pixel k of the middle hundred columns, halved, is the mean of 50 + 2k and 51 + 2k.
    np.testing.assert_allclose(image[2:-2], 50.5 + 2 * np.arange(50)[2:-2], atol=1)


@pytest.mark.parametrize("scale", [2, 3, 4, 7, 8])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_a_sine_above_the_new_nyquist_is_gone_and_one_well_below_it_stays(scale, fit):
    """Taking every n-th pixel would fold a sine of 0.8 cycles a new pixel back as one of 0.2, with its whole amplitude of 100."""
    place = np.arange(64 * scale) / scale
    swing = {}
    for cycles in (0.8, 1 / 16):
        row = np.rint(128 + 100 * np.sin(2 * np.pi * cycles * place + 0.3)).astype(np.uint8)
        image = fit_image(np.broadcast_to(row, (64 * scale, 64 * scale)), form(64, 64, fit=fit))[:, 4:-4].astype(float)
        swing[cycles] = np.abs(image - 128).max()
    assert swing[0.8] < 15
    assert swing[1 / 16] > 95


def test_real_x_rays_come_out_as_by_lanczos_with_a_psnr_above_45_db(data_root):
    for file in sorted((data_root / "nih_cxr14_1024_originals").glob("*.png"))[:3]:
        with Image.open(file) as opened:
            grey = opened.convert("L")
        ours = fit_image(np.asarray(grey), form(256, 256))[:, :, 0].astype(float)
        mse = ((ours - np.asarray(grey.resize((256, 256), Image.Resampling.LANCZOS))) ** 2).mean()
        assert 10 * np.log10(255**2 / mse) > 45


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_nearest_makes_no_value_that_the_mask_has_not(fit):
    mask = np.random.default_rng(1).choice(np.array([0, 3, 200], np.uint8), (301, 299))
    assert set(np.unique(fit_image(mask, form(64, 48, fit=fit), nearest=True))) == {0, 3, 200}
    assert len(np.unique(fit_image(mask, form(64, 48, fit=fit)))) > 3


def test_grey_as_rgb_is_three_equal_channels():
    grey = np.random.default_rng(1).integers(0, 256, (90, 70), dtype=np.uint8)
    colour = fit_image(grey, form(32, 32, 3))
    np.testing.assert_array_equal(colour, np.repeat(fit_image(grey, form(32, 32)), 3, axis=2))
    np.testing.assert_array_equal(colour, fit_image(np.repeat(grey[:, :, None], 3, axis=2), form(32, 32, 3)))
