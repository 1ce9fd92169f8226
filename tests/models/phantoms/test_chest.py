"""The chest phantom: what its truth says is what its pixels show."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from models.phantoms.chest import _expose, draw_chest
from models.phantoms.chest_projection import LUNG, SOFT


def change(seed: int, label: str, size: int) -> tuple[np.ndarray, dict]:
    """How the picture under `label` differs from the normal one of the same seed, and its truth."""
    normal, _ = draw_chest(seed, "normal", size, size)
    image, truth = draw_chest(seed, label, size, size)
    return image.astype(int) - normal, truth


def radius(size: int, opacity: dict) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] + 0.5
    (x, y), (rx, ry) = opacity["centre"], opacity["radii"]
    return np.hypot((columns - x) / rx, (rows - y) / ry)


@pytest.mark.parametrize("size", [32, 96])
def test_an_opacity_brightens_the_lung_where_the_truth_says_and_nothing_else(size):
    for seed in range(12):
        brighter, truth = change(seed, "opacity", size)
        assert truth["opacities"]
        assert brighter.min() >= 0
        for opacity in truth["opacities"]:
            assert brighter[radius(size, opacity) < 0.6].mean() > 15
        boxes = np.array([lung["box"] for lung in truth["lungs"].values()])
        left, top = np.floor(boxes[:, :2].min(0)).astype(int) - 1
        right, bottom = np.ceil(boxes[:, 2:].max(0)).astype(int) + 1
        brighter[top:bottom, left:right] = 0
        assert not brighter.any()


def test_a_lone_opacity_is_centred_and_sided_as_the_truth_says():
    seen = set()
    for seed in range(30):
        brighter, truth = change(seed, "opacity", 64)
        if len(truth["opacities"]) > 1:
            continue
        opacity = truth["opacities"][0]
        weight = brighter * (radius(64, opacity) < 1)
        rows, columns = np.mgrid[:64, :64] + 0.5
        centroid = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        assert np.linalg.norm(centroid - opacity["centre"]) < 0.5 * max(opacity["radii"])
        midline = (truth["lungs"]["right"]["box"][2] + truth["lungs"]["left"]["box"][0]) / 2
        assert (centroid[0] > midline) == (opacity["side"] == "left")
        seen.add(opacity["side"])
    assert seen == {"left", "right"}


def test_the_heart_in_the_pixels_lies_and_measures_as_in_the_truth():
    """The enlarged heart brightens lung that the normal one leaves dark; an ellipse's horizontal half extent is
    sqrt(a^2 cos^2 + b^2 sin^2)."""
    for seed in range(8):
        brighter, truth = change(seed, "cardiomegaly", 256)
        columns = np.flatnonzero((brighter > 0).any(0))
        (long, short), angle = truth["heart"]["radii"], np.radians(truth["heart"]["angle_degrees"])
        assert columns[-1] + 1 - columns[0] == pytest.approx(2 * np.hypot(long * np.cos(angle), short * np.sin(angle)), abs=2.5)
        assert (columns[0] + columns[-1] + 1) / 2 == pytest.approx(truth["heart"]["centre"][0], abs=1.5)


def test_the_diaphragm_in_the_pixels_is_where_the_truth_says():
    for seed in range(8):
        image, truth = draw_chest(seed, "normal", 256, 256)
        for column, row in truth["diaphragm"].values():
            strip = image[:, int(column) - 2 : int(column) + 3].mean(1)
            steps = strip[2:] - strip[:-2]
            near = slice(int(row) - 10, int(row) + 10)
            assert near.start + 1.5 + steps[near].argmax() == pytest.approx(row, abs=2.0)


def test_the_cardiothoracic_ratio_divides_the_labels_at_one_half():
    for seed in range(40):
        for label in ("normal", "opacity", "cardiomegaly"):
            _, truth = draw_chest(seed, label, 32, 32)
            ratio = truth["cardiothoracic_ratio"]
            assert (ratio > 0.5) == (label == "cardiomegaly")
            assert ratio == pytest.approx(truth["heart"]["width"] / truth["thorax_width"], abs=1e-4)


def test_left_and_right_are_the_patients():
    for seed in range(40):
        image, truth = draw_chest(seed, "normal", 64, 64)
        right, left = truth["lungs"]["right"], truth["lungs"]["left"]
        assert right["box"][2] <= left["box"][0]
        assert left["area"] < right["area"]
        assert truth["anatomy_cm"]["dome_right"] < truth["anatomy_cm"]["dome_left"]
        assert truth["heart"]["centre"][0] > (right["box"][2] + left["box"][0]) / 2
        assert min(right["box"][:2] + left["box"][:2]) > 0
        assert max(right["box"][2:] + left["box"][2:]) < 64
        lungs = [image[int(t) + 4 : int(b) - 12, int(x) + 4 : int(r) - 4] for x, t, r, b in (right["box"], left["box"])]
        spine = image[20:40, int(right["box"][2]) + 1 : int(left["box"][0]) - 1]
        assert max(np.median(lung) for lung in lungs) < np.median(spine) - 30


def test_exposure_is_beer_and_lambert_then_a_sigmoid():
    """Slabs of 3 and 2 cm weaken as one of 5 cm; a pixel half in the open beam and half behind lead has density ln 2, not a mean."""
    curve = SimpleNamespace(scatter=0.0, noise=0.0, centre=np.log(2), window=1.0)
    body = SimpleNamespace(lung_depth=13.0, thickness=22.0)
    slabs = np.array([[3 * SOFT + 2 * LUNG] * 2 + [0.0, 50.0]] * 2)
    grey = _expose(slabs, curve, body, np.zeros((1, 2)), 2)
    density = -np.log(np.exp(-3 * SOFT) * np.exp(-2 * LUNG))
    assert grey[0, 0] == round(255 / (1 + np.exp(-4 * (density - np.log(2)))))
    assert grey[0, 1] in (127, 128)


def test_a_seed_gives_one_picture_and_one_anatomy_at_every_size():
    first, truth = draw_chest(5, "opacity", 64, 64)
    again, same = draw_chest(np.random.default_rng(5), "opacity", 64, 64)
    assert (first == again).all()
    assert truth == same == json.loads(json.dumps(truth))
    fine, twice = draw_chest(5, "opacity", 128, 128)
    assert truth["anatomy_cm"] == twice["anatomy_cm"]
    assert np.array(twice["heart"]["centre"]) == pytest.approx(2 * np.array(truth["heart"]["centre"]), abs=1e-3)
    assert np.corrcoef(fine.reshape(64, 2, 64, 2).mean((1, 3)).ravel(), first.ravel())[0, 1] > 0.99
    wide, _ = draw_chest(5, "normal", 48, 80)
    assert wide.shape == (48, 80)
    assert wide.dtype == np.uint8


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match="normal, opacity, cardiomegaly"):
        draw_chest(0, "fracture", 32, 32)
