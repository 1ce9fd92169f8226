"""The OCT phantom: what its truth says is what its pixels show."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from models.phantoms.oct import LABELS, MASK, Grid, _detect, draw, draw_acquisition

SIZE = 128


def pair(seed: int, label: str) -> tuple[dict, dict, dict, dict]:
    return *draw(seed, "normal", SIZE, SIZE), *draw(seed, label, SIZE, SIZE)


def radius(pocket: dict) -> np.ndarray:
    """Distance from the middle of a pocket, 1 on its edge: an ellipse whose rows slope with its columns."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    (column, row), (across, down) = pocket["centre"], pocket["radii"]
    return np.hypot((columns - column) / across, (rows - row - pocket.get("slope", 0) * (columns - column)) / down)


@pytest.mark.parametrize("label", LABELS)
def test_layers_keep_their_order_in_every_column(label):
    for seed in range(25):
        _, truth = draw(seed, label, 64, 64)
        depths = np.array(list(truth["boundaries"].values()))
        assert depths.shape == (13, len(truth["columns"]))
        assert (np.diff(depths, axis=0) >= 0).all()
        assert depths[0].min() > 0
        assert depths[-1].max() < 64


def test_the_retina_is_thinnest_at_the_fovea_and_thick_about_it():
    """230 um at the foveola, a rim of 300 um and more, 287 +- 76 um of choroid: the published means, with room for a patient."""
    for seed in range(40):
        _, truth = draw(seed, "normal", SIZE, SIZE)
        retina = np.subtract(truth["boundaries"]["bruch"], truth["boundaries"]["ilm"]) * truth["pixel_um"][1]
        millimetres = (np.array(truth["columns"]) - truth["fovea"][0]) * truth["pixel_um"][0] / 1000
        assert abs(millimetres[retina.argmin()]) < 0.2
        assert 195 < truth["thickness_um"]["retina"]["fovea"] < 265
        assert 285 < retina[np.abs(np.abs(millimetres) - 1) < 0.3].mean() < 380
        assert 140 < truth["thickness_um"]["choroid"]["fovea"] < 440


def test_the_pixels_have_their_surface_and_their_brightest_band_where_the_truth_says():
    """The ILM is where grey rises from the vitreous, the RPE the brightest of the outer bands."""
    for seed in range(8):
        images, truth = draw(seed, "normal", SIZE, SIZE)
        shadows = np.array(truth["vessels"])
        surface, band = [], []
        for k, column in enumerate(truth["columns"]):
            if 1 < column < SIZE - 1 and not (np.abs(shadows - column) < 4).any():
                strip = images["image"][:, int(column) - 1 : int(column) + 2].mean(1)
                ilm, rpe = truth["boundaries"]["ilm"][k], truth["boundaries"]["rpe_top"][k]
                near = np.arange(int(ilm) - 5, int(ilm) + 6)
                surface.append(near[(strip[near] - strip[near - 2]).argmax()] - ilm)
                outer = np.arange(int(truth["boundaries"]["elm"][k]), int(rpe) + 6)
                band.append(outer[strip[outer].argmax()] - rpe)
        assert np.median(np.abs(surface)) < 1.5
        assert np.median(np.abs(band)) < 2.5


def test_fluid_is_dark_against_its_neighbours_and_the_mask_is_the_ellipse():
    kinds = set()
    for seed in range(20):
        images, truth = draw(seed, "fluid", SIZE, SIZE)
        assert truth["pockets"]
        kinds |= {pocket["kind"] for pocket in truth["pockets"]}
        for pocket in truth["pockets"]:
            if min(pocket["radii"]) < 2.5:
                continue
            far = radius(pocket)
            inside = images["image"][far < 0.5]
            assert (images["mask"][far < 0.5] == MASK[pocket["kind"]]).mean() > (0.8 if pocket["kind"] == "subretinal" else 0.99)
            around = images["image"][(far > 1.2) & (far < 1.7) & (images["mask"] == 0)]
            assert np.median(around) - np.median(inside) > 25
        cysts = [pocket for pocket in truth["pockets"] if pocket["kind"] == "intraretinal"]
        if cysts:
            area = sum(np.pi * np.prod(pocket["radii"]) for pocket in cysts)
            assert truth["areas"]["intraretinal"] == pytest.approx(area, rel=0.15, abs=8)
    assert kinds == {"intraretinal", "subretinal"}


def reach(found: dict, truth: dict) -> tuple[float, float]:
    """The columns that a finding can have changed: a cyst's layer bulges to twice its radius and 0.2 mm more."""
    wider = 2 * found["radii"][0] + 200 / truth["pixel_um"][0] if found.get("kind") == "intraretinal" else found["radii"][0]
    return found["centre"][0] - wider - 1, found["centre"][0] + wider + 1


@pytest.mark.parametrize("label", ["fluid", "drusen", "tumour"])
def test_a_finding_changes_only_the_columns_that_it_reaches(label):
    for seed in range(10):
        normal, _, images, truth = pair(seed, label)
        changed = np.flatnonzero((normal["image"] != images["image"]).any(0)) + 0.5
        found = truth["pockets"] + truth["drusen"] + ([truth["tumour"]] if truth["tumour"] else [])
        reached = [reach(one, truth) for one in found]
        assert len(changed)
        assert all(any(left < column < right for left, right in reached) for column in changed)
        assert not normal["mask"].any()
        assert set(np.unique(images["mask"])) - {0} == {MASK[name] for name, area in truth["areas"].items() if area}


