"""The autoencoder gives phantoms back, its latents have unit variance, and each term of its loss is the one of its paper."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from models.learning.adversarial import MOST_WEIGHT, adaptive_weight, hinge_loss, patch_discriminator
from models.learning.autoencoder import AutoencoderConfig, Objective, build_autoencoder, decode, encode, scaling_factor, train_autoencoder
from models.learning.perceptual import load_perceptual
from models.learning.training import Training
from models.phantoms import load

CPU = torch.device("cpu")
TINY = {"channels": [8, 8], "steps": 6, "batch_size": 4, "warmup": 1, "checkpoint_every": 2, "lr": 0.005}


def phantoms(n: int, side: int = 32) -> np.ndarray:
    chest = load("chest")
    drawn = [chest.draw(seed, chest.labels[seed % 2], side, side)[0]["image"] for seed in range(n)]
    return np.stack(drawn)[..., None]


def train(images: np.ndarray, resume=None, checkpoint=lambda _: None, features=None, **options):
    return train_autoencoder(images, AutoencoderConfig(**TINY | options), CPU, resume, checkpoint, lambda *_: None, features=features)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return phantoms(48)


@pytest.fixture(scope="module")
def trained(images):
    return train(images[:32], channels=[16, 16], steps=120, lr=0.01, ema_decay=0.9, reconstruction="l2")


def test_it_gives_back_images_it_never_saw_far_better_than_their_mean_would(trained, images):
    unseen = images[32:].astype(float)
    again = decode(trained, encode(trained, torch.from_numpy(images[32:])))
    assert again.shape == unseen.shape
    error, mean_error = ((again - unseen) ** 2).mean(), ((images[:32].mean(axis=0) - unseen) ** 2).mean()
    assert mean_error / error > 3


def test_latents_have_unit_variance_and_plain_diffusers_makes_the_same(trained, images, tmp_path):
    from diffusers import AutoencoderKL

    latents = encode(trained, torch.from_numpy(images[:32]))
    assert latents.shape == (32, 4, 16, 16)
    assert latents.std().item() == pytest.approx(1, abs=0.02)
    trained.save_pretrained(tmp_path)
    plain = AutoencoderKL.from_pretrained(tmp_path)
    with torch.inference_mode():
        seen = plain.encode(torch.from_numpy(images[:1]).permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mean * plain.config.scaling_factor
    assert torch.allclose(seen, latents[:1], atol=1e-5)


@pytest.mark.parametrize("adversarial", [None, {"channels": 8, "layers": 1, "start_step": 3}], ids=["alone", "with a discriminator"])
def test_a_stopped_run_resumes_bit_for_bit(adversarial, images):
    states = []
    whole = train(images, None, lambda state: states.append(copy.deepcopy(state)), adversarial=adversarial, horizontal_flip=True)
    assert [state["step"] for state in states] == [2, 4, 6]
    for state in states:
        resumed = train(images, state, adversarial=adversarial, horizontal_flip=True)
        ours, theirs = whole.state_dict(), resumed.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
        assert whole.config.scaling_factor == resumed.config.scaling_factor


def test_the_kl_is_the_closed_form_of_two_gaussians_for_each_pixel_value(images):
    config = AutoencoderConfig(**TINY)
    torch.manual_seed(config.seed)
    training = Training(build_autoencoder(config, 32, 32, 1), config, None)
    objective = Objective(training, config, images, None, None)
    clean = objective._images(0)
    with torch.no_grad():
        posterior = training.network.encode(clean).latent_dist
    mean, variance = posterior.mean.double().numpy(), posterior.std.double().numpy() ** 2
    by_hand = (0.5 * (mean**2 + variance - 1 - np.log(variance))).sum(axis=(1, 2, 3))
    assert posterior.kl().numpy() == pytest.approx(by_hand, rel=1e-5)
    assert objective.update(training, 0)["kl"].item() == pytest.approx(by_hand.mean() / (32 * 32), rel=1e-5)


def test_the_adaptive_weight_makes_both_gradients_equally_long():
    layer = nn.Parameter(torch.tensor([1.0, -2.0, 2.0]))
    reconstruction, adversarial = (layer * torch.tensor([3.0, 0.0, 4.0])).sum(), -2 * layer[0]
    assert adaptive_weight(reconstruction, adversarial, layer).item() == pytest.approx(5 / 2)
    assert adaptive_weight(reconstruction, 0 * layer.sum(), layer).item() == MOST_WEIGHT


def test_a_discriminator_is_content_beyond_the_margins_and_judges_patches_alone():
    assert hinge_loss(torch.tensor([1.5, 3.0]), torch.tensor([-1.5])).item() == 0
    assert hinge_loss(torch.tensor([0.0]), torch.tensor([0.0])).item() == 1
    judge = patch_discriminator(1, 8, 3)
    # Without the normalisation, which looks at the whole image: what a number depends on is its patch.
    judge = nn.Sequential(*(layer for layer in judge if not isinstance(layer, nn.GroupNorm)))
    image = torch.zeros(1, 1, 160, 160, requires_grad=True)
    said = judge(image)
    said[0, 0, said.shape[2] // 2, said.shape[3] // 2].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


def from_torchvision(features: nn.Sequential, names: list[str]) -> dict[str, torch.Tensor]:
    convolutions = [module for module in features.modules() if isinstance(module, nn.Conv2d)]
    return {f"{name}.{part}": getattr(each, part) for name, each in zip(names, convolutions, strict=True) for part in ("weight", "bias")}


def squeezenet():
    from torchvision.models import squeezenet1_0

    features = squeezenet1_0().features.eval()
    fires = [f"fire{k}.{part}" for k in range(2, 10) for part in ("conv1x1_1", "conv1x1_2", "conv3x3_2")]
    return features, from_torchvision(features, ["conv1", *fires]), (1, 5, 10, 12)


def vgg():
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs["D"]).eval()
    return features, {f"features.{name}": tensor for name, tensor in features.state_dict().items()}, (3, 8, 15, 22, 29)


@pytest.mark.parametrize("network", [squeezenet, vgg])
def test_the_perceptual_distance_is_that_of_torchvisions_features(network, images):
    torch.manual_seed(0)
    features, weights, taps = network()
    ours = load_perceptual(weights)
    one, other = (torch.from_numpy(images[k : k + 2]).permute(0, 3, 1, 2) / 127.5 - 1 for k in (0, 2))
    distances = []
    with torch.inference_mode():
        seen = torch.cat([one, other]).expand(-1, 3, -1, -1) * 127.5 + 127.5
        if network is squeezenet:
            seen = seen - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
        else:
            seen = (seen / 255 - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
                1, 3, 1, 1
            )
        for place, layer in enumerate(features):
            seen = layer(seen)
            if place in taps:
                a, b = nn.functional.normalize(seen, dim=1).chunk(2)
                distances.append((a - b).square().sum(1).mean((1, 2)))
        assert torch.allclose(ours(one, other), torch.stack(distances).mean(0), rtol=1e-3)
        assert ours(one, one).abs().max() == 0
    with pytest.raises(ValueError, match="is missing: give SqueezeNet"):
        load_perceptual({})


def test_a_perceptual_term_is_learnt_by_or_refused(images):
    torch.manual_seed(0)
    features = load_perceptual(squeezenet()[1])
    asked = {"perceptual": {"weight": 1.0, "weights_sha256": "0" * 8}}
    with_it, without = train(images, features=features, **asked), train(images)
    assert any(not torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True))
    with pytest.raises(ValueError, match="set SYNTHMILL_PERCEPTUAL_WEIGHTS"):
        train(images, **asked)


def test_a_loss_that_is_not_finite_names_the_step_and_what_to_lower(images):
    with pytest.raises(FloatingPointError, match=r"at step \d+ of 40 .*lower train\.autoencoder\.lr \(1e\+30\)"):
        train(images, lr=1e30, warmup=0, steps=40)


def test_latents_that_hold_nothing_are_refused(images):
    blind = build_autoencoder(AutoencoderConfig(**TINY), 32, 32, 1)
    nn.init.zeros_(blind.quant_conv.weight)
    nn.init.zeros_(blind.quant_conv.bias)
    with pytest.raises(FloatingPointError, match=r"hold nothing: lower train\.autoencoder\.kl_weight"):
        scaling_factor(blind, images)


def test_sides_that_cannot_be_halved_are_refused_before_training(images):
    with pytest.raises(ValueError, match="sides must be multiples of 2"):
        train(images[:, :31])
