"""The radiomics distance: real images of other patients pass with few images, blurred and blank ones do not."""

from dataclasses import replace

import numpy as np
import pytest

from models.radiomics import radiomics
from schema.digest import sha256_bytes
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates.frd import Config, Plugin
from tests.contracts.test_gates import blobs


@pytest.fixture(scope="module", autouse=True)
def _features_once():
    """The same images keep their features from one test to the next: mirp takes its time over each."""
    known: dict[str, tuple] = {}

    def once(pixels, tick=lambda _: None):
        key = sha256_bytes(pixels.tobytes()) + str(pixels.shape)
        if key not in known:
            known[key] = radiomics(pixels, tick)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.radiomics.radiomics", once)
        yield


@pytest.fixture(scope="module")
def real() -> RealImages:
    return RealImages(train=blobs(8, 1), holdout=blobs(40, 2), test=blobs(40, 3))


def judged(real: RealImages, synthetic: Images, threshold: float = 0.5):
    gate = Plugin(Config(threshold=threshold, images=32, bootstrap=40), None)
    found = gate.measure(real, synthetic)
    return gate.status(found), found


def test_32_images_like_the_real_ones_pass(real):
    status, found = judged(real, blobs(40, 4))
    assert status is Status.PASS
    assert found.n == {"synthetic": 32, "holdout": 32, "test": 32}
    assert found.null.value > 0
    assert found.evidence["features"] > 30


def test_blurred_images_fail_and_their_texture_is_named(real):
    images = blobs(40, 4)
    smooth = images.pixels.astype(float)
    smooth = sum(np.roll(smooth, (down, across), (1, 2)) for down in (-1, 0, 1) for across in (-1, 0, 1)) / 9
    status, found = judged(real, replace(images, pixels=smooth.astype(np.uint8)))
    assert status is Status.FAIL
    assert any(name.startswith(("cm_", "ngt_")) for name in found.evidence["furthest_features"])


def test_blank_images_fail_and_are_counted(real):
    images = blobs(40, 4)
    pixels = images.pixels.copy()
    pixels[:20] = 90
    status, found = judged(real, replace(images, pixels=pixels))
    assert status is Status.FAIL
    assert found.evidence["images_without_a_feature"] > 10


def test_a_single_image_and_blank_real_ones_cannot_be_judged(real):
    status, found = judged(real, blobs(1, 4))
    assert (status, found.value) == (Status.INSUFFICIENT, None)
    assert "synthetic images are too few, 1 where" in found.reason
    blank = replace(real.test, pixels=np.full_like(real.test.pixels, 90))
    status, found = judged(replace(real, test=blank), blobs(40, 4))
    assert (status, found.value) == (Status.INSUFFICIENT, None)
    assert "blank" in found.reason


def test_colour_images_are_judged_by_their_colours_too(real):
    def coloured(images: Images, scale: float) -> Images:
        return replace(images, pixels=np.concatenate([images.pixels, images.pixels, (images.pixels * scale).astype(np.uint8)], axis=3))

    colour = RealImages(*(coloured(images, 0.5) for images in (real.train, real.holdout, real.test)))
    assert judged(colour, coloured(blobs(40, 4), 0.5))[0] is Status.PASS
    status, found = judged(colour, coloured(blobs(40, 4), 1.0))
    assert status is Status.FAIL
    assert any(name.startswith("blue_") for name in found.evidence["furthest_features"])
