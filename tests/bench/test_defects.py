"""Each defect is what its name says, and nothing else."""

import numpy as np
import pytest

from bench import defects
from schema.images import RealImages
from tests.contracts.test_gates import blobs

RELEASE, TRAIN = blobs(200, 1), blobs(300, 2)


def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def rows(pixels: np.ndarray) -> list[bytes]:
    return [image.tobytes() for image in pixels]


@pytest.mark.parametrize(("share", "count"), [(0.001, 1), (0.01, 2), (0.5, 100)])
def test_so_many_are_copies_with_their_labels_and_none_comes_twice(share, count):
    bad = defects.with_copies(RELEASE, TRAIN, share, chance())
    labels = dict(zip(rows(TRAIN.pixels), TRAIN.labels.tolist(), strict=True))
    copied = [(row, label) for row, label in zip(rows(bad.pixels), bad.labels.tolist(), strict=True) if row in labels]
    assert len(copied) == len(dict(copied)) == count
    assert all(labels[row] == label for row, label in copied)
    assert sum(row not in set(rows(RELEASE.pixels)) for row in rows(bad.pixels)) == count


def test_a_near_copy_is_another_image_by_no_more_than_it_says():
    image = TRAIN.pixels[0]
    assert (defects.flipped(image, chance())[:, ::-1] == image).all()
    noise = defects.noisy(image, chance()).astype(int) - image
    assert 2 < noise.std() < 4
    moved = defects.shifted(image, chance())
    inside = moved[2:-2, 2:-2]
    found = [(y, x) for y in range(5) for x in range(5) if (image[y : y + 12, x : x + 12] == inside).all()]
    assert len(found) == 1
    assert 2 not in found[0]
    view = defects.another_view(image, chance())
    assert view.shape == image.shape
    assert np.corrcoef(view.ravel(), image.ravel())[0, 1] > 0.6
    assert not (view == image).all()


def test_a_collapse_keeps_the_classes_and_little_else():
    few = defects.repeated(RELEASE, 4, chance())
    assert (few.labels == RELEASE.labels).all()
    flat = few.pixels.reshape(len(few), -1).astype(float)
    apart = np.sqrt(np.square(flat[:, None] - flat[None]).mean(axis=2))
    assert len({tuple(row) for row in apart < 10}) == 4
    cluster = defects.one_cluster(RELEASE, 0.1, chance())
    assert (cluster.labels == RELEASE.labels).all()
    for label in (0, 1):
        of = [images.pixels[images.labels == label].astype(float) for images in (RELEASE, cluster)]
        assert of[1].var(axis=0).mean() < of[0].var(axis=0).mean()


def test_the_rarest_class_goes_and_the_others_stay():
    rare = RELEASE.take(np.flatnonzero((RELEASE.labels == 0) | (np.arange(200) < 40)))
    kept = defects.without_rarest_class(rare)
    assert set(kept.labels.tolist()) == {0}
    assert len(kept) == 100


def test_shuffled_labels_keep_their_shares_and_lose_their_meaning():
    bad = defects.labels_shuffled(RELEASE, chance())
    assert (bad.pixels == RELEASE.pixels).all()
    assert bad.labels.sum() == RELEASE.labels.sum()
    assert abs((bad.labels == RELEASE.labels).mean() - 0.5) < 0.15


def test_blur_and_wrong_resizing_change_pixels_as_they_should():
    # A Gaussian of one pixel leaves 1 / (4 pi) of the variance of white noise.
    noise = np.random.default_rng(0).normal(128, 20, (50, 32, 32, 1)).round().astype(np.uint8)
    release = type(RELEASE)(noise, RELEASE.labels[:50], RELEASE.ids[:50], RELEASE.patients[:50], RELEASE.classes)
    inside = defects.blurred(release, 1.0).pixels[:, 4:-4, 4:-4]
    assert inside.var() == pytest.approx(noise.var() / (4 * np.pi), rel=0.1)
    coarse = defects.wrongly_resized(release).pixels
    assert (coarse[:, ::2, ::2] == noise[:, ::2, ::2]).all()
    assert (coarse[:, ::2, ::2] == coarse[:, 1::2, 1::2]).all()


def test_a_leak_is_views_of_training_images_under_other_ids():
    real = RealImages(train=TRAIN, holdout=blobs(100, 3), test=blobs(60, 4))
    bad = defects.leaking(real, 0.1, chance())
    assert (bad.train.pixels == TRAIN.pixels).all()
    for before, after, leaked in ((real.holdout, bad.holdout, 10), (real.test, bad.test, 6)):
        assert (before.pixels != after.pixels).any(axis=(1, 2, 3)).sum() == leaked
        assert not set(after.patients) & set(TRAIN.patients)
    assert defects.each_image_its_own_patient(TRAIN).patients == TRAIN.ids
