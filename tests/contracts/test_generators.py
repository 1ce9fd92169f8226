"""What every generator promises, tested on each one that is found. A new file in models/generators/ needs an entry in TINY."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import models.generators
from models.generators import Material, Shape
from schema.params import Sample
from schema.plugins import find
from tasks import weights

SMALL = {"channels": [8, 16], "steps": 6, "batch_size": 4, "checkpoint_every": 3, "warmup": 2, "seed": 3}
TINY = {
    "ddpm": {**SMALL, "timesteps": 50},
    "latent": {
        **SMALL,
        "timesteps": 50,
        # It must learn to give noise back, since that is what these tests draw as images.
        "autoencoder": {
            **SMALL,
            "steps": 40,
            "lr": 0.01,
            "latent_channels": 8,
            "reconstruction": "l2",
            "adversarial": {"channels": 8, "layers": 1, "start_step": 2},
        },
    },
    "dreambooth": {
        "base": {
            "phantoms": "dermoscopy",
            "n": 8,
            "autoencoder": {"steps": 2, "channels": [8, 8, 8], "batch_size": 4, "warmup": 1},
            "steps": 3,
            "batch_size": 4,
            "channels": [8, 16],
            "text_width": 16,
        },
        "prompt": "a drawing of {token} {class_noun}",
        "class_prompt": "a drawing of {class_noun}",
        "prior": {"weight": 1.0, "images": 4, "steps": 2},
        "lora": {"rank": 2},
        "steps": 6,
        "batch_size": 4,
        "checkpoint_every": 2,
        "timesteps": 50,
        "warmup": 2,
        "seed": 3,
    },
}
"""The smallest config of each kind that still goes through all of its code."""

KINDS = sorted(find(models.generators))
SHAPES = [Shape(16, 16, 1, 2), Shape(8, 16, 3, 3)]
PLAN = Sample(n=4, batch_size=4, shard_size=4, steps=3)


class Stopped(Exception):
    """Stands for the kill."""


def make(kind: str, shape: Shape = SHAPES[0]):
    plugin = find(models.generators)[kind]
    return plugin(plugin.Config(**TINY[kind]), shape, torch.device("cpu"))


def material_of(shape: Shape, n: int = 12) -> Material:
    """`n` images of n / 2 patients."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (n, shape.height, shape.width, shape.channels), dtype=np.uint8)
    return Material(pixels, np.stack([np.arange(n) % words for words in shape.words], axis=1), np.arange(n) // 2)


def fitted(kind: str, shape: Shape = SHAPES[0], resume=None, stop_after: int | None = None):
    """A generator trained to the end, and the last checkpoint before it was stopped, if it was."""
    generator, kept = make(kind, shape), []

    def step(number: int, _metrics) -> None:
        if number == stop_after:
            raise Stopped

    try:
        generator.fit(material_of(shape), resume, lambda state: kept.append(torch_copy(state)), step)
    except Stopped:
        return generator, kept[-1]
    return generator, None


def torch_copy(state, folder=None):
    """The state as it comes back from a file."""
    import io

    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.fixture(scope="module", params=KINDS)
def trained(request):
    return fitted(request.param)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_reading_its_config_does_not_load_torch(kind):
    module = find(models.generators)[kind].__module__
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_its_config_refuses_the_unknown_and_cannot_change(kind):
    config = find(models.generators)[kind].Config
    with pytest.raises(ValidationError, match="lrr"):
        config(**TINY[kind], lrr=1)
    with pytest.raises(ValidationError, match="greater than 0"):
        config(**TINY[kind], lr=-1)
    with pytest.raises(ValidationError, match="frozen"):
        config(**TINY[kind]).steps = 7


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_resumes_to_the_same_weights_bit_for_bit(kind):
    whole, _ = fitted(kind)
    _, state = fitted(kind, stop_after=5)
    resumed, _ = fitted(kind, resume=state)
    for name, component in whole.components().items():
        if isinstance(component, torch.nn.Module):
            ours, theirs = component.state_dict(), resumed.components()[name].state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_draws_images_of_its_shape(kind, shape):
    images = fitted(kind, shape)[0].sample(np.arange(4), shape.told(np.zeros(4)), PLAN)
    assert images.dtype == np.uint8
    assert images.shape == (4, shape.height, shape.width, shape.channels)


@pytest.mark.parametrize("sampler", ["dpm-solver++", "ddim", "ddpm"])
def test_an_image_depends_on_its_own_seed_and_on_no_neighbour(trained, sampler):
    plan = PLAN.model_copy(update={"sampler": sampler, "eta": 0.5})
    labels = trained.shape.told([0, 1, 0, 1])
    one = trained.sample(np.array([7, 8, 9, 10]), labels, plan)
    two = trained.sample(np.array([11, 8, 12, 13]), labels, plan)
    assert np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], two[0])
    assert np.array_equal(one, trained.sample(np.array([7, 8, 9, 10]), labels, plan))


