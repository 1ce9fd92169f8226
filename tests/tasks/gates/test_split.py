"""Splits that leak are caught: by the id, by the pixels, and by likeness where the ids hide it."""

import csv

import numpy as np
import pytest
from PIL import Image

from models.phantoms.chest import draw_chest
from schema.images import RealImages
from schema.verdict import Status
from tasks.gates.split import Config, Plugin
from tests.tasks.gates.test_replica import images, splits


def measured(real: RealImages, threshold: float = 0.02):
    gate = Plugin(Config(threshold=threshold), None)
    finding = gate.measure(real, real.train)
    return finding, gate.status(finding)


@pytest.fixture(scope="module")
def phantoms() -> np.ndarray:
    return np.stack([draw_chest([6, k], "normal", 32, 32)[0] for k in range(600)])[..., None]


def second_photograph(image: Image.Image, seed: int) -> Image.Image:
    """The same lesion again: taken a little to the side, under another light, saved anew."""
    random = np.random.default_rng(seed)
    across, down = random.integers(-8, 9, 2)  # of 224 pixels
    moved = image.transform(image.size, Image.Transform.AFFINE, (1, 0, across, 0, 1, down), Image.Resampling.BILINEAR)
    light = np.asarray(moved, dtype=float) * random.uniform(0.8, 1.1) + random.normal(0, 4, (*image.size, 3))
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def lesions(data_root) -> tuple[np.ndarray, np.ndarray]:
    """Two photographs each of 400 lesions of HAM10000, at 64 x 64; the first is the archive's, the second made from it."""
    folder = data_root / "ham10000_224"
    with (folder / "labels.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))[::3][:400]
    assert len({row["lesion_id"] for row in rows}) == 400
    first = [Image.open(folder / "images" / row["image"]).convert("RGB") for row in rows]
    both = first, [second_photograph(image, seed) for seed, image in enumerate(first)]
    return tuple(np.stack([np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)) for image in side]) for side in both)


def test_a_clean_split_passes(phantoms):
    found, status = measured(splits(phantoms[:300], phantoms[300:450], phantoms[450:]))
    assert status is Status.PASS
    assert (found.value, found.null.value) == (0, 0)
    assert found.evidence["patients_in_two_splits"] == 0


def test_one_patient_in_two_splits_fails_at_once(phantoms):
    real = splits(phantoms[:300], phantoms[300:450], phantoms[450:])
    real.test.patients[7] = real.train.patients[0]
    found, status = measured(real, threshold=0.5)
    assert status is Status.FAIL
    assert found.value == 1 / 300
    assert found.evidence["patients_in_two_splits"] == 1
    real = splits(phantoms[:300], phantoms[300:450], phantoms[450:])
    real.test.patients[7] = real.holdout.patients[0]
    found, status = measured(real)
    assert (found.value, status) == (2 / 300, Status.FAIL)


def test_copies_under_other_ids_are_counted_and_named(phantoms):
    holdout = phantoms[300:450].copy()
    holdout[:6] = phantoms[20:26]
    holdout[6:10] = phantoms[26:30][:, :, ::-1]
    found, status = measured(splits(phantoms[:300], holdout, phantoms[450:]))
    assert status is Status.FAIL
    assert found.evidence["copies"] == 10
    assert found.evidence["share_by_split"] == {"holdout": 10 / 150, "test": 0}
    assert {(pair["unseen"], pair["train"]) for pair in found.evidence["pairs"]} == {(f"holdout-{k}", f"train-{20 + k}") for k in range(10)}


def test_lesions_split_by_image_are_caught_and_by_lesion_pass(lesions):
    """Real dermoscopy whose ids name images and not lesions: the members share the leak, which must not excuse it."""
    first, second = lesions
    order = np.random.default_rng(0).permutation(800)
    shuffled = np.concatenate([first, second])[order]
    leaky = splits(shuffled[:500], shuffled[500:650], shuffled[650:])
    twins = np.isin((order % 400)[500:], (order % 400)[:500]).mean()
    found, status = measured(leaky)
    assert status is Status.FAIL
    assert found.evidence["share"] == pytest.approx(twins, abs=0.1)
    assert found.evidence["members_share"] > 0.3
    assert found.null.value < 0.02
    by_lesion = [np.concatenate([first[part], second[part]]) for part in (slice(250), slice(250, 325), slice(325, 400))]
    names = [[f"lesion-{k}" for k in (*range(400)[part], *range(400)[part])] for part in (slice(250), slice(250, 325), slice(325, 400))]
    clean = RealImages(*(images(pixels, f"{k}-", patients) for k, (pixels, patients) in enumerate(zip(by_lesion, names, strict=True))))
    found, status = measured(clean, threshold=0.05)
    assert status is Status.PASS
    assert found.evidence["members_share"] < 0.02


def test_pneumonia_split_by_image_has_its_natural_duplicates_on_both_sides(data_root):
    """PneumoniaMNIST holds the same X-ray more than once: what is found exactly is what comparing every byte finds."""
    with np.load(data_root / "medmnist" / "pneumoniamnist.npz") as archive:
        train, val, test = (archive[f"{part}_images"][..., None] for part in ("train", "val", "test"))
    train = train[:2500]
    known = {image.tobytes() for image in train} | {image[:, ::-1].tobytes() for image in train}
    twins = sum(image.tobytes() in known for image in np.concatenate([val, test]))
    found, _ = measured(splits(train, val, test))
    assert twins > 0
    assert found.evidence["copies"] == twins


def test_what_cannot_be_judged_is_insufficient(phantoms):
    flat = np.full((60, 32, 32, 1), 9, dtype=np.uint8)
    for real, words in (
        (splits(phantoms[:300], phantoms[300:310], phantoms[310:311]), "too few"),
        (splits(phantoms[:300], phantoms[300:400], phantoms[:0]), "too few"),
        (splits(flat, flat, flat), "do not vary"),
        (splits(phantoms[:300], phantoms[300:400, :16], phantoms[400:]), "different sizes"),
    ):
        found, status = measured(real)
        assert (found.value, status) == (None, Status.INSUFFICIENT)
        assert words in found.reason


def test_four_images_of_each_under_ids_of_their_own_never_pass(phantoms):
    """Nearest and second nearest are of the same person then, and what is calibrated on them would call nothing a copy."""
    random = np.random.default_rng(0)
    taken = np.repeat(phantoms[:150], 4, axis=0) + random.normal(0, 4, (600, 32, 32, 1))
    mixed = np.clip(taken, 0, 255).astype(np.uint8)[random.permutation(600)]
    _, status = measured(splits(mixed[:400], mixed[400:500], mixed[500:]))
    assert status is not Status.PASS
