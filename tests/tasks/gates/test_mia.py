"""The membership attack: planted leaks have a known AUC, and a model that learnt its members by heart is caught."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from models.generators import Shape
from models.generators.ddpm import Config, Plugin
from schema.images import RealImages
from schema.verdict import Status
from tasks import weights
from tasks.gates.mia import Config as MiaConfig
from tasks.gates.mia import Plugin as Mia
from tests.contracts.test_gates import blobs

CONFIG = MiaConfig(threshold=0.1, timesteps=[5, 20], bootstrap=200)


def finding(shift: float):
    """From losses of 800 members lower by `shift` standard deviations than those of 600 non-members."""
    random = np.random.default_rng(0)
    real = RealImages(train=blobs(800, 1), holdout=blobs(600, 2), test=blobs(2, 3))
    common = [random.normal(1, 0.1, (n, 1)) for n in (800, 600)]
    members, others = (np.repeat(losses, 2, axis=1) for losses in (common[0] - 0.1 * shift, common[1]))
    return Mia(CONFIG, None)._finding(members, others, real)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_the_auc_of_a_planted_leak_is_the_closed_form(shift):
    found = finding(shift)
    assert found.evidence["auc"] == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.03)
    assert found.null.value == pytest.approx(0.5, abs=0.01)
    low, high = found.interval
    assert low - 0.01 <= norm.cdf(shift / np.sqrt(2)) - 0.5 <= high + 0.01


def test_tpr_at_one_percent_of_a_planted_leak_is_the_closed_form():
    assert finding(1.5).evidence["tpr_at_1_fpr"] == pytest.approx(norm.sf(norm.isf(0.01) - 1.5), abs=0.06)


def test_a_model_that_learnt_its_members_by_heart_fails(tmp_path):
    real = RealImages(train=blobs(12, 1), holdout=blobs(120, 2), test=blobs(4, 3))
    generator = Plugin(
        Config(channels=[16, 32], steps=400, batch_size=12, timesteps=50, warmup=10, ema_decay=0.9, lr=3e-3),
        Shape(16, 16, 1, 2),
        torch.device("cpu"),
    )
    generator.fit(real.train.pixels, real.train.labels, None, lambda _: None, lambda *_: None)
    weights.save(generator, tmp_path, "digest", real.train.classes, 0.1)
    gate = Mia(CONFIG, tmp_path)
    found = gate.measure(real, real.train)
    assert found.evidence["auc"] > 0.9
    assert gate.status(found) is Status.FAIL
