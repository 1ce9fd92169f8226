"""Copies are found exactly and nearly, and one of each set stays whatever the order."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from schema.params import Duplicates
from tasks.ingesting.duplicates import ACROSS, WITHIN, find_copies, grey_distances, near_pairs, perceptual_hash, thumbnail


def facts(pixels: np.ndarray, identity: str, patient: str, digest: str) -> tuple[dict, bytes]:
    small = thumbnail(pixels)
    row = {"id": identity, "patient": patient, "label": "a", "native": digest, "sha256": digest, "hash": perceptual_hash(small)}
    return row, small


def reopened(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


CHANGES = {
    "compressed": lambda image: reopened(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
    "noise": lambda image: Image.fromarray(
        np.clip(np.asarray(image) + np.random.default_rng(0).normal(0, 5, np.asarray(image).shape), 0, 255).astype(np.uint8)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_of_radiographs_are_found_and_other_people_are_not(data_root, change):
    files = sorted((data_root / "nih_cxr14_256" / "images").glob("*.png"))[:120]
    images = [Image.open(path).convert("L") for path in files]
    copies = [CHANGES[change](image) for image in images[:60]]
    made = [facts(np.asarray(image), f"{k:04d}", str(k), str(k)) for k, image in enumerate([*images, *copies])]
    found = find_copies([row for row, _ in made], [small for _, small in made], Duplicates())
    assert sorted(found.aside) == list(range(120, 180)), "one of each pair, the one with the larger id, and nothing else"
    assert set(found.aside.values()) == {ACROSS}


def test_which_copy_stays_does_not_depend_on_the_order():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    made = [facts(pixels, identity, patient, "same") for identity, patient in (("c", "p"), ("a", "q"), ("b", "q"), ("d", "r"))]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        rows, small = [made[k][0] for k in order], [made[k][1] for k in order]
        for within, gone in (("keep", {"c": ACROSS, "d": ACROSS}), ("quarantine", {"c": ACROSS, "d": ACROSS, "b": WITHIN})):
            found = find_copies(rows, small, Duplicates(within=within))
            assert {rows[index]["id"]: reason for index, reason in found.aside.items()} == gone
            assert (found.across, found.within, found.images) == (1, 0, 4)


@pytest.mark.parametrize("distance", [0, 3, 6])
def test_near_pairs_are_all_pairs_within_the_distance(distance):
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 400, dtype=np.uint64)
    for k in range(200):  # each of the second half differs from its partner in k % 9 bits
        for bit in rng.choice(64, k % 9, replace=False):
            hashes[200 + k] = (hashes[200 + k] if bit != -1 else 0) ^ (np.uint64(1) << np.uint64(bit))
        hashes[200 + k] = hashes[k]
        for bit in rng.choice(64, k % 9, replace=False):
            hashes[200 + k] ^= np.uint64(1) << np.uint64(bit)
    found = {(int(a), int(b)) for one, other in near_pairs(hashes, distance) for a, b in zip(one, other, strict=True)}
    every = {(a, b) for a in range(400) for b in range(a + 1, 400) if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= distance}
    assert found == every
    assert len(every) >= 20


def test_grey_distance_knows_no_exposure_and_is_the_noise_that_was_added():
    rng = np.random.default_rng(2)
    plain = rng.integers(60, 200, (1, 1024)).astype(np.uint8)
    darker = (plain * 0.5 + 10).astype(np.uint8)
    assert grey_distances(plain, darker)[0] < 0.5
    noisy = np.clip(np.rint(plain + rng.normal(0, 8, plain.shape)), 0, 255).astype(np.uint8)
    assert grey_distances(plain, noisy)[0] == pytest.approx(8, rel=0.05)
    assert grey_distances(np.zeros_like(plain), plain)[0] == pytest.approx(plain.std(), rel=1e-3)
