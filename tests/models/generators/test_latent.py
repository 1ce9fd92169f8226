"""Latent diffusion is told several things at once and any of them can be left out; both stages resume; plain diffusers draws the same."""

import contextlib
import copy

import numpy as np
import pytest
import torch

from models.generators import Material, Shape
from models.generators.latent import Config, Plugin
from models.learning.autoencoder import AutoencoderConfig
from schema.errors import SynthmillError, UsageError
from schema.params import Sample
from tasks import weights

CPU = torch.device("cpu")
SHAPE = Shape(16, 16, 1, 1, (2, 2))
"""One class; which side is lit, and how bright."""
DIM, BRIGHT, MIDDLE = 90, 230, 170
AUTOENCODER = {"channels": [8, 16], "steps": 4, "batch_size": 8, "warmup": 1, "checkpoint_every": 2}
PRIVACY = {"mechanism": "dp-sgd", "epsilon": 8, "delta": 1e-5, "max_grad_norm": 1}


def generator(shape: Shape = SHAPE, **options) -> Plugin:
    small = {
        "autoencoder": AUTOENCODER,
        "channels": [8, 16],
        "steps": 4,
        "batch_size": 8,
        "warmup": 1,
        "timesteps": 100,
        "checkpoint_every": 2,
    }
    return Plugin(Config(**small | options), shape, CPU)


def lit(n: int = 64) -> Material:
    """Dark images, one side of which is lit (the first condition: left, right), dim or bright (the second), with a little noise."""
    side, level = np.arange(n) % 2, np.arange(n) // 2 % 2
    pixels = np.random.default_rng(0).integers(0, 20, (n, 16, 16, 1))
    for image, right, bright in zip(pixels, side, level, strict=True):
        image[:, 8 * right : 8 * right + 8] += BRIGHT if bright else DIM
    return Material(pixels.astype(np.uint8), np.stack([0 * side, side, level], axis=1), np.arange(n))


def fit(made: Plugin, resume=None, stop_after: int | None = None, material: Material | None = None):
    """The last checkpoint, as it comes back from a file, and the numbers of the steps taken."""
    kept, steps = [], []

    class Stopped(Exception):
        pass

    def step(number: int, _metrics) -> None:
        steps.append(number)
        if number == stop_after:
            raise Stopped

    with contextlib.suppress(Stopped):
        made.fit(material or lit(), resume, lambda state: kept.append(copy.deepcopy(state)), step)
    return kept[-1], steps


@pytest.fixture(scope="module")
def trained() -> Plugin:
    made = generator(
        autoencoder={**AUTOENCODER, "channels": [16, 16], "steps": 120, "lr": 0.01, "ema_decay": 0.9},
        channels=[16, 32],
        attention=2,
        steps=400,
        batch_size=16,
        lr=4e-3,
        class_dropout=0.2,
        ema_decay=0.95,
    )
    fit(made)
    return made


