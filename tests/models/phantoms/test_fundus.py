"""The fundus phantom: what its truth says is what its pixels show."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from models.phantoms.fundus import draw
from models.phantoms.fundus_anatomy import draw_eye

SIZE = 384
SEEDS = range(6)
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE] + 0.5


@cache
def drawn(seed: int, label: str) -> tuple[np.ndarray, np.ndarray, dict]:
    images, truth = draw(seed, label, SIZE, SIZE)
    return images["image"].astype(int), images["vessels"] > 0, truth


def change(seed: int, label: str) -> np.ndarray:
    """The greatest difference of a colour from the normal picture of the same seed."""
    return np.abs(drawn(seed, label)[0] - drawn(seed, "normal")[0]).max(2)


def away(centre: list[float]) -> np.ndarray:
    return np.hypot(COLUMNS - centre[0], ROWS - centre[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_there_is_one_fovea_and_it_is_the_darkest_place_of_the_macula(seed):
    """And nowhere else clear of the disc does a place of its size, vessels left out, stand out so dark from the ring about it."""
    image, vessels, truth = drawn(seed, "normal")
    (fovea,) = truth["foveas"]
    diameter, millimetre = 2 * truth["disc"]["radius"], 1 / truth["pixel_mm"]
    bare = 1.0 * ~ndimage.binary_dilation(vessels)
    smooth = [ndimage.gaussian_filter(each * bare, 0.15 * millimetre) for each in (image.sum(2), 1.0)]
    light = np.log(smooth[0] / np.maximum(smooth[1], 0.01) + 1)
    from_fovea = away(fovea["centre"])
    darkest = np.unravel_index(np.where(from_fovea < diameter, light, np.inf).argmin(), light.shape)
    assert from_fovea[darkest] < 0.15 * diameter
    depth = ndimage.gaussian_filter(light, 0.75 * millimetre) - ndimage.gaussian_filter(light, 0.25 * millimetre)
    inside = away(truth["field"]["centre"]) < truth["field"]["radius"] - 1.5 * millimetre
    clear = inside & (away(truth["disc"]["centre"]) > 1.5 * diameter)
    deepest = np.unravel_index(np.where(clear, depth, -np.inf).argmax(), depth.shape)
    assert from_fovea[deepest] < 0.2 * diameter
    assert depth[deepest] > 1.2 * depth[clear & (from_fovea > 0.6 * diameter)].max()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_disc_is_the_brightest_place_and_the_fovea_lies_temporal_of_it_and_below(seed):
    image, _, truth = drawn(seed, "normal")
    light = ndimage.gaussian_filter(image.sum(2).astype(float), 3)
    brightest = np.unravel_index(light.argmax(), light.shape)
    assert away(truth["disc"]["centre"])[brightest] < truth["disc"]["radius"]
    (disc_x, disc_y), (fovea_x, fovea_y) = truth["disc"]["centre"], truth["foveas"][0]["centre"]
    assert (fovea_x < disc_x) == (truth["laterality"] == "right")
    assert fovea_y > disc_y
    distance = np.hypot(fovea_x - disc_x, fovea_y - disc_y)
    assert distance == pytest.approx(truth["foveas"][0]["from_disc"], abs=0.01)
    assert 2.3 <= distance / (2 * truth["disc"]["radii"][1]) <= 2.65


@pytest.mark.parametrize("seed", SEEDS)
def test_glaucoma_changes_the_disc_alone_and_the_cup_measures_as_in_the_truth(seed):
    """The enlarged cup brightens what was rim: how high that is, over the height of the disc, is the vertical cup-to-disc ratio."""
    image, _, truth = drawn(seed, "glaucoma")
    normal, _, healthy = drawn(seed, "normal")
    changed = change(seed, "glaucoma")
    assert away(truth["disc"]["centre"])[changed > 0].max() < 1.3 * truth["disc"]["radius"]
    rows = np.flatnonzero((np.abs(image - normal).sum(2) > 40).any(1))
    ratio = (rows[-1] - rows[0] + 1) / (2 * truth["disc"]["radii"][1])
    assert ratio == pytest.approx(truth["cup_to_disc_ratio"], abs=0.06)
    assert healthy["cup_to_disc_ratio"] <= 0.5 < 0.7 <= truth["cup_to_disc_ratio"]
    assert {k: v for k, v in healthy.items() if k in ("foveas", "vessels", "eye", "shot", "field")} == {
        k: v for k, v in truth.items() if k in ("foveas", "vessels", "eye", "shot", "field")
    }


@pytest.mark.parametrize("label", ["diabetic-retinopathy", "amd"])
@pytest.mark.parametrize("seed", range(4))
def test_lesions_can_be_counted_and_found_where_the_truth_says(seed, label):
    """At 512 pixels the difference from the normal picture falls apart into as many places as there are lesions, each of which holds one
    centre."""
    images, truth = draw(seed, label, 512, 512)
    normal, _ = draw(seed, "normal", 512, 512)
    changed = np.abs(images["image"].astype(int) - normal["image"]).max(2) > 8
    places, count = ndimage.label(changed, np.ones((3, 3)))
    assert count == len(truth["lesions"]) == truth["lesion_count"] > 10
    found = {places[int(lesion["centre"][1]), int(lesion["centre"][0])] for lesion in truth["lesions"]}
    assert found == set(range(1, count + 1))
    areas = ndimage.sum(changed, places, range(1, count + 1))
    told = {places[int(each["centre"][1]), int(each["centre"][0])]: np.pi * each["radius"] ** 2 for each in truth["lesions"]}
    assert np.corrcoef(areas, [told[place] for place in range(1, count + 1)])[0, 1] > 0.95


def test_blood_darkens_and_deposits_brighten():
    darkens = {"microaneurysm": True, "haemorrhage": True, "hard-exudate": False, "cotton-wool-spot": False, "druse": False}
    seen = set()
    for seed in SEEDS:
        for label in ("diabetic-retinopathy", "amd"):
            image, _, truth = drawn(seed, label)
            difference = (image - drawn(seed, "normal")[0])[..., 1]
            for lesion in truth["lesions"]:
                middle = difference[int(lesion["centre"][1]), int(lesion["centre"][0])]
                assert (middle < 0) == darkens[lesion["kind"]]
                seen.add(lesion["kind"])
    assert seen == set(darkens)


@pytest.mark.parametrize("seed", SEEDS)
def test_vessels_are_dark_where_the_mask_is_and_leave_the_fovea_free(seed):
    image, vessels, truth = drawn(seed, "normal")
    background = away(truth["disc"]["centre"]) > 1.2 * truth["disc"]["radius"]
    field = away(truth["field"]["centre"]) < truth["field"]["radius"] - 8
    local = image[..., 1] - ndimage.gaussian_filter(image[..., 1].astype(float), 6)
    thick = ndimage.binary_opening(vessels, np.ones((2, 2)))
    assert local[thick & field & background].mean() < local[~vessels & field & background].mean() - 6
    assert (vessels[away(truth["foveas"][0]["centre"]) < 0.33 / truth["pixel_mm"]]).sum() == 0
    assert truth["vessels"]["area"] == vessels.sum()
    assert 0.06 < truth["vessels"]["share"] < 0.2


def test_arteries_are_two_thirds_as_wide_as_veins_and_branch_by_murrays_law():
    """Where a branch leaves, its radius cubed and that of what goes on are the cube of what came (within the taper of a step)."""
    for seed in range(5):
        eye = draw_eye(np.random.default_rng(seed))
        assert eye.arteries.trunks.mean() / eye.veins.trunks.mean() == pytest.approx(0.67, abs=0.08)
        branchings = 0
        for tree in (eye.arteries, eye.veins):
            places = {}
            for row, at in np.argwhere(tree.drawn[:, 1:-1]) + np.array([0, 1]):
                places.setdefault((tree.x[row, at], tree.y[row, at]), []).append((row, at))
            for twig in np.flatnonzero(tree.drawn[:, 1]):
                for row, at in places.get((tree.x[twig, 0], tree.y[twig, 0]), []):
                    before, after, branch = tree.radius[row, at], tree.radius[row, at + 1], tree.radius[twig, 0]
                    assert after**3 + branch**3 == pytest.approx(before**3, rel=0.04)
                    branchings += 1
        assert branchings > 60


def test_an_eye_is_the_same_at_every_size_and_in_every_view():
    small, large = draw(5, "diabetic-retinopathy", 128, 128), draw(5, "diabetic-retinopathy", 256, 256)
    assert np.array(large[1]["foveas"][0]["centre"]) == pytest.approx(2 * np.array(small[1]["foveas"][0]["centre"]), abs=1e-3)
    assert [each["kind"] for each in large[1]["lesions"]] == [each["kind"] for each in small[1]["lesions"]]
    shrunk = large[0]["image"].reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.corrcoef(shrunk.ravel(), small[0]["image"].ravel())[0, 1] > 0.99
    one, two = (draw(5, "diabetic-retinopathy", 64, 64, view=view)[1] for view in (1, 2))
    assert one["eye"] == two["eye"]
    assert one["laterality"] == two["laterality"]
    assert one["shot"] != two["shot"]
    assert one["lesions"] != two["lesions"]
