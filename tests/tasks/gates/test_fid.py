"""FID is pytorch-fid's own number, the real sets' features are computed once, and too few images judge nothing."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench.fid import save_seeded_weights
from models.frechet import feature_distance
from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import RealImages
from schema.verdict import Status
from tasks.gates.fid import DIMENSIONS, Config, Plugin
from tests.contracts.test_gates import blobs, noise


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of the layout of pytorch-fid's own, seeded numbers in it: the real one cannot be fetched in a test."""
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    save_seeded_weights(path, seed=0)
    return path


@pytest.fixture
def gate(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHMILL_INCEPTION_WEIGHTS", str(weights))
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    return Plugin(Config(threshold=10.0, weights_sha256=sha256_file(weights)[:12]), None)


@pytest.fixture
def real() -> RealImages:
    return RealImages(train=blobs(2, 1), holdout=blobs(12, 2), test=blobs(14, 3))


@pytest.fixture
def counted(monkeypatch):
    """Features that are quick to have, and how many images they were computed for, set by set."""
    calls: list[int] = []

    def quick(network, pixels, device, tick, batch_size=50, precision="float32"):
        calls.append(len(pixels))
        tick(len(pixels))
        return np.random.default_rng(pixels[0, 0, 0, 0]).normal(size=(len(pixels), DIMENSIONS))

    monkeypatch.setattr("models.inception.inception_features", quick)
    return calls


def test_the_number_is_that_of_pytorch_fid_on_png_files(gate, weights, monkeypatch, tmp_path):
    """With its own network, loader and matrix square root; on 6 of the features, for which 14 images are enough."""
    from pytorch_fid import fid_score, inception

    sets = blobs(14, 4), noise(14)
    files = []
    for number, images in enumerate(sets):
        (tmp_path / str(number)).mkdir()
        files.append([tmp_path / str(number) / f"{k:02d}.png" for k in range(len(images))])
        for path, image in zip(files[-1], images.pixels[..., 0], strict=True):
            Image.fromarray(image).save(path)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: torch.load(weights, weights_only=True))
    network = inception.InceptionV3()
    theirs = [fid_score.get_activations(of, network, 8, DIMENSIONS, "cpu", 0)[:, ::360] for of in files]
    moments = [part for of in theirs for part in (of.mean(axis=0), np.cov(of, rowvar=False))]
    ours = [of[:, ::360] for of in gate._features(weights, "digest", list(sets))]
    assert feature_distance(*ours) == pytest.approx(fid_score.calculate_frechet_distance(*moments), rel=1e-4)
    assert feature_distance(*ours) > 0.01


def test_features_of_real_images_are_computed_once_and_again_when_their_file_is_harmed(gate, real, counted, tmp_path):
    synthetic = blobs(11, 4)
    first = gate.measure(real, synthetic)
    assert counted == [11, 12, 14]
    second = gate.measure(real, synthetic)
    assert counted == [11, 12, 14, 11]
    assert first == second
    for path in (tmp_path / "data" / "scratch" / "features").iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert gate.measure(real, synthetic) == first
    assert counted[4:] == [11, 12, 14]


def test_another_precision_has_features_of_its_own(gate, real, counted):
    gate.measure(real, blobs(11, 4))
    Plugin(gate.config.model_copy(update={"precision": "bfloat16"}), None).measure(real, blobs(11, 4))
    assert counted == [11, 12, 14, 11, 12, 14]


def test_fewer_images_than_dimensions_judge_nothing_but_are_described(gate, weights, real, counted):
    found = gate.measure(real, blobs(11, 4))
    assert (found.value, found.status) == (None, Status.INSUFFICIENT)
    assert "11 images are fewer than 2048" in found.reason
    assert found.evidence["weights_sha256"] == sha256_file(weights)
    assert "fid" not in found.evidence
    low, high = found.evidence["kid_interval"]
    assert low <= found.evidence["kid"] <= high


def test_enough_images_give_fid_its_null_and_fid_at_infinity(weights):
    """In few dimensions, where the truth is known: unit normals, the synthetic ones half a unit off in each of 4."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.gates.fid.DIMENSIONS", 4)
        gate = Plugin(Config(threshold=1.5), None)
        features = [np.random.default_rng(k).normal(0.5 * (k == 0), 1, (600, 4)) for k in range(3)]
        found = gate._finding(features, RealImages(*(blobs(600, k) for k in range(3))), "digest")
    assert found.value == pytest.approx(1.0, abs=0.2)
    assert found.evidence["fid"] == pytest.approx(1.0, abs=0.2)
    assert found.evidence["fid_infinity"] == pytest.approx(1.0, abs=0.2)
    assert found.evidence["null_fid_infinity"] == pytest.approx(0.0, abs=0.05)
    assert gate.status(found) is Status.PASS


def test_features_that_are_not_finite_and_a_single_image_are_not_judged(gate, real, monkeypatch):
    monkeypatch.setattr("models.inception.inception_features", lambda network, pixels, *_, **__: np.full((len(pixels), DIMENSIONS), np.nan))
    found = gate.measure(real, blobs(11, 4))
    assert (found.value, found.status) == (None, Status.INSUFFICIENT)
    assert "not finite" in found.reason
    assert gate.measure(real, blobs(1, 4)).status is Status.INSUFFICIENT


def test_weights_of_another_layout_are_refused_in_words(real, monkeypatch, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, other)
    monkeypatch.setenv("SYNTHMILL_INCEPTION_WEIGHTS", str(other))
    with pytest.raises(SynthmillError, match="layout"):
        Plugin(Config(threshold=1.0, weights_sha256=sha256_file(other)[:12]), None).measure(real, blobs(11, 4))