def drawn(made: Plugin, side: int, level: int, n: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Of n images with this said: the level of the lit side, and whether that is the right one."""
    plan = Sample(n=n, batch_size=n, shard_size=n, steps=20)
    images = made.sample(np.arange(n), np.tile([0, side, level], (n, 1)), plan).astype(float)
    halves = np.stack([images[:, :, :8].mean(axis=(1, 2, 3)), images[:, :, 8:].mean(axis=(1, 2, 3))])
    return halves.max(axis=0), halves.argmax(axis=0)


def test_what_is_said_is_drawn_and_what_is_left_out_comes_as_a_mixture(trained):
    found = {told: drawn(trained, *told) for told in ((0, 0), (0, 1), (1, 0), (1, 1), (-1, 0), (-1, 1), (0, -1), (1, -1))}

    def right(*told) -> float:
        return np.mean([found[one][1] for one in told])

    for level, expected in ((0, DIM + 10), (1, BRIGHT + 10)):
        for side in (0, 1, -1):
            levels, _ = found[side, level]
            assert np.median(levels) == pytest.approx(expected, abs=20)
            assert ((levels > MIDDLE) == level).mean() > 0.85
    assert right((0, 0), (0, 1)) < 0.2 < 0.75 < right((1, 0), (1, 1))
    assert 0.25 < right((-1, 0), (-1, 1)) < 0.75
    assert right((0, -1)) < 0.2 < 0.75 < right((1, -1))
    assert 0.25 < np.mean([found[told][0] > MIDDLE for told in ((0, -1), (1, -1))]) < 0.75


def test_plain_diffusers_draws_the_same_from_what_is_saved(trained, tmp_path):
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel

    weights.save(trained, tmp_path, "digest", 0.1)
    ours = trained.sample(np.array([5]), np.array([[0, 1, -1]]), Sample(n=1, batch_size=1, shard_size=1, steps=5))
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "unet").eval()
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae").eval()
    solver = DPMSolverMultistepScheduler.from_pretrained(tmp_path / "scheduler", algorithm_type="dpmsolver++", timestep_spacing="trailing")
    solver.set_timesteps(5)
    latents = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(5))[None]
    # The words in order: the class, left, right, dim, bright.
    told = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]])
    with torch.inference_mode():
        for timestep in solver.timesteps:
            output = unet(latents, timestep, encoder_hidden_states=None, class_labels=told).sample
            latents = solver.step(output, timestep, latents).prev_sample
        image = vae.decode(latents / vae.config.scaling_factor).sample[0, 0]
    assert np.array_equal(((image / 2 + 0.5).clamp(0, 1) * 255).round().numpy(), ours[0, :, :, 0])


def test_a_word_each_and_nothing_for_what_is_withheld():
    hot = generator(Shape(16, 16, 1, 3, (2, 4))).multi_hot(torch.tensor([[2, 0, 3], [0, -1, 1], [-1, -1, -1]]))
    assert hot.tolist() == [[0, 0, 1, 1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 1, 0, 0], [0] * 9]


@pytest.mark.parametrize("stop_after", [3, 7], ids=["first stage", "second stage"])
def test_either_stage_resumes_to_the_same_weights_and_steps_count_through_both(stop_after, tmp_path):
    whole, resumed = generator(), generator()
    _, steps = fit(whole)
    assert steps == list(range(1, whole.total_steps + 1)) == list(range(1, 9))
    state, _ = fit(generator(), stop_after=stop_after)
    torch.save(state, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] == stop_after - 1
    _, left = fit(resumed, state)
    assert left == list(range(stop_after, 9))
    for name in ("vae", "unet"):
        ours, theirs = whole.components()[name].state_dict(), resumed.components()[name].state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert whole.vae.config.scaling_factor == resumed.vae.config.scaling_factor


def test_latents_of_mirrored_images_are_those_of_the_images_mirrored():
    made = generator(horizontal_flip=True)
    fit(made)
    pixels = torch.from_numpy(lit(6).pixels)
    flipped = torch.tensor([True, False, True, False, False, True])
    latents = made.stored(made.store(pixels), flipped)
    expected = made.encode(torch.where(flipped[:, None, None, None], pixels.flip(2), pixels))
    assert torch.allclose(latents, expected, atol=1e-5)
    assert (latents[0] - made.encode(pixels)[0]).abs().max() > 0.01


def test_a_model_that_is_given_lends_its_autoencoder_as_it_is_and_its_unet_as_a_start():
    given, further = generator(), generator(autoencoder={**AUTOENCODER, "steps": 0}, steps=1, lr=1e-9)
    fit(given)
    further.start(given.components())
    fit(further)
    ours, theirs = further.vae.state_dict(), given.vae.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert further.vae.config.scaling_factor == given.vae.config.scaling_factor
    for ours, theirs in zip(further.network.parameters(), given.network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    sibling = further.sibling(further.config)
    fit(sibling)
    assert all(torch.equal(sibling.vae.state_dict()[key], theirs) for key, theirs in given.vae.state_dict().items())
    wider = generator(autoencoder={**AUTOENCODER, "channels": [8, 8, 16]})
    with pytest.raises(ValueError, match=r"its autoencoder has channels \[8, 16\]"):
        wider.start(given.components())


def test_privacy_never_lets_the_autoencoder_see_the_images():
    private = {"privacy": PRIVACY}
    plan = Sample(n=1, prevalence="uniform")
    assert "set train.autoencoder.steps to 0" in Plugin.objections(generator(**private).config, SHAPE, plan)
    with pytest.raises(UsageError, match=r"let train\.init name a model that was trained on others"):
        fit(generator(**private))
    fixed = generator(autoencoder={**AUTOENCODER, "steps": 0}, **private)
    assert Plugin.objections(fixed.config, SHAPE, plan) is None
    with pytest.raises(UsageError, match="no model was given to take an autoencoder from"):
        fit(fixed)
    given = generator()
    fit(given)
    fixed.start(given.components())
    fit(fixed)
    assert 0 < fixed.account.epsilon <= PRIVACY["epsilon"]
    assert all(torch.equal(ours, given.vae.state_dict()[key]) for key, ours in fixed.vae.state_dict().items())


@pytest.mark.parametrize(
    ("shape", "autoencoder", "message"),
    [
        (Shape(20, 16, 1, 1), {"channels": [8, 8, 8, 8]}, "sides must be multiples of 8, since train.autoencoder.channels has 4 numbers"),
        (Shape(24, 24, 1, 1), {"channels": [8, 8, 8, 8]}, "latents of 3 x 3 cannot be halved 1 times"),
        (Shape(16, 16, 1, 1), {"perceptual": {"weights_sha256": "0" * 8}}, "needs sides of at least 32 pixels"),
    ],
)
def test_what_cannot_work_is_said_before_it_is_tried(shape, autoencoder, message):
    config = generator(autoencoder={**AUTOENCODER, **autoencoder}).config
    assert message in Plugin.objections(config, shape, Sample(n=1))


def test_features_that_are_asked_for_and_not_here_refuse_the_training(monkeypatch, tmp_path):
    asking = {**AUTOENCODER, "perceptual": {"weights_sha256": "0" * 8}}
    monkeypatch.delenv("SYNTHMILL_PERCEPTUAL_WEIGHTS", raising=False)
    with pytest.raises(SynthmillError, match="set SYNTHMILL_PERCEPTUAL_WEIGHTS to a local file"):
        weights.equipped(generator(autoencoder=asking))
    (tmp_path / "other.npz").write_bytes(b"other")
    monkeypatch.setenv("SYNTHMILL_PERCEPTUAL_WEIGHTS", str(tmp_path / "other.npz"))
    with pytest.raises(SynthmillError, match=r"params\.yaml asks for 00000000"):
        weights.equipped(generator(autoencoder=asking))
    assert weights.equipped(generator(autoencoder=AutoencoderConfig(**{**asking, "steps": 0}))).features is None
