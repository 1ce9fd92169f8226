"""The canary gate: closed forms on scores made by hand, and a small model that learnt its canaries by heart."""

import numpy as np
import pytest
import torch

from models import canary
from models.generators import Shape
from models.generators.ddpm import Config as Training
from models.generators.ddpm import Plugin as Ddpm
from schema.images import Images, RealImages
from schema.privacy import PrivacyAccount
from schema.verdict import Status
from tasks import weights
from tasks.gates.canary import Config, Plugin

SHAPE = Shape(16, 16, 1, 2)


def finding(wrong: int, claimed: float | None = None, **config):
    """Of 128 canaries the 64 first planted; scores that tell all of them but for `wrong` at each end."""
    included = np.arange(128) < 64
    scores = np.linspace(1, -1, 128)
    scores[:wrong], scores[-wrong or 128 :] = scores[-wrong or 128 :].copy(), scores[:wrong].copy()
    account = claimed and PrivacyAccount(
        mechanism="dp-sgd",
        unit="image",
        adjacency="add-remove",
        scope="the weights",
        epsilon=claimed,
        delta=1e-6,
        accountant="rdp",
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        sampling="poisson",
        sample_rate=0.1,
        steps=10,
        examples=1000,
    )
    gate = Plugin(Config(**{"threshold": 1.0, "delta": 0.0} | config), None)
    found = gate._finding(scores, included, np.random.default_rng(0).normal(size=128), account or None)
    return found, gate.status(found)


def test_with_every_guess_right_the_value_is_the_closed_form_and_fails():
    found, status = finding(wrong=0)
    accuracy = 0.05 ** (1 / 64)
    assert found.value == pytest.approx(np.log(accuracy / (1 - accuracy)), abs=1e-6)
    assert found.evidence["largest_bound_possible"] == pytest.approx(found.value)
    assert status is Status.FAIL
    assert "64 are right (100%)" in found.reason


def test_with_half_the_guesses_right_there_is_nothing_to_find():
    found, status = finding(wrong=16)
    assert found.value == 0
    assert found.null.value == 0
    assert found.interval[0] == 0 < found.interval[1] < 0.2
    assert found.evidence["null_accuracy_of_guesses"] == pytest.approx(0.5, abs=0.01)
    assert status is Status.PASS


def test_a_bound_above_the_claimed_epsilon_fails_whatever_the_threshold():
    found, status = finding(wrong=4, claimed=0.5, threshold=8.0)
    assert found.value > 0.5
    assert status is Status.FAIL
    assert "0.5 being claimed, which this refutes" in found.reason
    assert found.evidence["delta"] == 1e-6
    found, status = finding(wrong=16, claimed=0.5, threshold=8.0)
    assert status is Status.PASS
    assert "does not refute" in found.reason


@pytest.mark.parametrize(("threshold", "claimed"), [(3.5, None), (8.0, 3.5)])
def test_guesses_too_few_to_ever_exceed_the_bound_never_pass(threshold, claimed):
    """All of 64 right shows no more than 3.03."""
    found, status = finding(wrong=16, claimed=claimed, threshold=threshold)
    assert status is Status.INSUFFICIENT
    assert "too few guesses" in found.reason


def trained(folder, n: int, steps: int):
    """A model of 8 images and the canaries of seed 0; the images."""
    random = np.random.default_rng(3)
    names = [str(k) for k in range(8)]
    images = Images(random.integers(0, 128, (8, 16, 16, 1), dtype=np.uint8), np.arange(8) % 2, names, names, ["a", "b"])
    canaries = canary.draw(n, 0, SHAPE)
    config = Training(channels=[8, 16], steps=steps, batch_size=16, timesteps=50, warmup=10, ema_decay=0.9, lr=4e-3)
    generator = Ddpm(config, SHAPE, torch.device("cpu"))
    generator.fit(canary.with_planted(images, canaries, SHAPE), None, lambda _: None, lambda *_: None)
    weights.save(generator, folder, "digest", 0.1, canaries=canaries.record(0) if n else None)
    return RealImages(train=images, holdout=images, test=images)


CONFIG = Config(threshold=0.25, guesses=12, timesteps=[5, 10, 20, 30])


def test_a_model_that_learnt_its_canaries_by_heart_fails_and_its_null_finds_nothing(tmp_path):
    real = trained(tmp_path, 24, 250)
    gate = Plugin(CONFIG, tmp_path)
    found = gate.measure(real, real.train)
    assert found.evidence["accuracy_of_guesses"] >= 0.9
    assert found.value > 0.5
    assert found.null.value == 0
    assert gate.status(found) is Status.FAIL
    assert found == gate.measure(real, real.train)


def test_what_cannot_be_judged_says_what_to_do(tmp_path):
    real = trained(tmp_path / "none", 0, 2)
    found = Plugin(CONFIG, tmp_path / "none").measure(real, real.train)
    assert found.status is Status.INSUFFICIENT
    assert found.reason.startswith("No canaries were planted")
    assert "train.canaries" in found.reason
    trained(tmp_path / "few", 6, 2)
    found = Plugin(CONFIG, tmp_path / "few").measure(real, real.train)
    assert found.status is Status.INSUFFICIENT
    assert "6 canaries are too few for 12 guesses" in found.reason


def test_canaries_that_are_not_drawn_again_the_same_are_not_judged(tmp_path, monkeypatch):
    real = trained(tmp_path, 32, 2)
    others = canary.draw(32, 1, SHAPE)
    monkeypatch.setattr(canary, "draw", lambda *_: others)
    found = Plugin(CONFIG, tmp_path).measure(real, real.train)
    assert found.status is Status.INSUFFICIENT
    assert "can no longer be drawn" in found.reason
