"""The sizes and kinds of image that pixel diffusion has to draw, and where it says beforehand that it cannot."""

import copy
import re

import numpy as np
import pytest
import torch

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from schema.params import Sample
from schema.privacy import Privacy

PLAN = Sample(n=2, batch_size=2, shard_size=2, steps=2)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        (Shape(28, 28, 1, 2), [8, 8, 8]),
        (Shape(32, 32, 3, 7), [8, 16]),
        (Shape(256, 512, 1, 1), [8, 8, 8, 8, 8, 8]),
        (Shape(512, 512, 3, 1), [8, 8, 8, 8, 8, 8, 8]),
    ],
    ids=["28 grey", "32 RGB", "256 x 512 grey", "512 RGB"],
)
def test_it_trains_on_and_draws_images_of_28_to_512_pixels(shape, channels):
    made = Plugin(Config(channels=channels, steps=1, batch_size=2, timesteps=20, class_dropout=0.1), shape, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, shape.height, shape.width, shape.channels), dtype=np.uint8)
    seen = []
    made.fit(Material(pixels, shape.told([0, shape.classes - 1]), np.arange(2)), None, lambda _: None, lambda *said: seen.append(said))
    assert np.isfinite(seen[0][1]["loss"])
    drawn = made.sample(np.arange(2), shape.told([0, -1]), PLAN)
    assert drawn.shape == pixels.shape
    assert drawn.std() > 0


def test_it_draws_with_the_class_and_without_from_one_model():
    """Class 0 is dark and class 1 bright; with no class said it draws some of each."""
    shape = Shape(8, 8, 1, 2)
    pixels = np.repeat(np.array([40, 215], np.uint8), 32)[:, None, None, None] + np.zeros((64, 8, 8, 1), np.uint8)
    made = Plugin(
        Config(channels=[16], steps=400, batch_size=32, timesteps=100, lr=4e-3, class_dropout=0.3, ema_decay=0.9),
        shape,
        torch.device("cpu"),
    )
    made.fit(Material(pixels, np.repeat([0, 1], 32)[:, None], np.arange(64)), None, lambda _: None, lambda *_: None)
    plan = Sample(n=64, batch_size=64, shard_size=64, steps=20)
    means = {code: made.sample(np.arange(64), np.full((64, 1), code), plan).mean(axis=(1, 2, 3)) for code in (0, 1, -1)}
    assert np.abs(means[0] - 40).mean() < 20
    assert np.abs(means[1] - 215).mean() < 20
    bright = (means[-1] > 128).mean()
    assert 0.2 < bright < 0.8


@pytest.mark.parametrize(
    ("config", "shape", "plan", "message"),
    [
        ({"channels": [8, 8, 8, 8]}, Shape(28, 28, 1, 2), {}, "cannot be halved 3 times: sides must be multiples of 8"),
        ({}, Shape(32, 32, 1, 2, (3,)), {}, "told the class alone"),
        ({"timesteps": 10}, Shape(32, 32, 1, 2), {}, r"sample\.steps \(20\) is more than train\.timesteps \(10\)"),
        ({}, Shape(32, 32, 1, 2), {"guidance": 2}, r"needs train\.class_dropout above 0"),
        ({"class_balance": True, "privacy": True}, Shape(32, 32, 1, 2), {"prevalence": "uniform"}, "no Poisson draws"),
        ({"privacy": True}, Shape(32, 32, 1, 2), {}, "prevalence must be uniform"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_tried(config, shape, plan, message):
    if config.get("privacy"):
        config = config | {"privacy": {"mechanism": "dp-sgd", "epsilon": 8, "delta": 1e-5, "max_grad_norm": 1}}
    assert re.search(message, Plugin.objections(Config(steps=1, **config), shape, Sample(n=1, **plan)))


PRIVATE = {"channels": [8, 16], "steps": 6, "batch_size": 6, "checkpoint_every": 3, "timesteps": 50, "warmup": 2}


def privately_trained(resume=None):
    shape = Shape(16, 16, 1, 2)
    made = Plugin(
        Config(**PRIVATE, privacy=Privacy(epsilon=8, delta=1e-2, max_grad_norm=0.5, noise_multiplicity=2, accountant="rdp")),
        shape,
        torch.device("cpu"),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)
    kept, said = [], []
    material = Material(pixels, np.arange(24)[:, None] % 2, np.arange(24) // 2)
    made.fit(material, resume, lambda state: kept.append(copy.deepcopy(state)), lambda *words: said.append(words))
    return made, kept, said


def test_a_diffusion_model_trains_privately_says_what_it_spent_and_resumes_to_the_same_weights():
    made, kept, said = privately_trained()
    assert made.account.steps == 6
    assert made.account.examples == 12
    assert made.account.sample_rate == 0.5
    assert 7.5 < made.account.epsilon <= 8
    assert [number for number, _ in said] == [1, 2, 3, 4, 5, 6]
    again, _, _ = privately_trained(resume=kept[0])
    assert all(torch.equal(value, again.network.state_dict()[name]) for name, value in made.network.state_dict().items())
    other, _, _ = privately_trained()
    assert not torch.equal(other.network.conv_in.weight, made.network.conv_in.weight)
