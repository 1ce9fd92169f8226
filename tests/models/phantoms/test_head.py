"""The head phantom: two modalities of one anatomy, and what the truth says is what both show."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, gaussian_filter, sobel

from models.phantoms import head as phantom
from models.phantoms._head_anatomy import Tumour, draw_head
from models.phantoms._head_slice import Slice, displace
from models.phantoms._head_tissues import RELAXATION, spoiled_gradient_echo, t1_signals
from models.phantoms.head import SEPTUM, _expose_ct, _expose_mr, _plane, draw, draw_acquisition, midline_shift

SIZE = 128


@pytest.fixture
def at_level(monkeypatch):
    """Fixes the level of every slice, and leaves the rest as drawn."""

    def fix(level: float) -> None:
        monkeypatch.setattr(phantom, "draw_acquisition", lambda rng, head: replace(draw_acquisition(rng, head), level=level))

    return fix


def coordinates(truth: dict, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Patient coordinates, mm, of the pixels."""
    rows, columns = np.mgrid[:size, :size] + 0.5
    across, down = (columns - truth["centre"][0]) * truth["pixel_mm"], (rows - truth["centre"][1]) * truth["pixel_mm"]
    cos, sin = np.cos(np.radians(truth["rotation_degrees"])), np.sin(np.radians(truth["rotation_degrees"]))
    return across * cos + down * sin, down * cos - across * sin


