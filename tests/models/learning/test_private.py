"""Private steps against plain autograd clipped by hand, closed forms of their noise and sampling, and opacus' own accounts."""

import copy
import math

import numpy as np
import pytest
import torch
from opacus.accountants import PRVAccountant, RDPAccountant
from scipy.stats import binom, chi2, norm

from models.learning.private import Plan, PrivateSteps, check, plan
from schema.privacy import Privacy

IMAGES, UNITS = 9, 4
OWNERS = {"image": np.arange(IMAGES), "patient": np.array([0, 1, 1, 2, 2, 2, 3, 1, 1])}
CLIP = 0.05


def unet2d() -> torch.nn.Module:
    """A small one of the kind that `ddpm` trains: class embedding, group norm, attention at the coarser resolution."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=16,
        norm_num_groups=8,
        num_class_embeds=3,
    )


def conditioned(**options) -> torch.nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        attention_head_dim=8,
        norm_num_groups=8,
        cross_attention_dim=12,
        **options,
    )


def latent() -> torch.nn.Module:
    return conditioned(
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2D",
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=3,
    )


def lora() -> torch.nn.Module:
    """Cross attention with trainable low-rank layers; everything else is frozen."""
    from peft import LoraConfig

    network = conditioned(down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    return network


def call(kind: str, network, noisy, times, classes):
    if kind == "unet2d":
        return network(noisy, times, class_labels=classes).sample
    shown = torch.nn.functional.one_hot(classes, 3).float()
    prompt = torch.linspace(-1, 1, 24).view(1, 2, 12) * (1 + classes.view(-1, 1, 1))
    return network(noisy, times, prompt if kind == "lora" else None, class_labels=shown if kind == "latent" else None).sample


class Problem:
    """A network, images, and a loss whose noise and timestep come from the row and the turn alone."""

    def __init__(self, kind: str = "unet2d", scale: float = 1.0, unit: str = "image"):
        torch.manual_seed(0)
        self.kind, self.unit = kind, unit
        self.start = {"unet2d": unet2d, "latent": latent, "lora": lora}[kind]()
        self.images = torch.rand(IMAGES, 1, 8, 8) * 2 - 1
        self.images[:1] *= scale
        self.owners = OWNERS[unit]

    def losses(self, network):
        def losses(rows, turns):
            sources = [torch.Generator().manual_seed(int(row) * 1000 + int(turn)) for row, turn in zip(rows, turns, strict=True)]
            noise = torch.stack([torch.randn(1, 8, 8, generator=source) for source in sources])
            times = torch.cat([torch.randint(0, 1000, (1,), generator=source) for source in sources])
            output = call(self.kind, network, self.images[rows] + noise, times, torch.from_numpy(rows % 3))
            return (output - self.images[rows]).square().mean(dim=(1, 2, 3))

        return losses

    def steps(self, noise: float = 0.0, rate: float = 1.0, lr: float = 1.0, secret: int | None = 1, **privacy) -> PrivateSteps:
        network = copy.deepcopy(self.start)
        optimizer = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=lr)
        units = len(np.unique(self.owners))
        asked = Privacy(**{"epsilon": 1.0, "delta": 1e-3, "unit": self.unit, "max_grad_norm": CLIP, "images_per_unit": IMAGES} | privacy)
        return PrivateSteps(network, optimizer, asked, Plan(noise, rate, 100, 1.0, units), self.owners, secret)

    def moved(self, steps: PrivateSteps) -> torch.Tensor:
        """By how much the weights went down: with plain SGD at a rate of 1, the gradient of all steps."""
        pairs = zip(self.start.parameters(), steps.network.parameters(), strict=True)
        return torch.cat([(old - new).detach().flatten() for old, new in pairs if new.requires_grad])

    def step(self, steps: PrivateSteps, number: int = 0, rows: np.ndarray | None = None) -> dict:
        return steps.step(number, np.arange(IMAGES) if rows is None else rows, self.losses(steps.network))

    def by_hand(self, turns: int) -> torch.Tensor:
        """The mean of the units' gradients, each that of an ordinary autograd pass over its images and turns, clipped."""
        network = copy.deepcopy(self.start).train()
        losses = self.losses(network)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        total = 0
        for unit in np.unique(self.owners):
            mine = np.flatnonzero(self.owners == unit)
            loss = torch.stack([losses(np.array([row]), np.array([turn]))[0] for row in mine for turn in range(turns)]).mean()
            gradients = torch.autograd.grad(loss, trained, allow_unused=True)
            flat = torch.cat(
                [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(gradients, trained, strict=True)]
            ).double()
            total = total + flat * min(1.0, CLIP / flat.norm().item())
        return total / len(np.unique(self.owners))


