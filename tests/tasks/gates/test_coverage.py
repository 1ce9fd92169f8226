"""The coverage gate: lost classes, wrong shares, wrong labels and collapsed modes fail; other patients' images do not."""

from dataclasses import replace

import numpy as np
import pytest

from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates.coverage import FORMS, LOST, SHARES, SHOWN, Config, Plugin
from tests.contracts.test_gates import blobs

REAL = RealImages(train=blobs(400, 1), holdout=blobs(160, 2), test=blobs(160, 3))


def measured(synthetic: Images, real: RealImages = REAL, **config):
    gate = Plugin(Config(**{"threshold": 0.15, "steps": 40, "bootstrap": 200} | config), None)
    found = gate.measure(real, synthetic)
    return gate.status(found), found, {claim["claim"]: claim["status"] for claim in found.evidence["claims"]}


def test_other_images_of_the_same_kind_pass():
    status, found, claims = measured(blobs(200, 4))
    assert status is Status.PASS
    assert list(claims) == [LOST, SHARES, SHOWN, FORMS]
    assert found.evidence["classes"][0]["shown_real"] > 0.9
    assert found.null.value == found.evidence["claims"][2]["null"]


def test_a_lost_class_fails_whatever_the_interval_and_whatever_is_allowed():
    for threshold in (0.15, 2.0):
        status, found, claims = measured(blobs(200, 4).take(np.arange(0, 200, 2)), threshold=threshold)
        assert status is Status.FAIL
        assert (found.value, found.interval) == (1.0, (1.0, 1.0))
        assert claims[LOST] == "FAIL"
        assert "No image is labelled right" in found.reason


def test_a_single_image_has_lost_a_class():
    assert measured(blobs(1, 4))[0] is Status.FAIL


def test_shuffled_labels_fail():
    images = blobs(200, 4)
    status, found, claims = measured(replace(images, labels=np.random.default_rng(0).permutation(images.labels)))
    assert status is Status.FAIL
    assert claims[SHOWN] == "FAIL"
    assert found.value == pytest.approx(0.5, abs=0.12), "half of the labels are right by chance"


def test_collapsed_modes_fail_though_every_image_shows_its_class():
    images = blobs(200, 4)
    few = np.arange(200) % 8
    status, _, claims = measured(replace(images, pixels=images.pixels[few], labels=images.labels[few]))
    assert status is Status.FAIL
    assert (claims[SHOWN], claims[FORMS]) == ("PASS", "FAIL")


def test_shares_are_judged_against_those_asked_for():
    """Three in four are left where half were asked for: a total variation distance of a quarter."""
    images = blobs(400, 4)
    rows = np.concatenate([np.flatnonzero(images.labels == 0)[:150], np.flatnonzero(images.labels == 1)[:50]])
    skewed = images.take(rows)
    status, found, claims = measured(skewed)
    assert status is Status.FAIL
    assert claims == {LOST: "PASS", SHARES: "FAIL", SHOWN: "PASS", FORMS: "PASS"}
    assert found.evidence["claims"][1]["measured"] == pytest.approx(0.25)
    train = REAL.train.take(np.concatenate([np.flatnonzero(REAL.train.labels == 0), np.flatnonzero(REAL.train.labels == 1)[:67]]))
    as_asked = measured(skewed, replace(REAL, train=train))[2]
    assert as_asked[SHARES] == "PASS"
    assert measured(skewed, replace(REAL, train=train), prevalence="uniform")[2][SHARES] == "FAIL"


def test_constant_synthetic_images_fail_and_constant_real_ones_cannot_judge():
    images = blobs(200, 4)
    assert measured(replace(images, pixels=np.full_like(images.pixels, 90)))[0] is Status.FAIL
    flat = RealImages(*(replace(of, pixels=np.full_like(of.pixels, 90)) for of in (REAL.train, REAL.holdout, REAL.test)))
    status, found, _ = measured(images, flat)
    assert status is Status.INSUFFICIENT
    assert "not told apart on real images: left, right" in found.reason


@pytest.mark.parametrize(
    ("why", "real", "synthetic"),
    [
        ("too few images of left, right", REAL, blobs(40, 4)),
        ("too few images of left, right", replace(REAL, holdout=blobs(20, 2), test=blobs(20, 3)), blobs(200, 4)),
        ("differ in size", REAL, replace(blobs(200, 4), pixels=np.zeros((200, 8, 8, 1), dtype=np.uint8))),
        (
            "holdout and test images are of fewer than two",
            replace(REAL, holdout=blobs(2, 2).take([0]), test=blobs(2, 3).take([0])),
            blobs(200, 4),
        ),
    ],
)
def test_what_cannot_be_judged_is_insufficient_and_says_why(why, real, synthetic):
    status, found, _ = measured(synthetic, real)
    assert status is Status.INSUFFICIENT
    assert why in found.reason


def test_one_class_only_is_insufficient():
    one = RealImages(*(of.take(np.flatnonzero(of.labels == 0)) for of in (REAL.train, REAL.holdout, REAL.test)))
    status, found, claims = measured(blobs(200, 4).take(np.arange(0, 200, 2)), one)
    assert status is Status.INSUFFICIENT
    assert claims == {LOST: "PASS", SHARES: "PASS"}
    assert "a classifier needs two" in found.reason


def test_a_class_of_few_images_keeps_the_gate_from_passing():
    """Ten of the other real images are right: too few to know how often such images show it."""
    rare = np.concatenate([np.flatnonzero(REAL.test.labels == 0), np.flatnonzero(REAL.test.labels == 1)[:10]])
    holdout = REAL.holdout.take(np.flatnonzero(REAL.holdout.labels == 0))
    status, found, _ = measured(blobs(200, 4), replace(REAL, test=REAL.test.take(rare), holdout=holdout))
    assert status is Status.INSUFFICIENT
    assert "Not judged: too few images of right." in found.reason
    assert [row["says"] for row in found.evidence["classes"]] == ["judged", "too few images"]


def test_real_images_of_other_patients_pass_and_their_shuffled_labels_do_not(data_root):
    """PneumoniaMNIST, dealt afresh."""
    archive = np.load(data_root / "medmnist" / "pneumoniamnist.npz", allow_pickle=False)
    pixels = np.concatenate([archive[f"{split}_images"] for split in ("train", "val", "test")])[..., None]
    labels = np.concatenate([archive[f"{split}_labels"] for split in ("train", "val", "test")]).ravel().astype(np.int64)
    names = [str(row) for row in range(len(labels))]
    everyone = Images(pixels, labels, names, names, ["normal", "pneumonia"])
    order = np.random.default_rng(0).permutation(len(labels))
    train, holdout, test, release = (everyone.take(rows) for rows in np.split(order[:3600], [1500, 2000, 2500]))
    real = RealImages(train, holdout, test)
    assert measured(release, real, steps=100)[0] is Status.PASS
    status, found, _ = measured(replace(release, labels=np.random.default_rng(0).permutation(release.labels)), real, steps=100)
    assert status is Status.FAIL
    assert found.interval[0] > 0.4
