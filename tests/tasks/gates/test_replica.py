"""Copies that were planted are found, and images of other patients are not taken for copies."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from models.phantoms.chest import draw_chest
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates._copies import excess_interval, share_interval
from tasks.gates.replica import Config, Plugin

TRAIN, UNSEEN, RELEASE = 400, 200, 512
PLANTED = 5
"""1 % of the release."""


def images(pixels: np.ndarray, prefix: str, patients: list[str] | None = None) -> Images:
    ids = [f"{prefix}{k}" for k in range(len(pixels))]
    return Images(np.ascontiguousarray(pixels), np.zeros(len(pixels), dtype=np.int64), ids, patients or ids, ["one"])


def splits(train: np.ndarray, holdout: np.ndarray, test: np.ndarray) -> RealImages:
    return RealImages(images(train, "train-"), images(holdout, "holdout-"), images(test, "test-"))


def measured(real: RealImages, release: np.ndarray, **config):
    gate = Plugin(Config(**{"threshold": 0.005, **config}), None)
    finding = gate.measure(real, images(release, "synthetic-"))
    return finding, gate.status(finding)


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    """Chest phantoms of patients who are all different."""
    return np.stack([draw_chest([5, k], "normal", 32, 32)[0] for k in range(TRAIN + UNSEEN + RELEASE)])[..., None]


@pytest.fixture(scope="module")
def real(phantoms) -> RealImages:
    return splits(phantoms[:TRAIN], phantoms[TRAIN : TRAIN + UNSEEN // 2], phantoms[TRAIN + UNSEEN // 2 : TRAIN + UNSEEN])


@pytest.fixture(scope="module")
def release(phantoms) -> np.ndarray:
    return phantoms[TRAIN + UNSEEN :]


def noisy(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels + np.random.default_rng(0).normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)


def compressed(pixels: np.ndarray) -> np.ndarray:
    def through(image: np.ndarray) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(image[:, :, 0]).save(stream, "JPEG", quality=75)
        return np.asarray(Image.open(stream))[..., None]

    return np.stack([through(image) for image in pixels])


ALTERATIONS = {
    "none": lambda pixels: pixels,
    "mirrored": lambda pixels: pixels[:, :, ::-1],
    "shifted": lambda pixels: np.pad(pixels, ((0, 0), (2, 0), (0, 1), (0, 0)), mode="edge")[:, :-2, 1:],
    "mirrored_and_shifted": lambda pixels: np.pad(pixels, ((0, 0), (0, 0), (2, 0), (0, 0)), mode="edge")[:, :, :-2][:, :, ::-1],
    "darker with less contrast": lambda pixels: (pixels * 0.7 + 10).astype(np.uint8),
    "noise": noisy,
    "JPEG": compressed,
    "blended into another image": lambda pixels: (0.75 * pixels + 0.25 * np.roll(pixels, 1, axis=0)).astype(np.uint8),
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_one_percent_of_copies_fails_whatever_was_done_to_them(how, real, release):
    sources = [3, 50, 121, 222, 399]
    planted = release.copy()
    planted[: 100 * PLANTED : 100] = ALTERATIONS[how](real.train.pixels[sources])
    found, status = measured(real, planted)
    assert status is Status.FAIL
    assert found.evidence["share"] == pytest.approx(PLANTED / RELEASE)
    pairs = {(pair["synthetic"], pair["train"]) for pair in found.evidence["pairs"]}
    assert pairs == {(f"synthetic-{100 * k}", f"train-{source}") for k, source in enumerate(sources)}
    exact = PLANTED if how in ("none", "mirrored") else 0
    assert (found.evidence["copies"], found.evidence["near_copies"]) == (exact, PLANTED - exact)
    kind = how if how in found.evidence["alterations"] else "otherwise"
    assert found.evidence["alterations"][kind] == PLANTED


def test_images_of_other_patients_pass(real, release):
    found, status = measured(real, release, threshold=0.01)
    assert status is Status.PASS
    assert found.evidence["copies"] == found.evidence["near_copies"] == 0
    # None of 512: Clopper and Pearson's upper end
    assert found.interval[1] == pytest.approx(1 - 0.025 ** (1 / RELEASE))
    assert measured(real, release, threshold=0.005)[1] is Status.INSUFFICIENT


def test_noise_and_constant_images_are_no_copies(real):
    random = np.random.default_rng(0)
    found, _ = measured(real, random.integers(0, 256, (200, 32, 32, 1), dtype=np.uint8))
    assert found.evidence["share"] == 0
    found, _ = measured(real, np.repeat(np.arange(200, dtype=np.uint8)[:, None, None, None], 32, axis=1).repeat(32, axis=2))
    assert found.evidence["share"] == 0
    noise = random.integers(0, 256, (900, 16, 16, 1), dtype=np.uint8)
    found, status = measured(splits(noise[:300], noise[300:400], noise[400:500]), noise[500:], threshold=0.01)
    assert (found.evidence["share"], found.null.value, status) == (0, 0, Status.PASS)


def test_a_single_image_settles_nothing_unless_it_is_a_copy(real, release):
    assert measured(real, release[:1])[1] is Status.INSUFFICIENT
    assert measured(real, real.train.pixels[:1])[1] is Status.FAIL


def test_what_cannot_be_compared_is_insufficient_and_says_why(real, release):
    flat = splits(*(np.full((n, 32, 32, 1), 7, dtype=np.uint8) for n in (60, 60, 60)))
    few = splits(release[:30], release[30:60], release[60:90])
    unseen_flat = splits(release[:100], np.full((60, 32, 32, 1), 7, dtype=np.uint8), release[:5])
    for sets, pixels, words in (
        (flat, release, "do not vary"),
        (few, release, "too few"),
        (unseen_flat, release, "of more than one value"),
        (real, release[:0], "no synthetic image"),
        (real, release[:, :16, :16], "differ in size"),
    ):
        found, status = measured(sets, pixels)
        assert (found.value, status) == (None, Status.INSUFFICIENT)
        assert words in found.reason


def test_a_holdout_full_of_copies_excuses_no_release(real, release):
    holdout = real.holdout.pixels.copy()
    holdout[:12] = noisy(real.train.pixels[100:112])
    leaky = splits(real.train.pixels, holdout, real.test.pixels)
    copied = release.copy()
    copied[:20] = noisy(real.train.pixels[:20])
    found, status = measured(leaky, copied)
    assert found.evidence["unseen_near_copies"] == 12
    assert found.value < 0
    assert status is Status.INSUFFICIENT
    assert "mend the split" in found.reason


def test_pneumonia_has_twins_but_other_patients_are_no_copies(data_root):
    """Real X-rays, twins of one patient among them: a release of real images of others does not fail, 1 % of noisy copies does."""
    with np.load(data_root / "medmnist" / "pneumoniamnist.npz") as archive:
        pixels = np.unique(archive["train_images"], axis=0)
    pixels = np.random.default_rng(0).permutation(pixels)[..., None]
    sets = splits(pixels[:1500], pixels[1500:1900], pixels[1900:2300])
    others = pixels[2300:3300].copy()
    assert measured(sets, others)[1] is not Status.FAIL
    others[:10] = noisy(sets.train.pixels[:10])
    found, status = measured(sets, others)
    assert status is Status.FAIL
    assert {(f"synthetic-{k}", f"train-{k}") for k in range(10)} <= {(pair["synthetic"], pair["train"]) for pair in found.evidence["pairs"]}


def test_intervals_are_those_of_the_literature():
    exact = binomtest(3, 40).proportion_ci(0.95, method="exact")
    assert share_interval(3 / 40, 40) == pytest.approx((exact.low, exact.high))
    # Newcombe (1998), table II, with no event in either sample: the ends are those of the two exact intervals
    low, high = excess_interval((0.0, 100), (0.0, 50))
    assert (low, high) == pytest.approx((-(1 - 0.025 ** (1 / 50)), 1 - 0.025 ** (1 / 100)))


def test_one_training_image_given_out_mirrored_fails_by_itself(real, release):
    planted = np.concatenate([np.repeat(release, 6, axis=0), real.train.pixels[:1, :, ::-1]])
    found, status = measured(real, planted, threshold=0.1)
    assert found.value < 0.1
    assert status is Status.FAIL


def test_a_bound_under_which_no_copy_could_lie_settles_nothing(real, release):
    found, status = measured(real, release, deviations=100)
    assert status is Status.INSUFFICIENT
    assert "recognised" in found.reason
