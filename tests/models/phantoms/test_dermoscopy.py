"""The dermoscopy phantom: what its truth says is what its pixels show."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from models.phantoms.dermoscopy import LABELS, draw
from models.phantoms.dermoscopy_anatomy import BEARINGS, Lesion, draw_lesion

SIZE = 224
SEEDS = range(8)


@cache
def drawn(seed: int, label: str) -> tuple[np.ndarray, np.ndarray, dict]:
    images, truth = draw(seed, label, SIZE, SIZE)
    return images["image"].astype(int), images["mask"] > 0, truth


def lesion(outline: np.ndarray, **given) -> Lesion:
    plain = {"softness": np.full(360, 0.1), "abrupt": np.zeros(8, bool), "pigment": 0.5, "network": 0.0, "network_spacing": 0.3}
    rest = {"irregular": 0.0, "clumps": 0.0, "regions": [], "spots": [], "colours": ("light-brown",), "structures": ()}
    return Lesion(outline=outline, **{**plain, **rest, **given})


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_is_where_the_picture_is_dark(seed):
    """A threshold half-way between the skin's lightness and the naevus's finds the mask."""
    image, mask, _ = drawn(seed, "naevus")
    light = ndimage.gaussian_filter(image.mean(2), 1.5)
    core, skin = (
        np.median(light[part])
        for part in (mask, ndimage.binary_dilation(~mask, iterations=1) & ~ndimage.binary_dilation(mask, iterations=20))
    )
    found = light < (core + skin) / 2
    assert core < skin - 25
    assert (found & mask).sum() / (found | mask).sum() > 0.75


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_differ_by_the_lesion_alone(seed):
    (naevus, small, _), (melanoma, large, _) = drawn(seed, "naevus"), drawn(seed, "melanoma")
    pixel = drawn(seed, "naevus")[2]["pixel_mm"]
    outside = ndimage.distance_transform_edt(~(small | large)) * pixel
    difference = np.abs(naevus - melanoma).max(2)
    assert difference[small | large].mean() > 10
    assert not difference[outside > 1.8].any()
    assert difference[outside > 1.0].max(initial=0) < 12


@pytest.mark.parametrize("label", LABELS)
def test_area_and_diameter_of_the_mask_are_those_of_the_truth(label):
    for seed in SEEDS:
        _, mask, truth = drawn(seed, label)
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue
        pixel = truth["pixel_mm"]
        assert mask.sum() * pixel**2 == pytest.approx(truth["lesion"]["area_mm2"], rel=0.02)
        edge = np.argwhere(mask)
        assert (pdist(edge[ConvexHull(edge).vertices]).max() + 1) * pixel == pytest.approx(truth["diameter_mm"], abs=2 * pixel)
        assert truth["lesion"]["area"] == mask.sum()


def test_measures_of_an_ellipse_are_those_of_geometry():
    """Half axes a and b: area pi a b, diameter 2 a, no mismatch about its axes; a circle has compactness 1."""
    a, b = 3.0, 2.0
    ellipse = lesion(1 / np.hypot(np.cos(BEARINGS) / a, np.sin(BEARINGS) / b))
    assert ellipse.area == pytest.approx(np.pi * a * b, rel=1e-3)
    assert ellipse.diameter == pytest.approx(2 * a, rel=1e-6)
    assert max(ellipse.mismatch) < 1e-9
    circle = lesion(np.full(360, 2.0))
    assert circle.perimeter**2 / (4 * np.pi * circle.area) == pytest.approx(1.0, abs=1e-3)


def test_asymmetry_of_a_half_moon_is_about_one_axis():
    """Two half discs of radius 2 and 1 on one line: about that line the smaller is missed by the larger, 3/5 of the area."""
    halves = lesion(np.where(np.arange(360) < 180, 2.0, 1.0))
    assert sorted(halves.mismatch) == pytest.approx([0.0, 0.6], abs=0.03)
    assert halves.score["asymmetry"] == 1


def test_the_total_is_the_abcd_rule_and_divides_naevi_from_melanomas():
    for seed in range(40):
        for label in ("naevus", "melanoma"):
            found = draw_lesion(np.random.default_rng(seed), label)
            score = found.score
            parts = 1.3 * score["asymmetry"] + 0.1 * score["border"] + 0.5 * score["colours"] + 0.5 * score["structures"]
            assert score["total"] == pytest.approx(parts)
            assert (score["total"] > 5.45) if label == "melanoma" else (score["total"] < 4.75)
            assert score["border"] == found.abrupt.sum()
            assert set(found.colours) >= {region.kind for region in found.regions}


def test_regions_have_the_colour_that_they_are_called():
    """Against the brown of the same lesion: black is darker, white lighter, blue-grey bluer, and red has more blue beside its green:
    blood absorbs green most, melanin blue. Where two regions meet is left out."""
    measures = {
        "black": lambda rgb: -rgb.sum(-1),
        "white": lambda rgb: rgb.sum(-1),
        "blue-grey": lambda rgb: rgb[..., 2] / rgb[..., 0],
        "red": lambda rgb: rgb[..., 2] / rgb[..., 1],
    }
    right, seen = dict.fromkeys(measures, 0), dict.fromkeys(measures, 0)
    for seed in range(24):
        image, mask, truth = drawn(seed, "melanoma")
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        far = np.array([np.hypot(columns - r["centre"][0], rows - r["centre"][1]) / r["radius"] for r in truth["regions"]])
        brown = image[mask & (far > 1.6).all(0)] + 1.0
        for k, region in enumerate(truth["regions"]):
            others = np.delete(far, k, 0).min(0, initial=np.inf)
            core = image[(far[k] < 0.5) & (others > 1.4) & mask] + 1.0
            if len(core) > 20 and len(brown) > 100:
                seen[region["kind"]] += 1
                right[region["kind"]] += np.median(measures[region["kind"]](core)) > np.median(measures[region["kind"]](brown))
    assert min(seen.values()) >= 8
    assert all(right[kind] >= 0.9 * seen[kind] for kind in measures), (right, seen)


def test_hair_is_darker_than_the_skin_it_crosses():
    hairy = [seed for seed in range(30) if draw(seed, "naevus", 32, 32)[1]["hairs"] > 6]
    assert 2 <= len(hairy) <= 15
    roughness = {
        seed: np.abs(image - ndimage.uniform_filter(image, 9)).mean() for seed in range(30) for image in [drawn(seed, "naevus")[0].mean(2)]
    }
    bald = np.mean([roughness[seed] for seed in roughness if drawn(seed, "naevus")[2]["hairs"] == 0])
    assert np.mean([roughness[seed] for seed in hairy]) > 1.2 * bald


def test_a_lesion_is_the_same_at_every_size_and_in_every_view():
    small, large = draw(5, "melanoma", 128, 128), draw(5, "melanoma", 256, 256)
    assert large[1]["lesion"]["diameter"] == pytest.approx(2 * small[1]["lesion"]["diameter"], abs=1e-3)
    shrunk = large[0]["image"].reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.corrcoef(shrunk.ravel(), small[0]["image"].ravel())[0, 1] > 0.97
    one, two = (draw(5, "melanoma", 64, 64, view=view)[1] for view in (1, 2))
    for key in ("diameter_mm", "asymmetry", "border", "colours", "structures", "skin", "hairs"):
        assert one[key] == two[key]
    assert one["shot"] != two["shot"]
