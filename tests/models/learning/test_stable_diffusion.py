"""A Stable Diffusion is read from what diffusers saved, or refused in one sentence; a small one is of the same classes."""

import json
import pickle
import shutil
import time

import pytest
import torch

from models.learning import stable_diffusion
from models.learning.autoencoder import AutoencoderConfig, build_autoencoder

WORDS = ["dermoscopic", "photograph", "nevus", "melanoma", "a", "of"]


def small(text_width: int = 16) -> stable_diffusion.Parts:
    torch.manual_seed(0)
    vae = build_autoencoder(AutoencoderConfig(steps=0, channels=[8, 8, 8]), 16, 16, 3).eval()
    return stable_diffusion.tiny(WORDS, vae, [8, 16], text_width, timesteps=50)


def save_small(folder):
    """A small one with random weights, as diffusers saves it."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(**small().components(), safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("base") / "stable-diffusion")


@pytest.fixture
def base(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "base")


def test_plain_diffusers_runs_the_small_one_from_its_folder(saved):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(saved)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline("a photograph of melanoma", height=16, width=32, num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 16, 32, 3)
    assert type(pipeline.tokenizer).__name__ == "CLIPTokenizer"


def test_what_is_loaded_has_the_weights_that_were_saved_and_forgets_where_they_lay(saved, tmp_path):
    loaded, ours = stable_diffusion.load(str(saved)), small()
    for name in stable_diffusion.WEIGHTS:
        theirs = getattr(loaded, name).state_dict()
        assert all(torch.equal(each, theirs[key]) for key, each in getattr(ours, name).state_dict().items())
    for name, part in loaded.components().items():
        part.save_pretrained(tmp_path / name)
    texts = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert texts
    assert not [text for text in texts if str(saved) in text]


def test_a_base_kept_in_half_precision_is_trained_in_full(saved, base):
    for name in stable_diffusion.WEIGHTS:
        getattr(small(), name).half().save_pretrained(base / name)
    loaded = stable_diffusion.load(str(base))
    assert {each.dtype for name in stable_diffusion.WEIGHTS for each in getattr(loaded, name).parameters()} == {torch.float32}


def test_a_folder_is_held_to_the_digest_that_was_named(saved, base):
    digest = stable_diffusion.digest_of(saved)
    assert digest == stable_diffusion.digest_of(base)
    assert stable_diffusion.load(str(base), digest[:12]).factor == 4
    _edit(base, "scheduler/scheduler_config.json", beta_end=0.02)
    with pytest.raises(ValueError, match=f"other files than train.revision '{digest[:12]}' names: theirs is"):
        stable_diffusion.load(str(base), digest[:12])


def _edit(folder, name, **changed):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def _pickled(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"weights": 1}))


def _cut(folder):
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def _without_a_weight(folder):
    from safetensors.torch import load_file, save_file

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights.pop("conv_in.bias")
    save_file(weights, file, metadata={"format": "pt"})


def _other_text_encoder(folder):
    small(text_width=32).text_encoder.save_pretrained(folder / "text_encoder")


FAULTS = {
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "has no model_index.json"),
    "broken index": (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json cannot be read"),
    "no part": (lambda folder: shutil.rmtree(folder / "vae"), "has no folder vae"),
    "no weights": (
        lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(),
        r"unet has no diffusion_pytorch_model\.s",
    ),
    "SDXL": (lambda folder: _edit(folder, "model_index.json", _class_name="StableDiffusionXLPipeline"), "only a StableDiffusionPipeline"),
    "another autoencoder": (
        lambda folder: _edit(folder, "model_index.json", vae=["diffusers", "AutoencoderTiny"]),
        "AutoencoderKL is needed",
    ),
    "another width of text": (_other_text_encoder, "listens to text of width 16 and its text encoder speaks 32"),
    "another prediction": (lambda folder: _edit(folder, "scheduler/scheduler_config.json", prediction_type="sample"), "predicts sample"),
    "cut short": (_cut, "its vae cannot be read"),
    "a weight lacking": (_without_a_weight, r"unet lacks 1 of its weights, conv_in\.bias first"),
    "a pickle": (_pickled, r"pickle \(diffusion_pytorch_model\.bin\), which can run code and is never opened"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_trained_on_is_refused_in_a_sentence(base, fault):
    harm, message = FAULTS[fault]
    harm(base)
    with pytest.raises(ValueError, match=message) as refused:
        stable_diffusion.load(str(base))
    assert "\n" not in str(refused.value)


def test_a_hub_id_is_refused_at_once_where_there_is_no_network(monkeypatch, tmp_path):
    import socket

    import huggingface_hub.constants

    def nowhere(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"hub cannot be reached \(\w+\): give the folder of a copy, or run once where the hub can"):
        stable_diffusion.load("runwayml/stable-diffusion-v1-5")
    assert time.monotonic() - start < 5
    with pytest.raises(ValueError, match="neither a folder here nor an id of the hub"):
        stable_diffusion.load("/no/such/folder")


@pytest.mark.parametrize("timesteps", [50, 100, 1000])
def test_the_schedule_of_a_small_one_ends_in_noise_however_few_its_timesteps(timesteps):
    torch.manual_seed(0)
    vae = build_autoencoder(AutoencoderConfig(steps=0, channels=[8, 8, 8]), 16, 16, 3)
    alphas = stable_diffusion.tiny(WORDS, vae, [8, 16], 16, timesteps=timesteps).scheduler.alphas_cumprod
    # Stable Diffusion 1 keeps 0.47 % of the variance of an image to the end.
    assert 0 < alphas[-1] < 0.006
    assert alphas[0] > 0.95