@pytest.mark.parametrize("kind", ["unet2d", "latent", "lora"])
@pytest.mark.parametrize(("unit", "turns", "at_once"), [("image", 1, 64), ("image", 2, 7), ("patient", 1, 3), ("patient", 2, 5)])
def test_without_noise_the_gradient_is_that_of_each_unit_clipped_by_hand(kind, unit, turns, at_once):
    """Patients of four images twice over are more than is held at once: in parts they must be clipped as one."""
    problem = Problem(kind, unit=unit)
    steps = problem.steps(noise_multiplicity=turns, physical_batch=at_once)
    metrics = problem.step(steps)
    expected = problem.by_hand(turns)
    assert (problem.moved(steps) - expected).norm() < 1e-4 * expected.norm()
    assert metrics["clipped"] > 0.9
    assert metrics["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-4)


@pytest.mark.parametrize("unit", ["image", "patient"])
@pytest.mark.parametrize("scale", [1e6, 1e30, math.inf])
def test_one_unit_moves_the_sum_by_no_more_than_max_grad_norm(unit, scale):
    """Also where its gradient has no finite norm: then it counts for nothing, and spoils none of the others."""
    problem = Problem(scale=scale, unit=unit)
    moved = []
    for rows in (np.arange(IMAGES), np.arange(1, IMAGES)):
        steps = problem.steps()
        assert math.isfinite(problem.step(steps, rows=rows)["loss"])
        moved.append(problem.moved(steps) * len(np.unique(problem.owners)))
    # A thousandth for float32, in which the sum of the others is rounded too.
    assert (moved[0] - moved[1]).norm() <= CLIP * 1.001
    assert moved[1].norm() > CLIP


def test_the_weights_do_not_depend_on_how_many_images_are_held_at_once():
    problem = Problem(unit="patient")
    moved = []
    for at_once in (1, 4, 64):
        steps = problem.steps(noise=1.0, noise_multiplicity=2, physical_batch=at_once)
        problem.step(steps)
        moved.append(problem.moved(steps))
    assert (moved[0] - moved[2]).abs().max() < 1e-6
    assert (moved[1] - moved[2]).abs().max() < 1e-6


def test_the_noise_has_the_standard_deviation_of_the_account():
    """Nothing drawn: what is left is noise, of noise_multiplier * max_grad_norm over the expected number of units."""
    problem = Problem(unit="patient")
    steps = problem.steps(noise=3.0, rate=0.5)
    metrics = problem.step(steps, rows=np.empty(0, np.int64))
    assert set(metrics) == {"grad_norm", "units"}
    assert metrics["units"] == 0
    noise = problem.moved(steps).double().numpy()
    expected = 3.0 * CLIP / (0.5 * UNITS)
    low, high = chi2.ppf([1e-4, 1 - 1e-4], len(noise)) / len(noise)
    assert low * expected**2 < (noise**2).mean() < high * expected**2
    assert abs(noise.mean()) < 4 * expected / math.sqrt(len(noise))
    within = np.mean(np.abs(noise) < expected)
    assert within == pytest.approx(norm.cdf(1) - norm.cdf(-1), abs=4 * math.sqrt(0.25 / len(noise)))


def test_every_unit_is_drawn_by_a_coin_of_its_own():
    problem = Problem()
    problem.owners = np.repeat(np.arange(60), 2)
    steps = problem.steps(rate=0.2, images_per_unit=1)
    drawn = np.zeros((500, 60), bool)
    first = 0
    for number in range(500):
        rows = steps.draw(number)
        owners = problem.owners[rows]
        assert len(np.unique(owners)) == len(owners), "one image of each"
        drawn[number, owners] = True
        first += np.sum(rows % 2 == 0)
    low, high = binom.ppf([1e-4, 1 - 1e-4], drawn.size, 0.2)
    assert low <= drawn.sum() <= high
    assert drawn.sum(axis=1).var() == pytest.approx(60 * 0.2 * 0.8, rel=0.3), "sizes vary as a binomial's, not as a fixed batch's"
    pairs = np.corrcoef(drawn.T)[np.triu_indices(60, 1)]
    assert np.abs(pairs).max() < 5 / math.sqrt(500)
    low, high = binom.ppf([1e-4, 1 - 1e-4], drawn.sum(), 0.5)
    assert low <= first <= high, "either image of a patient as often as the other"


def test_no_more_images_of_a_patient_than_asked():
    problem = Problem(unit="patient")
    for most in (1, 3, 9):
        drawn = np.bincount(problem.owners[problem.steps(images_per_unit=most).draw(0)])
        assert drawn.tolist() == [min(most, has) for has in (1, 4, 3, 1)]


def test_a_resumed_run_ends_in_the_same_weights_bit_for_bit():
    problem = Problem(unit="patient")
    through = problem.steps(noise=1.0, rate=0.5, lr=0.1, secret=None)
    for number in range(4):
        problem.step(through, number, through.draw(number))
    begun = problem.steps(noise=1.0, rate=0.5, lr=0.1, secret=through.state()["secret"])
    for number in range(2):
        problem.step(begun, number, begun.draw(number))
    resumed = problem.steps(noise=1.0, rate=0.5, lr=0.1, **begun.state())
    resumed.network._module.load_state_dict(begun.network._module.state_dict())
    for number in range(2, 4):
        problem.step(resumed, number, resumed.draw(number))
    assert torch.equal(problem.moved(resumed), problem.moved(through))


def test_two_runs_share_neither_secret_nor_coins_nor_noise():
    problem = Problem()
    one, other = problem.steps(noise=1.0, secret=None), problem.steps(noise=1.0, secret=None)
    assert one.state()["secret"] != other.state()["secret"]
    assert one.state()["secret"].bit_length() > 200
    nothing = np.empty(0, np.int64)
    for steps in (one, other):
        problem.step(steps, rows=nothing)
    a, b = problem.moved(one), problem.moved(other)
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / math.sqrt(len(a))
    half = [problem.steps(rate=0.5, secret=secret) for secret in (1, 2)]
    assert any(not np.array_equal(half[0].draw(number), half[1].draw(number)) for number in range(20))


def test_a_step_is_taken_once_and_none_after_the_budget():
    problem = Problem()
    steps = problem.steps(noise=1.0)
    nothing = np.empty(0, np.int64)
    problem.step(steps, 3, nothing)
    with pytest.raises(ValueError, match="the same noise hides nothing twice"):
        problem.step(steps, 3, nothing)
    with pytest.raises(ValueError, match="ends at step 100"):
        problem.step(steps, 100, nothing)


def test_a_closed_network_is_an_ordinary_one():
    problem = Problem()
    steps = problem.steps()
    problem.step(steps)
    network = steps.network._module
    steps.close()
    loss = problem.losses(network)(np.arange(2), np.zeros(2, np.int64)).sum()
    loss.backward()
    assert not any(hasattr(parameter, "grad_sample") for parameter in network.parameters())
    assert not any(module._forward_pre_hooks or module._backward_hooks for module in network.modules())


class Alone(torch.nn.Module):
    """A parameter that is used, and one that is not."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 1)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        self.mean.lerp_(x.detach().mean(), 0.1)
        return self.linear(x)


def owned(network: torch.nn.Module) -> PrivateSteps:
    return PrivateSteps(
        network,
        torch.optim.SGD(network.parameters(), lr=1.0),
        Privacy(epsilon=1.0, delta=1e-3, unit="image"),
        Plan(1.0, 1.0, 10, 1.0, 3),
        np.arange(3),
    )


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)), "BatchNorm2d '1' .* use GroupNorm"),
        (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2, affine=False)), "BatchNorm2d '1'"),
        (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.InstanceNorm2d(2, track_running_stats=True)), "track_running_stats=False"),
        (torch.nn.Sequential(torch.nn.LSTM(4, 4)), "LSTM '0'"),
        (torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 4)), "no gradient for each image"),
        (torch.nn.Linear(4, 4).requires_grad_(False), "nothing to train"),
    ],
    ids=["batch norm", "batch norm without weights", "statistics", "lstm", "parametrization", "frozen"],
)
def test_what_breaks_the_guarantee_is_refused(network, words):
    with pytest.raises(ValueError, match=words):
        check(network)


def test_what_only_shows_in_a_step_is_refused_there():
    x = torch.ones(3, 4)
    network = Alone()
    with pytest.raises(ValueError, match=r"'unused\.weight' got no gradient"):
        owned(network).step(0, np.arange(3), lambda rows, _: network.used(x[rows])[:, 0])
    counting = Counting()
    with pytest.raises(ValueError, match="buffer 'mean' changed"):
        owned(counting).step(0, np.arange(3), lambda rows, _: counting(x[rows])[:, 0])
    plain = torch.nn.Linear(4, 1)
    with pytest.raises(ValueError, match="one number for each of 3 images"):
        owned(plain).step(0, np.arange(3), lambda rows, _: plain(x[rows]).sum())
    network = Alone()
    with pytest.raises(ValueError, match="all of them and no others"):
        PrivateSteps(
            network,
            torch.optim.SGD(network.used.parameters(), lr=1.0),
            Privacy(epsilon=1.0, delta=1e-3),
            Plan(1.0, 1.0, 10, 1.0, 3),
            np.arange(3),
        )


ACCOUNTANTS = {"prv": PRVAccountant, "rdp": RDPAccountant}


@pytest.mark.parametrize("accountant", sorted(ACCOUNTANTS))
@pytest.mark.parametrize(("epsilon", "units", "batch", "steps"), [(8.0, 3000, 64, 2000), (1.0, 1000, 100, 50)])
def test_the_plan_spends_the_budget_and_no_more(accountant, epsilon, units, batch, steps):
    asked = Privacy(epsilon=epsilon, delta=0.1 / units, accountant=accountant)
    found = plan(asked, units, batch, steps)
    assert 0.99 * epsilon < found.epsilon <= epsilon
    assert (found.steps, found.units, found.sample_rate) == (steps, units, batch / units)
    counted = ACCOUNTANTS[accountant]()
    for _ in range(steps):
        counted.step(noise_multiplier=found.noise_multiplier, sample_rate=found.sample_rate)
    assert found.epsilon == counted.get_epsilon(asked.delta)


def test_the_account_of_a_run_is_that_of_its_plan():
    problem = Problem(unit="patient")
    asked = Privacy(epsilon=2.0, delta=0.01, noise_multiplier=2.0)
    found = plan(asked, UNITS, 2, 5)
    network = copy.deepcopy(problem.start)
    steps = PrivateSteps(network, torch.optim.SGD(network.parameters(), lr=1.0), asked, found, problem.owners)
    account = steps.account(found.steps)
    assert account.epsilon == found.epsilon
    assert (account.unit, account.adjacency, account.sampling, account.examples) == ("patient", "add-remove", "poisson", UNITS)
    assert account.sample_rate == 0.5
    assert account.noise_multiplier == 2.0


@pytest.mark.parametrize("accountant", sorted(ACCOUNTANTS))
def test_a_budget_ends_training_at_the_last_step_that_keeps_to_it(accountant):
    found = plan(Privacy(epsilon=2.0, delta=1e-4, noise_multiplier=1.5, accountant=accountant), 1000, 50, 100_000)
    counted = ACCOUNTANTS[accountant]()
    spent = []
    for steps in (found.steps, found.steps + 1):
        counted.history = [(1.5, 0.05, steps)]
        spent.append(counted.get_epsilon(1e-4))
    assert spent[0] <= 2.0 < spent[1]
    assert plan(Privacy(epsilon=2.0, delta=1e-4, noise_multiplier=1.5, accountant=accountant), 1000, 50, 10).steps == 10


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"epsilon": 1.0, "delta": 0.02}, r"delta 0\.02 is not below 1 / 80, the share of one patient"),
        ({"epsilon": 0.02, "delta": 1e-3}, "needs more noise on each weight than all gradients"),
        ({"epsilon": 1.0, "delta": 1e-3, "noise_multiplier": 0.3}, r"noise_multiplier 0\.3 spends epsilon \d.* at the first step"),
    ],
    ids=["delta", "epsilon", "noise"],
)
def test_a_budget_that_cannot_be_kept_is_refused_in_words(privacy, words):
    with pytest.raises(ValueError, match=words):
        plan(Privacy(**privacy), 80, 8, 1000)
