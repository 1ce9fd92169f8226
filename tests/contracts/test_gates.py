"""What every gate promises, tested on each one that is found. A new file in tasks/gates/ is tested the moment it exists."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import tasks.gates
from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from schema.images import Images, RealImages
from schema.plugins import find
from schema.verdict import Status, Verdict
from tasks import weights
from tasks.reporting.evidence import known
from tasks.reporting.wording import QUESTIONS

KINDS = sorted(find(tasks.gates))
QUICK = {
    "canary": {"threshold": 5.0, "timesteps": [5, 20]},
    "coverage": {"threshold": 0.5, "steps": 80},
    "dp-claim": {"threshold": 8.0},
    "fd-domain": {"threshold": 0.3, "steps": 60, "bootstrap": 20},
    "fid": {"threshold": 10.0},
    "frd": {"threshold": 0.5, "images": 32, "bootstrap": 20},
    "mia-query": {"threshold": 0.3, "timesteps": [5], "bootstrap": 100},
    "mia-release": {"threshold": 0.3, "bootstrap": 100},
    "mia-white-box": {"threshold": 0.3, "timesteps": [5, 20], "proximal_timesteps": [10], "bootstrap": 100},
    "replica": {"threshold": 0.05},
    "split": {"threshold": 0.05},
    "utility": {"threshold": -0.1, "steps": 60, "ratios": [0.5], "bootstrap": 100},
}
"""A quick config of each kind; one that is not here is tried with a threshold alone."""


def blobs(n: int, seed: int) -> Images:
    """Images of two classes: a bright spot left or right, on noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 2
    x = np.arange(16)
    centre = np.where(labels == 0, 5, 10) + random.normal(0, 1, n)
    spot = 120 * np.exp(-(((x[None, None, :] - centre[:, None, None]) ** 2 + (x[None, :, None] - 8) ** 2) / 8))
    pixels = np.clip(spot + random.normal(60, 20, (n, 16, 16)), 0, 255).astype(np.uint8)[..., None]
    names = [f"{seed}-{k}" for k in range(n)]
    return Images(pixels, labels, names, names, ["left", "right"])


def noise(n: int) -> Images:
    images = blobs(n, 99)
    return Images(
        np.random.default_rng(9).integers(0, 256, images.pixels.shape, dtype=np.uint8),
        images.labels,
        images.ids,
        images.patients,
        images.classes,
    )


@pytest.fixture(scope="module")
def real() -> RealImages:
    return RealImages(train=blobs(240, 1), holdout=blobs(120, 2), test=blobs(120, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory, real):
    """A model that has seen next to nothing of the members, and so cannot give them away."""
    folder = tmp_path_factory.mktemp("model")
    generator = Plugin(Config(channels=[8, 16], steps=4, batch_size=8, timesteps=50), Shape(16, 16, 1, 2), torch.device("cpu"))
    generator.fit(Material.of(real.train), None, lambda _: None, lambda *_: None)
    weights.save(generator, folder, "digest", 0.1)
    return folder


def gate(kind: str, model):
    plugin = find(tasks.gates)[kind]
    return plugin(plugin.Config(**QUICK.get(kind, {"threshold": 0.0})), model)


@pytest.fixture(scope="module")
def measured(real, model):
    """What a gate of a kind finds in images like the real ones, that the model never saw. Measured once for all tests."""
    return cache(lambda kind: gate(kind, model).measure(real, blobs(200, 4)))


@pytest.mark.parametrize("kind", KINDS)
def test_reading_its_config_does_not_load_torch(kind):
    module = find(tasks.gates)[kind].__module__
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_its_config_refuses_the_unknown_and_needs_a_threshold(kind):
    config = find(tasks.gates)[kind].Config
    with pytest.raises(ValidationError, match="tresh"):
        config(threshold=0.1, tresh=1)
    with pytest.raises(ValidationError, match="threshold"):
        config()
    for impossible in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="threshold"):
            config(threshold=impossible)


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_the_same_twice_and_the_verdict_survives_the_disk(kind, real, model, measured, tmp_path):
    once = measured(kind)
    assert once == gate(kind, model).measure(real, blobs(200, 4))
    judged = gate(kind, model)
    said = Verdict(
        gate=kind,
        status=judged.status(once),
        threshold=judged.config.threshold,
        direction=judged.direction,
        method=judged.method,
        required=True,
        config=judged.config.model_dump(mode="json"),
        subject={"real": "r", "synthetic": "s", "model": "m"},
        **{name: getattr(once, name) for name in ("value", "interval", "null", "n", "unit", "reason", "evidence")},
    )
    said.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == said


@pytest.mark.parametrize("kind", KINDS)
def test_images_like_the_real_ones_do_not_fail(kind, model, measured):
    """There is nothing to find. A gate that has no threshold here is asked that the interval of its excess holds zero."""
    judged, finding = gate(kind, model), measured(kind)
    assert kind not in QUICK or judged.status(finding) is not Status.FAIL
    if finding.value is not None:
        low, high = finding.interval
        assert low <= finding.value <= high
        assert kind in QUICK or low <= 0 <= high
        assert finding.null is not None


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_knows_all_of_its_evidence(kind, measured):
    """What has no known name and shape stays inside, and would be missed in the public report."""
    evidence = measured(kind).evidence
    assert kind not in QUESTIONS or evidence.keys() - known(evidence).keys() <= {"pairs", "ratios_not_tried"}


@pytest.mark.parametrize("kind", ["fd-domain", "frd", "utility", "coverage"])
def test_noise_never_passes_a_quality_gate(kind, real, model):
    judged = gate(kind, model)
    assert judged.status(judged.measure(real, noise(200))) is Status.FAIL


def test_fid_without_weights_is_insufficient_and_says_which_setting(real, model, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_INCEPTION_WEIGHTS", raising=False)
    finding = gate("fid", model).measure(real, blobs(10, 6))
    assert finding.status is Status.INSUFFICIENT
    assert finding.needs == ("SYNTHMILL_INCEPTION_WEIGHTS",)


def test_fid_refuses_weights_of_another_digest(real, model, monkeypatch, tmp_path):
    from schema.errors import SynthmillError

    other = tmp_path / "weights.pth"
    other.write_bytes(b"not the weights")
    monkeypatch.setenv("SYNTHMILL_INCEPTION_WEIGHTS", str(other))
    with pytest.raises(SynthmillError, match="weights_sha256"):
        gate("fid", model).measure(real, blobs(10, 6))