def test_a_druse_lifts_the_pigment_epithelium_off_bruchs_membrane_by_its_height():
    for seed in range(10):
        _, truth = draw(seed, "drusen", SIZE, SIZE)
        assert 4 <= len(truth["drusen"]) <= 10
        for druse in truth["drusen"]:
            assert 2 * druse["radii"][1] * truth["pixel_um"][1] >= druse["height_um"] - 1
        raised = np.subtract(truth["boundaries"]["bruch"], truth["boundaries"]["rpe_base"])
        bases = [(d["centre"][0] - d["radii"][0], d["centre"][0] + d["radii"][0]) for d in truth["drusen"]]
        outside = [not any(left < column < right for left, right in bases) for column in truth["columns"]]
        assert raised[outside].max() < 0.05


def test_a_tumour_lifts_the_retina_and_shades_what_lies_behind():
    for seed in range(10):
        normal, healthy, images, truth = pair(seed, "tumour")
        tumour = truth["tumour"]
        column = np.argmin(np.abs(np.array(truth["columns"]) - tumour["centre"][0]))
        lifted = healthy["boundaries"]["bruch"][column] - truth["boundaries"]["bruch"][column]
        assert lifted * truth["pixel_um"][1] == pytest.approx(tumour["height_um"], rel=0.1)
        middle, half = tumour["centre"][0], tumour["radii"][0]
        behind = int(truth["boundaries"]["choroid_sclera"][column])
        block = np.s_[behind - 6 : behind, max(0, int(middle - half / 3)) : int(middle + half / 3)]
        assert normal["image"][block].mean() - images["image"][block].mean() > 15
        left, right = (end[0] for end in tumour["base"])
        columns = np.flatnonzero((images["mask"] == MASK["tumour"]).any(0))
        assert columns[0] >= left - 1
        assert columns[-1] + 1 <= right + 1


def quiet(**options):
    """An instrument with a grey scale of 0 to 102 dB, 2.5 grey values a dB, at 512 x 512 pixels, where no pixels are averaged."""
    scan = SimpleNamespace(field=60.0, depth=60.0, shift=0.0, frames=3, rolloff=0.0, signal=0.0, black=0.0, white=102.0)
    scan.__dict__.update(options)
    return scan, Grid(scan, 512, 512)


def test_speckle_is_exponential_power_averaged_over_frames():
    """The mean of n exponential powers is a gamma variable: its logarithm has mean ln P + digamma(n) - ln n and variance trigamma(n)."""
    for frames in (1, 4):
        scan, grid = quiet(frames=frames)
        grey = _detect(np.full((512, 512), 1e5, np.float32), scan, grid, np.random.default_rng(0)).astype(float)
        decibel = 10 / np.log(10)
        assert grey.mean() / 2.5 == pytest.approx(50 + decibel * (digamma(frames) - np.log(frames)), abs=0.1)
        assert grey.std() / 2.5 == pytest.approx(decibel * np.sqrt(polygamma(1, frames)), rel=0.02)


def test_signal_rolls_off_by_as_many_decibels_a_millimetre_as_the_truth_says():
    scan, grid = quiet(rolloff=0.5)
    grey = _detect(np.full((512, 512), 1e8, np.float32), scan, grid, np.random.default_rng(0)) / 2.5
    assert grey[:50].mean() - grey[-50:].mean() == pytest.approx(0.5 * 60 * 462 / 512, abs=0.2)


def test_speckle_grains_are_as_wide_as_the_beam_and_not_taller_than_the_gate():
    scan = draw_acquisition(np.random.default_rng(0))
    scan = SimpleNamespace(**{**scan.__dict__, "field": 2.0, "depth": 6.0, "frames": 1, "rolloff": 0.0})
    level = _detect(np.full((512, 512), 300.0, np.float32), scan, Grid(scan, 512, 512), np.random.default_rng(0)).astype(float)
    level -= level.mean()
    along, down = (level[:, 1:] * level[:, :-1]).mean() / level.var(), (level[1:] * level[:-1]).mean() / level.var()
    assert along > 0.5
    assert abs(down) < 0.05


def test_a_seed_gives_one_scan_and_a_view_another_of_the_same_eye():
    first, truth = draw([3, 1], "fluid", 64, 96)
    again, same = draw([3, 1], "fluid", 64, 96)
    assert all((first[name] == again[name]).all() for name in ("image", "mask"))
    assert truth == same == json.loads(json.dumps(truth))
    assert first["image"].shape == first["mask"].shape == (64, 96)
    assert first["image"].dtype == first["mask"].dtype == np.uint8
    other, seen = draw([3, 1], "fluid", 64, 96, view=9)
    assert seen["eye_um"] == truth["eye_um"]
    assert seen["acquisition"] != truth["acquisition"]
    assert (other["image"] != first["image"]).any()
    _, large = draw([3, 1], "fluid", 128, 192)
    assert np.array(large["boundaries"]["ilm"])[[0, -1]] == pytest.approx(2 * np.array(truth["boundaries"]["ilm"])[[0, -1]], abs=1.0)
    with pytest.raises(ValueError, match="normal, fluid, drusen, tumour"):
        draw(0, "glaucoma", 32, 32)