def test_losses_are_a_number_for_each_image_and_timestep(trained):
    material = material_of(trained.shape, 5)
    images, labels = material.pixels, material.conditions
    losses = trained.losses(images, labels, [1, 25, 49], seed=0)
    assert losses.shape == (5, 3)
    assert np.isfinite(losses).all()
    assert (losses > 0).all()
    assert np.array_equal(losses[:, 1:2], trained.losses(images, labels, [25], seed=0))


def test_proximal_errors_need_no_seed_and_no_neighbour(trained):
    material = material_of(trained.shape, 5)
    images, labels = material.pixels, material.conditions
    errors = trained.proximal_errors(images, labels, [10, 30])
    assert errors.shape == (5, 2)
    assert (errors > 0).all()
    assert np.allclose(errors[2:], trained.proximal_errors(images[2:], labels[2:], [10, 30]), rtol=1e-3)


def test_images_come_back_from_an_autoencoder_that_learned_from_the_members(trained):
    images = material_of(trained.shape, 70).pixels
    again = trained.given_back(images)
    if trained.kind != "latent":
        assert again is None
        return
    assert again.shape == images.shape
    assert np.array_equal(again[65:], trained.decode(trained.encode(torch.from_numpy(images[65:]))))


def test_an_image_is_given_back_the_worse_the_more_noise_it_was_put_under(trained):
    material = material_of(trained.shape, 6)
    images, labels = material.pixels, material.conditions
    # Held against what comes back where there is no noise: an autoencoder gives no image back as it was.
    clean, *noisy = (trained.reconstruct(images, labels, timestep, 3, seed=0) for timestep in (0, 1, trained.config.timesteps - 1))
    far = []
    for again in noisy:
        assert again.shape == images.shape
        assert again.dtype == np.uint8
        far.append(np.abs(again.astype(float) - clean).mean())
    assert far[0] < far[1]


def test_it_comes_back_from_the_disk_and_plain_diffusers_can_load_it(trained, tmp_path):
    import diffusers
    import transformers

    weights.save(trained, tmp_path, "digest", 0.1)
    again, _ = weights.open_model(tmp_path)
    seeds, labels = np.arange(4), trained.shape.told(np.zeros(4))
    assert np.array_equal(again.sample(seeds, labels, PLAN), trained.sample(seeds, labels, PLAN))
    for name, kind in trained.parts.items():
        assert (getattr(diffusers, kind, None) or getattr(transformers, kind)).from_pretrained(tmp_path / name) is not None
    assert list(tmp_path.rglob("*.safetensors"))


def test_weights_with_a_flipped_byte_are_refused(trained, tmp_path):
    from schema.errors import IntegrityError

    weights.save(trained, tmp_path, "digest", 0.1)
    file = next(tmp_path.rglob("*.safetensors"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="not the ones"):
        weights.open_model(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_not_finite_stops_the_training(kind):
    plugin = find(models.generators)[kind]
    generator = plugin(plugin.Config(**{**TINY[kind], "lr": 1e30, "warmup": 0, "steps": 40}), SHAPES[0], torch.device("cpu"))
    with pytest.raises(FloatingPointError, match=r"lower train\.lr"):
        generator.fit(material_of(SHAPES[0]), None, lambda _: None, lambda *_: None)