def edges(image: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(image.astype(float), 0.7)
    return np.hypot(sobel(smooth, 0), sobel(smooth, 1))


def test_ct_and_mr_lie_on_the_same_pixels():
    """Edges within the brain agree best unshifted."""
    for seed in range(6):
        images, truth = draw(seed, "normal", 256, 256)
        x, y = coordinates(truth, 256)
        brain = np.hypot(x / 52, y / 66) < 1
        ct, mr = edges(images["image"]), edges(images["mr"])
        agreement = {
            (down, across): np.corrcoef(ct[brain], np.roll(mr, (down, across), (0, 1))[brain])[0, 1]
            for down in range(-2, 3)
            for across in range(-2, 3)
        }
        assert max(agreement, key=agreement.get) == (0, 0)


def test_bone_is_the_brightest_in_ct_and_dark_in_mr_where_fat_is_bright():
    for seed in range(10):
        images, truth = draw(seed, "normal", 256, 256)
        ct, mr = images["image"], images["mr"]
        x, y = coordinates(truth, 256)
        bone = (ct == 255) & (np.hypot(x / 62, y / 78) > 1)
        brain = np.hypot(x / 45, y / 60) < 1
        assert bone.sum() > 2000
        assert ct.max() == 255
        assert np.percentile(ct[brain], 99) < 200
        assert np.median(mr[bone]) < 0.6 * np.median(mr[brain])
        assert np.percentile(mr[~brain & (ct < 255)], 99) > 1.2 * np.median(mr[brain])
        assert max(ct[0].max(), ct[-1].max(), ct[:, 0].max(), ct[:, -1].max()) == 0


def test_grey_matter_is_brighter_in_ct_and_darker_in_mr_than_white():
    """38 against 28.5 HU are 30 grey values of an 80 HU window; sorted by T1 signal, above that of cerebrospinal fluid."""
    for seed in range(8):
        images, truth = draw(seed, "normal", 256, 256)
        x, y = coordinates(truth, 256)
        brain = np.hypot(x / 50, y / 64) < 1
        signal = gaussian_filter(images["mr"].astype(float), 0.8)
        white = np.median(signal[brain & (signal > 0.85 * np.percentile(signal[brain], 80))])
        grey_matter, white_matter = brain & (np.abs(signal / white - 0.76) < 0.05), brain & (signal > 0.95 * white)
        difference = images["image"][grey_matter].mean() - images["image"][white_matter].mean()
        assert 10 < difference < 31


def test_signals_rank_as_t1_weighting_ranks_tissues():
    """The spoiled gradient echo peaks at the Ernst angle, cos a = exp(-TR / T1)."""
    for seed in range(20):
        scan = draw_acquisition(np.random.default_rng(seed), draw_head(np.random.default_rng(seed)))
        s = t1_signals(scan.repetition, scan.echo, scan.flip, 0.5)
        assert s["fat"] > s["white"] == 1 > s["deep_grey"] > s["grey"] > s["oedema"] > s["core"] > s["csf"] > s["bone"] == 0
        assert s["rim"] > 1.1
    t1, t2, density = RELAXATION["white"]
    angles = np.linspace(0.01, 1.5, 2000)
    best = angles[np.argmax([spoiled_gradient_echo(t1, t2, density, 18.0, 5.0, a) for a in angles])]
    assert best == pytest.approx(np.arccos(np.exp(-18.0 / t1)), abs=1e-3)


def test_a_tumours_mask_has_the_place_and_the_area_of_the_truth():
    """An ellipse whose edge is r (1 + a cos 2t + b cos 3t) has the area pi r1 r2 (1 + a^2 / 2 + b^2 / 2)."""
    for seed in range(12):
        images, truth = draw(seed, "tumour", SIZE, SIZE)
        tumour, mask = truth["tumour"], images["mask"]
        assert set(np.unique(mask)) == {0, 255}
        a, _, b, _ = tumour["waves"]
        area = np.pi * np.prod(tumour["radii"]) * (1 + a * a / 2 + b * b / 2)
        assert tumour["area"] == pytest.approx(area, rel=0.04, abs=4)
        rows, columns = np.nonzero(mask)
        away = np.array([columns.mean(), rows.mean()]) + 0.5 - tumour["centre"]
        assert np.linalg.norm(away) < 0.12 * max(tumour["radii"]) + 0.5
        x, _ = coordinates(truth, SIZE)
        assert (x[mask > 0].mean() > 0) == (tumour["side"] == "left")


def test_a_tumour_stands_out_in_both_modalities_and_its_oedema_is_dark():
    for seed in range(12):
        images, truth = draw(seed, "tumour", SIZE, SIZE)
        before, _ = draw(seed, "normal", SIZE, SIZE)
        tumour = truth["tumour"]
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        far = np.hypot((columns - tumour["centre"][0]) / tumour["radii"][0], (rows - tumour["centre"][1]) / tumour["radii"][1])
        inner, rim = far < 0.4, (images["mask"] > 0) & (far > 0.75)
        for name, brighter in (("image", 25), ("mr", 12)):
            change = images[name].astype(float) - before[name]
            assert change[rim].mean() > brighter
            assert (change[inner].mean() < 0) == (tumour["kind"] == "ring")
            around = (far > 1.1) & (far < 1.3)
            assert change[around].mean() < 0


def test_a_tumour_changes_nothing_beyond_its_reach_nor_outside_the_skull():
    for seed in range(10):
        normal, healthy = draw(seed, "normal", SIZE, SIZE)
        images, truth = draw(seed, "tumour", SIZE, SIZE)
        tumour = truth["tumour"]
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        beyond = np.hypot(columns - tumour["centre"][0], rows - tumour["centre"][1]) > tumour["reach"] + 4
        assert beyond.sum() > 0.3 * SIZE**2
        for name in ("image", "mr"):
            assert (images[name][beyond] == normal[name][beyond]).all()
        skull = binary_fill_holes(normal["image"] == 255)
        for name in ("image", "mr"):
            assert (images[name][~skull] == normal[name][~skull]).all()
        assert healthy["tumour"] is None
        assert healthy["midline_shift_mm"] == 0
        assert not normal["mask"].any()


def septum(image: np.ndarray, truth: dict) -> float:
    """x (mm) of the middle of the bright wall between the two dark ventricles."""
    x, y = coordinates(truth, len(image))
    places = np.arange(-22, 22.1, 0.25)
    row = np.abs(y - SEPTUM) < 1.5
    profile = np.array([image[row & (np.abs(x - place) < 0.6)].mean() for place in places])
    wet = np.flatnonzero(profile < (profile.min() + profile.max()) / 2)
    gap = np.diff(wet).argmax()
    return float(places[wet[gap]] + places[wet[gap + 1]]) / 2


def test_the_midline_moves_away_from_the_tumour_as_far_as_the_truth_says(at_level):
    at_level(12.0)
    errors, shifts = [], []
    for seed in range(14):
        (before, healthy), (after, truth) = (draw(seed, label, 256, 256) for label in ("normal", "tumour"))
        shift = truth["midline_shift_mm"]
        assert shift == 0 or (shift < 0) == (truth["tumour"]["side"] == "left")
        shifts.append(shift)
        errors.append(septum(after["mr"], truth) - septum(before["mr"], healthy) - shift)
    assert np.max(np.abs(shifts)) > 2
    assert np.median(np.abs(errors)) < 0.4


def test_a_push_keeps_area():
    """What lies within R of the tumour's centre lay within sqrt(R^2 - p r1 r2) of it: far from the skull no area is lost or made."""
    head = draw_head(np.random.default_rng(0))
    tumour = Tumour("solid", "left", 25.0, 0.0, 12.0, 12.0, (0, 0, 0, 0), 3.0, 10.0, 0.9, 1e4)
    x, y = displace(tumour, head, 0.0, np.array([45.0, 5.0]), np.array([0.0, 0.0]))
    assert np.hypot(x - 25, y) == pytest.approx(np.sqrt(20**2 - 0.9 * 144), abs=0.15)
    shift = midline_shift(head, tumour, 0.0)
    back, _ = displace(tumour, head, 0.0, np.array([shift]), np.array([SEPTUM]))
    assert shift < -1
    assert back[0] == pytest.approx(0, abs=0.02)


def test_ventricles_are_where_the_truth_has_them_and_end_below_the_centrum_semiovale(at_level):
    """The frontal horn and body, found as dark pixels, are half of the ventricle or more, and nothing else is dark there."""
    at_level(10.0)
    for seed in range(6):
        images, truth = draw(seed, "normal", 256, 256)
        x, y = coordinates(truth, 256)
        for side, sign in (("right", -1), ("left", 1)):
            front = (sign * x > 1) & (sign * x < 25) & (y > -42) & (y < 10)
            smooth = gaussian_filter(images["mr"].astype(float), 0.6)
            dark = (smooth < 0.62 * np.median(smooth[front])) & front & (y > -34)
            assert 0.4 * truth["ventricles"][side] < dark.sum() < truth["ventricles"][side]
            assert 300 < truth["ventricles"][side] * truth["pixel_mm"] ** 2 < 1800
    at_level(38.0)
    assert set(draw(0, "normal", 64, 64)[1]["ventricles"].values()) == {0.0}


def uniform(level: float, size: int = 256) -> tuple:
    head = draw_head(np.random.default_rng(0))
    scan = replace(draw_acquisition(np.random.default_rng(1), head), hardening=0.0, ct_noise=0.0, bias=(0.0,) * 5)
    flat = np.full((size, size), level)
    return Slice(flat, flat, np.zeros_like(flat)), scan, _plane(scan, size, size)


def test_ct_grey_is_hounsfield_units_through_the_stated_window():
    """Centre 40, width 80: 20 HU is a quarter of the way up."""
    for hounsfield, grey in ((-1000.0, 0), (20.0, 64), (30.0, 96), (1300.0, 255)):
        drawn, scan, plane = uniform(hounsfield)
        assert (_expose_ct(drawn, scan, plane, np.random.default_rng(0)) == grey).all()


def test_ct_noise_has_the_stated_strength_and_little_at_low_frequencies():
    drawn, scan, plane = uniform(40.0)
    grey = _expose_ct(drawn, replace(scan, ct_noise=4.0), plane, np.random.default_rng(0)).astype(float)
    assert grey.std() * 80 / 255 == pytest.approx(4.0, rel=0.03)
    coarse = grey.reshape(16, 16, 16, 16).mean((1, 3))
    assert coarse.std() < 0.5 * grey.std() / 16**0.5


def test_mr_noise_is_rician():
    """In air the magnitude is Rayleigh: mean sigma sqrt(pi / 2). Far above the noise its mean is sqrt(A^2 + sigma^2), nearly."""
    for signal, mean in ((0.0, 0.04 * np.sqrt(np.pi / 2)), (1.0, np.sqrt(1 + 0.04**2))):
        drawn, scan, plane = uniform(signal)
        grey = _expose_mr(drawn, replace(scan, mr_noise=0.04), plane, np.random.default_rng(0))
        assert grey.mean() / scan.white == pytest.approx(mean, rel=0.02)


def test_a_seed_gives_one_patient_and_a_view_another_look():
    first, truth = draw(5, "tumour", 96, 96)
    again, same = draw(5, "tumour", 96, 96)
    assert set(first) == {"image", "mr", "mask"}
    assert all((first[name] == again[name]).all() and first[name].dtype == np.uint8 for name in first)
    assert truth == same == json.loads(json.dumps(truth))
    other, seen = draw(5, "tumour", 96, 96, view=[1, 2])
    assert (other["mr"] != first["mr"]).any()
    assert seen["anatomy_mm"] == truth["anatomy_mm"]
    assert seen["acquisition"] != truth["acquisition"]
    fine, twice = draw(5, "tumour", 192, 192)
    assert np.array(twice["tumour"]["centre"]) == pytest.approx(2 * np.array(truth["tumour"]["centre"]), abs=1e-3)
    for name in ("image", "mr"):
        assert np.corrcoef(fine[name].reshape(96, 2, 96, 2).mean((1, 3)).ravel(), first[name].ravel())[0, 1] > 0.97
    wide, _ = draw(5, "normal", 48, 80)
    assert wide["mr"].shape == (48, 80)
    with pytest.raises(ValueError, match="normal, tumour"):
        draw(0, "stroke", 32, 32)
