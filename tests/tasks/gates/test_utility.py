"""The utility gate's arithmetic on predictions whose accuracy is known, its arms, and what it refuses to judge."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from schema.errors import SynthmillError
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates._arms import arms, duplicates, pair, possible
from tasks.gates._classifiers import SETTING, choose
from tasks.gates.utility import Config, Plugin
from tests.contracts.test_gates import blobs

QUICK = {"threshold": -0.1, "steps": 30, "bootstrap": 200, "ratios": [0.25]}


def guesses(labels: np.ndarray, wrong: float, seeds: int = 5) -> np.ndarray:
    """Class probabilities, seeds x N x 2, wrong on exactly that share of the images, others in each seed."""
    rows = np.stack([np.random.default_rng(seed).permutation(len(labels)) for seed in range(seeds)])
    said = np.repeat(labels[None], seeds, axis=0)
    for seed in range(seeds):
        said[seed, rows[seed][: int(wrong * len(labels))]] ^= 1
    return np.eye(2)[said] * 0.8 + 0.1


def judged(wrong: dict[str, float], **config):
    real = RealImages(train=blobs(1000, 1), holdout=blobs(10, 2), test=blobs(1000, 3))
    synthetic = blobs(500, 4)
    by_arm = {arm: guesses(real.test.labels, share) for arm, share in wrong.items()}
    gate = Plugin(Config(threshold=-0.05, ratios=[0.5], bootstrap=500, **config), None)
    return gate, gate._finding(by_arm, guesses(synthetic.labels, 0.04), {"network": "none"}, real, synthetic, 500)


def test_the_ratio_and_its_null_are_what_the_predictions_make_them():
    gate, found = judged({"real": 0.1, "synthetic": 0.28, "real_again": 0.1})
    assert found.evidence["ratio"] == pytest.approx(0.72 / 0.9)
    assert found.null.value == pytest.approx(1.0)
    assert found.value == pytest.approx(-0.2)
    low, high = found.interval
    assert low < -0.2 < high < -0.15
    assert gate.status(found) is Status.FAIL
    assert found.evidence["synthetic"]["balanced_accuracy"] == pytest.approx([0.72] * 5, abs=0.02)
    assert found.evidence["real_on_synthetic"]["accuracy"] == pytest.approx([0.96] * 5)
    assert found.evidence["per_class"]["left"]["real"] == pytest.approx(0.9, abs=0.02)


def test_a_gain_over_duplicates_is_claimed_only_where_its_interval_leaves_zero():
    single = {"real": 0.1, "synthetic": 0.1, "real_again": 0.1}
    for hybrid, says in ((0.05, "helps"), (0.1, "no difference shown"), (0.15, "harms")):
        _, found = judged({**single, "control_0.5": 0.1, "hybrid_0.5": hybrid})
        (row,) = found.evidence["hybrid"]
        assert row["gain"] == pytest.approx(0.1 - hybrid)
        assert row["says"] == says
        assert ("add +0.050 over duplicated" in found.reason) == (says == "helps")
        assert (row["ratio"], row["added"]) == (0.5, 500)


def test_balanced_accuracy_sees_a_rare_class_that_accuracy_does_not():
    """Nine in ten test images are left; a classifier that says left to all of them is right on 90 %, and on one class of two."""
    test = blobs(1000, 3)
    labels = (np.arange(1000) % 10 == 0).astype(np.int64)
    real = RealImages(train=blobs(1000, 1), holdout=blobs(10, 2), test=replace(test, labels=labels))
    knows, always_left = guesses(labels, 0.1), np.tile([0.9, 0.1], (5, 1000, 1))
    values = {}
    for metric in ("accuracy", "balanced_accuracy"):
        gate = Plugin(Config(threshold=-0.05, metric=metric, bootstrap=500), None)
        by_arm = {"real": knows, "synthetic": always_left, "real_again": knows}
        found = gate._finding(by_arm, guesses(test.labels, 0.1), {}, real, test, 500)
        values[metric] = found.value
        assert gate.status(found) is (Status.PASS if metric == "accuracy" else Status.FAIL)
    assert values["accuracy"] == pytest.approx(0.0)
    assert values["balanced_accuracy"] == pytest.approx(0.5 / 0.9 - 1, abs=0.03)


def test_both_arms_of_a_ratio_have_the_same_labels_in_the_same_order_and_the_control_only_real_images():
    real, synthetic = blobs(100, 1), blobs(60, 2)
    assert possible([0.001, 0.5, 0.7], real, synthetic) == [0.5]
    made = {name: (pixels, labels) for name, pixels, labels in arms(0, 50, [0.5], real, synthetic)}
    assert list(made) == ["real", "synthetic", "real_again", *pair(0.5)]
    control, hybrid = (made[name] for name in pair(0.5))
    assert np.array_equal(control[1], hybrid[1])
    assert np.array_equal(control[0][:100], real.pixels)
    known = {image.tobytes() for image in real.pixels}
    assert all(image.tobytes() in known for image in control[0])
    assert not any(image.tobytes() in known for image in hybrid[0][100:])
    apart = {image.tobytes() for image in made["real"][0]} & {image.tobytes() for image in made["real_again"][0]}
    assert apart == set()


def test_duplicates_are_of_the_class_asked_and_come_again_only_when_all_were_taken():
    labels = np.array([0, 0, 0, 1, 1])
    rows = duplicates(labels, np.array([1, 0, 1, 0, 1, 2]), np.random.default_rng(0))
    assert labels[rows[:5]].tolist() == [1, 0, 1, 0, 1]
    assert set(rows[[0, 2]]) == {3, 4}
    assert rows[5] in range(5)


def real_of(train: Images, test: Images) -> RealImages:
    return RealImages(train=train, holdout=test, test=test)


@pytest.mark.parametrize(
    ("why", "real", "synthetic"),
    [
        ("too few", real_of(blobs(240, 1), blobs(120, 2)), blobs(16, 3)),
        ("too few", real_of(blobs(60, 1), blobs(120, 2)), blobs(200, 3)),
        ("too few", real_of(blobs(240, 1), blobs(120, 2)), blobs(1, 3)),
        ("29 patients", real_of(blobs(240, 1), blobs(29, 2)), blobs(200, 3)),
        ("test images are all of one class", real_of(blobs(240, 1), blobs(240, 2).take(np.arange(0, 240, 2))), blobs(200, 3)),
        ("training images are all of one class", real_of(blobs(240, 1).take(np.arange(0, 240, 2)), blobs(120, 2)), blobs(200, 3)),
        ("differ in size", real_of(blobs(240, 1), blobs(120, 2)), replace(blobs(200, 3), pixels=np.zeros((200, 8, 8, 1), np.uint8))),
    ],
)
def test_what_cannot_be_compared_is_insufficient_and_says_why(why, real, synthetic):
    gate = Plugin(Config(**QUICK), None)
    found = gate.measure(real, synthetic)
    assert gate.status(found) is Status.INSUFFICIENT
    assert why in found.reason


def test_constant_images_are_insufficient_since_nothing_can_be_learned_from_them():
    """Every classifier then guesses alike, and a ratio of 1 would pass."""
    train, test, synthetic = (
        replace(images, pixels=np.full_like(images.pixels, 90)) for images in (blobs(120, 1), blobs(60, 2), blobs(60, 3))
    )
    gate = Plugin(Config(**QUICK | {"ratios": []}), None)
    found = gate.measure(real_of(train, test), synthetic)
    assert gate.status(found) is Status.INSUFFICIENT
    assert "does not beat guessing" in found.reason


def test_a_class_that_was_never_drawn_is_named_and_fails():
    gate = Plugin(Config(**QUICK | {"ratios": []}), None)
    found = gate.measure(real_of(blobs(240, 1), blobs(120, 2)), blobs(400, 3).take(np.arange(0, 400, 2)))
    assert gate.status(found) is Status.FAIL
    assert "No synthetic image is of right." in found.reason
    assert found.evidence["per_class"]["right"]["synthetic"] == 0
    assert "auroc" not in found.evidence["real_on_synthetic"]


def test_auto_takes_the_vit_for_colour_of_64_pixels_and_more():
    assert [choose("auto", shape) for shape in ((64, 64, 3), (64, 48, 3), (224, 224, 1), (32, 32, 1))] == ["vit", *["small-cnn"] * 3]
    assert choose("vit", (16, 16, 1)) == "vit"


def test_pinned_weights_are_asked_for_checked_and_used(monkeypatch, tmp_path):
    real, synthetic = real_of(blobs(120, 1), blobs(60, 2)), blobs(60, 3)
    config = QUICK | {"classifier": "vit", "weights_sha256": "0" * 64, "ratios": [], "steps": 20}
    monkeypatch.delenv(SETTING, raising=False)
    found = Plugin(Config(**config), None).measure(real, synthetic)
    assert (found.status, found.needs) == (Status.INSUFFICIENT, (SETTING,))
    assert SETTING in found.reason
    monkeypatch.setenv(SETTING, str(tmp_path))
    with pytest.raises(SynthmillError, match=r"config\.json"):
        Plugin(Config(**config), None).measure(real, synthetic)

    from models.vit import small_vit

    small_vit(16, 16, 3).save_pretrained(tmp_path)
    with pytest.raises(SynthmillError, match="weights_sha256") as refused:
        Plugin(Config(**config), None).measure(real, synthetic)
    digest = str(refused.value).split("digest ")[1].split(",")[0]
    found = Plugin(Config(**config | {"weights_sha256": digest}), None).measure(real, synthetic)
    assert found.evidence["weights_sha256"] == digest
    assert "pretrained" in found.evidence["network"]


def test_the_config_refuses_what_contradicts_itself():
    with pytest.raises(ValidationError, match="small-cnn"):
        Config(threshold=0, classifier="small-cnn", weights_sha256="0" * 64)
    with pytest.raises(ValidationError, match="differ"):
        Config(threshold=0, ratios=[0.5, 0.5])
    with pytest.raises(ValidationError, match="ratios"):
        Config(threshold=0, ratios=[-1])
