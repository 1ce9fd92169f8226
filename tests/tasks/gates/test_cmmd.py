"""CMMD through a tiny CLIP of transformers' own classes, saved and read as the real one is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.clip import clip_embeddings, load_clip
from models.manifold import squared_distances
from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates.cmmd import Config, Plugin
from tests.contracts.test_gates import blobs, noise

TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The whole of a small CLIP, text tower and all, as the published folders are."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("clip")
    CLIPModel(CLIPConfig(vision_config=TOWER, text_config=TEXT, projection_dim=24)).save_pretrained(place)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def real() -> RealImages:
    return RealImages(train=blobs(2, 1), holdout=blobs(60, 2), test=blobs(60, 3))


@pytest.fixture
def judged(folder, real, monkeypatch, tmp_path):
    """Measures synthetic images with the weights given, in a workspace of its own."""
    monkeypatch.setenv("SYNTHMILL_CLIP_WEIGHTS", str(folder))
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))

    def measure(synthetic: Images, **knobs):
        gate = Plugin(Config(**{"threshold": 0.5, "required": False, "bootstrap": 200, **knobs}), None)
        found = gate.measure(real, synthetic)
        return gate.status(found), found

    return measure


def test_embeddings_are_those_of_transformers_whole_model(folder):
    from transformers import CLIPImageProcessor, CLIPModel

    pixels = blobs(5, 1).pixels.repeat(3, axis=3)
    inputs = CLIPImageProcessor.from_pretrained(folder)(images=list(pixels), return_tensors="pt")
    with torch.inference_mode():
        whole = CLIPModel.from_pretrained(folder)
        expected = whole.visual_projection(whole.vision_model(**inputs).pooler_output).numpy()
    ours = clip_embeddings(*load_clip(folder, torch.device("cpu")), pixels[..., :1], torch.device("cpu"), batch_size=2)
    np.testing.assert_allclose(ours, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_images_like_the_real_ones_pass_at_60_and_noise_fails(judged, folder):
    status, found = judged(blobs(60, 4))
    assert status is Status.PASS
    assert found.null is not None
    assert found.evidence["weights_sha256"] == sha256_file(folder / "model.safetensors")
    status, worse = judged(noise(60))
    assert status is Status.FAIL
    assert worse.value > 10 * abs(found.value)


def test_the_distance_is_the_unbiased_estimate_written_out(judged, real, folder):
    synthetic = blobs(40, 4)
    network = load_clip(folder, torch.device("cpu"))
    a, b = (clip_embeddings(*network, images.pixels, torch.device("cpu")) for images in (synthetic, real.test))
    aa, bb, ab = (1000 * np.exp(-squared_distances(*pair) / 200) for pair in ((a, a), (b, b), (a, b)))
    expected = (aa.sum() - 1000 * 40) / (40 * 39) + (bb.sum() - 1000 * 60) / (60 * 59) - 2 * ab.mean()
    assert judged(synthetic)[1].evidence["distance"] == pytest.approx(expected, abs=1e-6)


def test_embeddings_of_real_images_are_computed_once(judged, monkeypatch):
    from models import clip

    calls = []

    def counted(network, processor, pixels, *rest):
        calls.append(len(pixels))
        return clip_embeddings(network, processor, pixels, *rest)

    monkeypatch.setattr(clip, "clip_embeddings", counted)
    assert judged(blobs(40, 4)) == judged(blobs(40, 4))
    assert calls == [40, 60, 60, 40]


def test_without_weights_it_is_insufficient_and_says_which_setting(real, monkeypatch):
    monkeypatch.delenv("SYNTHMILL_CLIP_WEIGHTS", raising=False)
    found = Plugin(Config(threshold=1.0, required=False), None).measure(real, blobs(40, 4))
    assert (found.status, found.needs) == (Status.INSUFFICIENT, ("SYNTHMILL_CLIP_WEIGHTS",))


def test_weights_of_another_digest_missing_ones_and_broken_ones_are_refused(judged, folder, monkeypatch, tmp_path):
    with pytest.raises(SynthmillError, match="weights_sha256"):
        judged(blobs(40, 4), weights_sha256="0123abcd")
    broken = tmp_path / "broken"
    broken.mkdir()
    monkeypatch.setenv("SYNTHMILL_CLIP_WEIGHTS", str(broken))
    with pytest.raises(SynthmillError, match="safetensors"):
        judged(blobs(40, 4))
    for name in ("config.json", "preprocessor_config.json"):
        (broken / name).write_bytes((folder / name).read_bytes())
    kept = {key: value for key, value in load_file(folder / "model.safetensors").items() if "layers.1" not in key}
    save_file(kept, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(SynthmillError, match="weights are not in"):
        judged(blobs(40, 4))


def test_constant_and_single_images(judged, real):
    images = blobs(40, 4)
    assert judged(replace(images, pixels=np.full_like(images.pixels, 128)))[0] is Status.FAIL
    assert judged(images.take(np.arange(1)))[0] is Status.INSUFFICIENT
    blank = replace(real.test, pixels=np.full_like(real.test.pixels, 128))
    found = Plugin(Config(threshold=1.0, required=False), None).measure(replace(real, test=blank), images)
    assert found.value is None
    assert "alike" in found.reason


def test_a_required_gate_takes_no_weights_that_nobody_named(judged):
    status, found = judged(blobs(60, 5), required=True)
    assert (found.value, status) == (None, Status.INSUFFICIENT)
    assert "weights_sha256" in found.reason
