"""Closed forms of the noise process, and what a generator is shown in training."""

import numpy as np
import pytest
import torch

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from models.learning.diffusion import to_pixels, to_unit
from models.learning.drawn import Drawn
from schema.params import Sample

SHAPE = Shape(8, 8, 1, 2)


def generator(**options) -> Plugin:
    made = Plugin(Config(**{"channels": [8], "steps": 1, "timesteps": 100} | options), SHAPE, torch.device("cpu"))
    made.scheduler = made.build_scheduler()
    return made


def knowing(made: Plugin, clean: torch.Tensor, noise: torch.Tensor) -> Plugin:
    """The generator with a network that knows the answer: what it was trained to say of this noise in these images."""

    def predict(_network, _noisy, timesteps, _conditions):
        return noise if made.config.prediction == "epsilon" else made.scheduler.get_velocity(clean, noise, timesteps)

    made.predict, made.network = predict, None
    return made


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_one_who_knows_the_noise_has_no_loss_and_gives_the_image_back(prediction, schedule):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    conditions = np.zeros((3, 1), np.int64)
    made = generator(prediction=prediction, schedule=schedule)
    clean = to_unit(torch.from_numpy(pixels))
    noise = torch.randn(clean.shape, generator=made._noise_source(5, 60))
    knowing(made, clean, noise)
    assert made.losses(pixels, conditions, [60], seed=5).max() < 1e-10
    assert np.abs(made.reconstruct(pixels, conditions, 60, 4, seed=5).astype(int) - pixels).max() <= 1


def test_the_schedules_are_those_of_the_papers():
    linear = generator(schedule="linear", timesteps=1000).scheduler
    assert linear.betas[0].item() == pytest.approx(1e-4)
    assert linear.betas[-1].item() == pytest.approx(0.02)
    cosine = generator(timesteps=1000).scheduler.alphas_cumprod
    times = np.array([100, 500, 900])
    expected = np.cos(((times + 1) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    assert cosine[times].numpy() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("timesteps", [50, 100, 1000])
def test_every_schedule_ends_in_the_noise_that_sampling_begins_from(schedule, timesteps):
    made = generator(schedule=schedule, timesteps=timesteps)
    assert made.scheduler.alphas_cumprod[-1] < 0.005
    for sampler in ("dpm-solver++", "ddim", "ddpm"):
        scheduler = made.build_sampler(Sample(n=1, sampler=sampler))
        scheduler.set_timesteps(5)
        assert scheduler.timesteps[0] == timesteps - 1


@pytest.mark.parametrize(("prediction", "more"), [("epsilon", 0.0), ("v_prediction", 1.0)])
def test_min_snr_weighs_by_the_signal_to_noise_ratio_up_to_gamma(prediction, more):
    made = generator(prediction=prediction, snr_gamma=5.0)
    alphas = made.scheduler.alphas_cumprod.double().numpy()
    snr = alphas / (1 - alphas)
    found = made.weights_of(torch.arange(100)).double().numpy()
    assert found == pytest.approx(np.minimum(snr, 5) / (snr + more), rel=1e-3)


def material() -> Material:
    """400 images, dark on the left and bright on the right, of class 0 or 1."""
    pixels = np.zeros((400, 8, 8, 1), np.uint8)
    pixels[:, :, 4:] = 255
    return Material(pixels, np.arange(400)[:, None] % 2, np.arange(400))


@pytest.mark.parametrize(("flip", "share"), [(False, 0.0), (True, 0.5)])
def test_images_are_mirrored_only_where_the_dataset_allows_it(flip, share):
    made = generator(horizontal_flip=flip)
    shown = []
    made.loss = lambda _network, clean, *_: shown.append(clean) or torch.zeros(len(clean))
    Drawn(made, material()).losses(None, np.arange(400), 0)
    assert (shown[0][:, 0, 0, 0] > 0).float().mean().item() == pytest.approx(share, abs=0.08)


def test_a_share_is_told_nothing_and_each_further_condition_is_withheld_by_a_toss_of_its_own():
    made = generator(class_dropout=0.2)
    told = torch.zeros((20_000, 3), dtype=torch.long)
    seen = Drawn(made, material())._withhold(told, torch.Generator().manual_seed(0)) == -1
    silent = seen[:, 0]
    assert silent.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert seen[silent].all()
    for column in (1, 2):
        assert seen[~silent, column].float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert seen[~silent, 1:].all(dim=1).float().mean().item() == pytest.approx(0.04, abs=0.01)


def test_guidance_moves_away_from_what_is_drawn_when_nothing_is_said():
    made = generator()
    made.predict = lambda _network, noisy, _timesteps, conditions: (
        torch.where(conditions[:, 0] < 0, 1.0, 3.0)[:, None, None, None] * torch.ones_like(noisy)
    )
    made.network = None
    told = torch.zeros((2, 1), dtype=torch.long)
    for weight, expected in ((1.0, 3.0), (2.0, 5.0), (4.0, 9.0)):
        output = made.guided(torch.zeros(2, 1, 8, 8), torch.zeros(2), told, Sample(n=1, guidance=weight))
        assert (output == expected).all()


def test_attacks_encode_each_image_once_until_the_network_is_another():
    pixels = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 1), dtype=np.uint8)
    told = np.zeros((70, 1), np.int64)
    made = generator()
    made.network, made.bounded, plain, seen = made.build_network().eval(), False, made.encode, []
    first = made.losses(pixels, told, [5, 50], seed=0)
    made.encode = lambda images: seen.append(len(images)) or plain(images)
    again = generator()
    again.network, again.bounded, again.encode = made.network, False, made.encode
    assert np.array_equal(again.losses(pixels, told, [5, 50], seed=0), first)
    again.proximal_errors(pixels, told, [20])
    assert seen == [64, 6]
    again.network = made.build_network().eval()
    again.losses(pixels, told, [5], seed=0)
    assert seen == [64, 6, 64, 6]


def test_pixels_come_back_from_the_range_that_networks_see():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_pixels(to_unit(pixels)), pixels.numpy())
