"""What phantoms in colour share: places, strokes, textures, and the light that blood leaves."""

import numpy as np
import pytest

from models.phantoms.canvas import Canvas, Spot, Texture, blood, photograph, strokes


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_place_is_where_the_pixel_of_its_coordinates_is(mirror):
    canvas = Canvas.of(40, 60, 8.0, (1.0, -2.0), 0.7, mirror)
    columns, rows = canvas.place(canvas.x, canvas.y)
    assert columns == pytest.approx(np.broadcast_to(np.arange(60) + 0.5, (40, 60)), abs=1e-4)
    assert rows == pytest.approx(np.broadcast_to(np.arange(40)[:, None] + 0.5, (40, 60)), abs=1e-4)
    assert canvas.pixel == 8.0 / 40


@pytest.mark.parametrize("radius", [0.03, 0.1, 0.37])
def test_a_stroke_holds_what_a_cylinder_holds_however_thin(radius):
    """Across a straight cylinder the chords add up to pi r^2, whether it is thinner than a pixel (0.1 mm here) or not."""
    canvas = Canvas.of(64, 64, 6.4, (0.0, 0.0))
    along = np.linspace(-4, 4, 60)[None]
    chord, wide = strokes(canvas, along, np.full_like(along, 0.013), np.full_like(along, radius), np.ones(along.shape, bool))
    assert chord[:, 10:-10].sum(0) * canvas.pixel == pytest.approx(np.pi * radius**2, rel=0.01)
    assert wide.max() == pytest.approx(radius)


def test_a_spot_covers_its_area():
    canvas = Canvas.of(128, 128, 6.4, (0.0, 0.0), 0.3)
    for radius in (0.2, 0.8):
        _, far = canvas.spot(Spot("dot", 0.31, -0.42, radius, 1.3, 0.5, (0.0, 0.0, 0.0, 0.0), 1.0))
        assert canvas.filled(far, radius).sum() * canvas.pixel**2 == pytest.approx(np.pi * radius**2, rel=0.04)


def test_blood_absorbs_as_prahls_table_says():
    """2.303 x 53236 x 150 / 64500 is 285 1/cm for oxygenated blood at 540 nm; in red, blood without oxygen absorbs 4.6 times as much."""
    assert blood(1.0)[1] == pytest.approx(28.5, abs=0.05)
    assert blood(0.0)[0] / blood(1.0)[0] == pytest.approx(4.59, abs=0.01)


def test_a_photograph_is_srgb():
    light = np.array([[[0.0, 0.002, 0.5], [1.0, 2.0, 0.2140]]])
    assert photograph(light, np.zeros((1, 2, 3)), 0.02).tolist() == [[[0, 7, 188], [255, 255, 127]]]


def test_a_texture_is_standard_repeats_and_loses_only_detail_to_coarse_pixels():
    x, y = np.meshgrid(np.arange(200) * 0.1, np.arange(200) * 0.1)
    fine = Texture(np.random.default_rng(3), 20.0, 0.01).at(x, y)
    assert (fine.mean(), fine.std()) == pytest.approx((0.0, 1.0), abs=0.03)
    assert Texture(np.random.default_rng(3), 20.0, 0.01).at(x + 20, y - 20) == pytest.approx(fine, abs=1e-3)
    coarse = Texture(np.random.default_rng(3), 20.0, 0.4).at(x, y)
    assert np.corrcoef(fine.ravel(), coarse.ravel())[0, 1] > 0.85
    assert np.abs(np.diff(coarse, axis=1)).mean() < np.abs(np.diff(fine, axis=1)).mean()
