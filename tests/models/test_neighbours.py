"""Nearest neighbours against brute force, and near copies against what was done to them."""

import numpy as np
import pytest

from models.neighbours import NEIGHBOURS, CopyFinder, View, equal, nearest, on_grid


def draw(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 1), dtype=np.uint8)


def names(n: int) -> list[str]:
    return [f"patient-{k}" for k in range(n)]


def textures(n: int, seed: int, size: int = 32) -> np.ndarray:
    """Images that share a structure and have a correlated texture each, as images of one body part do."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    own = gaussian_filter(random.normal(size=(n, size, size)), (0, size / 20, size / 20))
    common = gaussian_filter(np.random.default_rng(99).normal(size=(size, size)), size / 8)
    images = 128 + 40 * common / common.std() + 30 * own / own.std()
    return np.clip(images, 0, 255).astype(np.uint8)[..., None]


def test_nearest_is_what_brute_force_finds_whatever_the_block():
    queries, references = draw(23, 6, 3), draw(31, 6, 4)
    references[30] = references[4]  # of two equally near, the first
    queries[8] = references[4][:, ::-1]
    apart = np.array(
        [[[np.sqrt(np.mean((q[:, ::step].astype(int) - r) ** 2)) for r in references] for step in (1, -1)] for q in queries.astype(int)]
    )
    for block_bytes in (1, 5 * 36 * 8, 2**20):
        found = nearest(queries, references, block_bytes=block_bytes)
        np.testing.assert_allclose(found.distance, apart.min(axis=(1, 2)), rtol=1e-12)
        np.testing.assert_array_equal(found.index, apart.min(axis=1).argmin(axis=1))
        np.testing.assert_array_equal(found.mirrored, apart.min(axis=2).argmin(axis=1) == 1)
    assert found.distance[8] == 0
    assert found.index[8] == 4


def test_equal_images_are_found_as_they_are_and_mirrored():
    references = draw(20, 8)
    queries = np.concatenate([references[[7]], references[[3]][:, :, ::-1], references[[7]] ^ 1])
    index, mirrored = equal(queries, references)
    assert index.tolist() == [7, 3, -1]
    assert mirrored.tolist() == [False, True, False]


def test_a_cell_of_the_grid_is_the_mean_of_its_pixels():
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    np.testing.assert_allclose(on_grid(images), images.reshape(3, 32, 2, 32, 3, 3).mean(axis=(2, 4, 5)), rtol=1e-5)
    small = images[:, :16, :28]
    np.testing.assert_allclose(on_grid(small), small.mean(axis=3), rtol=1e-5)
    assert on_grid(images[:, :50, :33]).shape == (3, 32, 32)


def test_distances_are_those_of_brute_force():
    """Whitened cosines over every flip and shift, each computed by itself in float64."""
    references, queries = textures(120, 1, 16), textures(15, 2, 16)
    finder = CopyFinder(references, names(120))
    found = finder.match(queries)

    def normalised(window):
        centred = window.ravel().astype(float) - window.mean()
        return centred / np.linalg.norm(centred)

    inside = np.stack([normalised(image[1:-1, 1:-1, 0]) for image in references])
    mean = inside.mean(axis=0)
    variances, vectors = np.linalg.eigh((inside - mean).T @ (inside - mean) / 120)
    for name, kept in finder.components.items():
        whiten = vectors[:, -kept:] / np.sqrt(variances[-kept:])
        against = (inside - mean) @ whiten
        against /= np.linalg.norm(against, axis=1, keepdims=True)
        for row, image in enumerate(queries):
            windows = [image[1 + y : 15 + y, 1 + x : 15 + x, 0][:, ::step] for step in (1, -1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
            laid = (np.stack([normalised(window) for window in windows]) - mean) @ whiten
            cosines = (laid / np.linalg.norm(laid, axis=1, keepdims=True)) @ against.T
            distances = np.sort(np.sqrt(2 - 2 * cosines.max(axis=0)))
            assert found[name].distance[row] == pytest.approx(distances[0], abs=1e-4)
            assert found[name].index[row] == cosines.max(axis=0).argmax()
            assert found[name].isolation[row] == pytest.approx(distances[0] / distances[1:NEIGHBOURS].mean(), abs=1e-4)
            assert found[name].runner_up[row] == pytest.approx(distances[1] / distances[2 : NEIGHBOURS + 1].mean(), abs=1e-4)


def test_a_copy_is_found_with_how_it_was_laid():
    references = textures(200, 1)
    moved = np.roll(references[:8], (2, -1), axis=(1, 2))
    flipped = references[8:16][:, :, ::-1]
    brighter = np.clip(references[16:24].astype(float) * 0.7 + 40, 0, 255).astype(np.uint8)
    found = CopyFinder(references, names(200)).match(np.concatenate([moved, flipped, brighter]))
    for match in found.values():
        np.testing.assert_array_equal(match.index, np.arange(24))
        assert match.isolation.max() < 0.1
        assert match.view[:8] == [View(False, 2, -1)] * 8
        assert match.view[8:16] == [View(True, 0, 0)] * 8
        assert match.view[16:] == [View(False, 0, 0)] * 8
        assert match.rmse[:16].max() == 0
        assert match.rmse[16:].min() > 1


def test_images_of_one_patient_are_one_neighbour():
    """A training set that holds each image many times over, turned a little, must not hide the copies of it."""
    references = textures(60, 1)
    random = np.random.default_rng(0)
    again = np.repeat(references[:1], 40, axis=0) + random.integers(0, 3, (40, *references.shape[1:]), dtype=np.uint8)
    finder = CopyFinder(np.concatenate([references, again]), names(60) + ["patient-0"] * 40)
    copy, stranger = references[:1], textures(1, 2)
    near, far = (finder.match(image)["pixel"].isolation[0] for image in (copy, stranger))
    assert near < 0.01
    assert far > 0.5
    # Its own patient passed over, the image is like any other.
    assert finder.match(copy, ["patient-0"])["pixel"].isolation[0] > 0.5


def test_what_does_not_vary_resembles_nothing():
    references = textures(60, 1)
    references[5] = 77
    flat = np.full((1, 32, 32, 1), 77, dtype=np.uint8)
    match = CopyFinder(references, names(60)).match(flat)["pixel"]
    assert match.blank.all()
    assert match.isolation[0] == pytest.approx(1)
    with pytest.raises(ValueError, match="do not vary"):
        CopyFinder(np.repeat(flat, 60, axis=0), names(60))
    with pytest.raises(ValueError, match="do not vary"):
        CopyFinder(np.repeat(references[:1], 60, axis=0), names(60))
    with pytest.raises(ValueError, match="patients are fewer"):
        CopyFinder(references, ["one", "two"] * 30)
