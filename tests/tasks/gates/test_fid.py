"""FID is pytorch-fid's own number, the real sets' features are computed once, and too few images judge nothing."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from bench.fid import save_seeded_weights
from models.frechet import feature_distance
from models.inception import inception_features, load_inception
from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates import Finding
from tasks.gates._features import BLOCK, summarise
from tasks.gates.fid import DIMENSIONS, Config, Plugin
from tests.contracts.test_gates import blobs, noise

SIZE = 3000


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


def test_the_number_is_that_of_pytorch_fid_on_png_files(weights, monkeypatch, tmp_path):
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
    network = load_inception(torch.load(weights, weights_only=True), torch.device("cpu"))
    ours = [inception_features(network, of.pixels, torch.device("cpu"), lambda _: None)[:, ::360] for of in sets]
    assert feature_distance(*ours) == pytest.approx(fid_score.calculate_frechet_distance(*moments), rel=1e-4)
    assert feature_distance(*ours) > 0.01


def test_features_of_real_images_are_computed_once_and_again_when_their_file_is_harmed(gate, real, counted, tmp_path):
    synthetic = blobs(11, 4)
    first = gate.measure(real, synthetic)
    assert counted == [11, 11, 14]
    second = gate.measure(real, synthetic)
    assert counted == [11, 11, 14, 11]
    assert first == second
    for path in (tmp_path / "data" / "scratch" / "features").iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    assert gate.measure(real, synthetic) == first
    assert counted[4:] == [11, 11, 14]


def test_another_precision_has_features_of_its_own(gate, real, counted):
    gate.measure(real, blobs(11, 4))
    Plugin(gate.config.model_copy(update={"precision": "bfloat16"}), None).measure(real, blobs(11, 4))
    assert counted == [11, 11, 14, 11, 11, 14]


def test_fewer_images_than_dimensions_judge_nothing_but_are_described(gate, weights, real, counted):
    found = gate.measure(real, blobs(11, 4))
    assert (found.value, found.status) == (None, Status.INSUFFICIENT)
    assert "11 images are fewer than 2048" in found.reason
    assert found.evidence["weights_sha256"] == sha256_file(weights)
    assert "fid" not in found.evidence
    low, high = found.evidence["kid_interval"]
    assert low <= found.evidence["kid"] <= high


@pytest.fixture
def plane(monkeypatch, tmp_path):
    """A gate in few dimensions, where the truth is known: unit normals, the synthetic ones half a unit off in each of 4. What stands in
    for the network reads an image's number from its pixels."""
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    monkeypatch.setattr("tasks.gates.fid.DIMENSIONS", 4)
    gate = Plugin(Config(threshold=1.5), None)
    truth = np.random.default_rng(0).normal(size=(3 * SIZE, 4))
    truth[:SIZE] += 0.5

    def numbered(k: int) -> Images:
        pixels = np.arange(k * SIZE, (k + 1) * SIZE, dtype=np.uint32).view(np.uint8).reshape(SIZE, 1, 4, 1)
        names = [f"{k}-{row}" for row in range(SIZE)]
        return Images(pixels, np.zeros(SIZE, dtype=np.int64), names, names, ["one"])

    synthetic, holdout, test = map(numbered, range(3))

    def extract(pixels, tick):
        tick(len(pixels))
        assert len(pixels) <= BLOCK
        return truth[pixels.reshape(-1, 4).view(np.uint32).ravel()]

    def measured() -> Finding:
        real = RealImages(test, holdout, test)
        return gate._finding(gate._summarised(real, synthetic, {}, extract), real, "digest")

    return gate, measured, truth


def test_enough_images_give_fid_its_null_and_fid_at_infinity(plane):
    gate, measured, truth = plane
    found = measured()
    assert found.value == pytest.approx(1.0, abs=0.2)
    assert found.evidence["fid"] == pytest.approx(feature_distance(truth[:SIZE], truth[2 * SIZE :]), rel=1e-9)
    assert found.evidence["fid_infinity"] == pytest.approx(1.0, abs=0.2)
    assert found.evidence["null_fid_infinity"] == pytest.approx(0.0, abs=0.05)
    assert found.n == {"synthetic": SIZE, "holdout": SIZE, "test": SIZE}
    assert gate.status(found) is Status.PASS


def test_memory_does_not_grow_with_the_number_of_images():
    """Ten times the images: the same peak, to 5 %, in a summary that holds 100 features of 64 numbers."""

    def peak(n: int) -> int:
        pixels, rows = np.zeros((n, 1, 1, 1), dtype=np.uint8), np.arange(n)
        tracemalloc.start()
        summarise(pixels, rows, 100, 64, lambda pixels, _: np.ones((len(pixels), 64)), lambda _: None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(BLOCK)
    assert peak(40 * BLOCK) == pytest.approx(peak(4 * BLOCK), rel=0.05)


def test_of_many_images_some_give_a_wider_interval_about_the_distance_of_all(plane, monkeypatch):
    """The deviation goes with the root of the count: a ninth of the images, three times the width, the draws' own chance aside."""
    _, measured, _ = plane
    of_all = measured()
    monkeypatch.setattr("tasks.gates._manifold.MOST", SIZE // 9)
    of_some = measured()
    assert of_some.value == pytest.approx(of_all.value, rel=1e-9)
    assert of_some.evidence["fid"] == pytest.approx(of_all.evidence["fid"], rel=1e-9)
    wide, narrow = (high - low for low, high in (of_some.interval, of_all.interval))
    assert 1.5 < wide / narrow < 6


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
