"""On a GPU: short numbers, channels_last and a compiled network train, and verdicts are computed as on a CPU."""

import numpy as np
import pytest
import torch

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SHAPE = Shape(16, 16, 1, 2)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("compiled", [False, True])
def test_it_trains_there_and_its_losses_are_those_of_a_cpu(compiled):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 1), dtype=np.uint8)
    material = Material(pixels, np.arange(32)[:, None] % 2, np.arange(32))
    config = Config(channels=[8, 16], steps=30, batch_size=16, timesteps=50, compile=compiled, mixed_precision="bf16")
    there = Plugin(config, SHAPE, torch.device("cuda"))
    said = []
    there.fit(material, None, lambda _: None, lambda number, metrics: said.append((number, metrics["loss"])))
    assert [number for number, _ in said] == list(range(1, 31))
    assert np.mean([loss for _, loss in said[-5:]]) < np.mean([loss for _, loss in said[:5]])
    here = Plugin(config, SHAPE, torch.device("cpu"))
    here.adopt({name: part.cpu() if hasattr(part, "cpu") else part for name, part in there.components().items()})
    ours = here.losses(pixels, material.conditions, [5, 25], seed=0)
    there.adopt(there.components())
    assert there.losses(pixels, material.conditions, [5, 25], seed=0) == pytest.approx(ours, rel=1e-3)
