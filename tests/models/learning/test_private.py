"""DP-SGD against closed forms: gradients clipped by hand, the size of the noise, the coins of the units, and opacus' own accountants."""

import copy
import math

import numpy as np
import pytest
import torch
from opacus.accountants import PRVAccountant, RDPAccountant

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from models.learning import private
from schema.errors import SynthmillError
from schema.privacy import Privacy

ASKED = {"mechanism": "dp-sgd", "epsilon": 8.0, "delta": 1e-4, "max_grad_norm": 0.5}
CLIP = ASKED["max_grad_norm"]


def privacy(**options) -> Privacy:
    return Privacy(**ASKED | options)


class Line(torch.nn.Module):
    """x -> w x + b, with two parameters whose gradients are known."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.inner(x)


def steps_of(network, owners, asked: Privacy, noise: float = 0.0, rate: float = 1.0, lr: float = 1.0, secret: str | None = "s"):
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    return private.PrivateSteps(network, optimizer, asked, private.Plan(noise, rate, 10, 8.0), owners, secret)


@pytest.mark.parametrize("unit", ["image", "patient"])
@pytest.mark.parametrize("multiplicity", [1, 2])
@pytest.mark.parametrize("physical_batch", [1, 4, 64])
def test_without_noise_a_step_is_the_mean_of_unit_gradients_clipped_by_hand(unit, multiplicity, physical_batch):
    torch.manual_seed(0)
    network, features = Line(), torch.randn(9, 3) * 3
    owners = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4]) if unit == "patient" else np.arange(9)
    scales = [1.0, 0.25]

    def loss_of(net, rows, draw):
        # Each draw of a row weighs otherwise, as each noise does.
        return (net(features[rows])[:, 0] - 1) ** 2 * draw

    expected = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    for one in np.unique(owners):
        plain = copy.deepcopy(network)
        rows = np.flatnonzero(owners == one)
        torch.stack([loss_of(plain, rows, scales[m]).mean() for m in range(multiplicity)]).mean().backward()
        norm = math.sqrt(sum(float(value.grad.square().sum()) for value in plain.parameters()))
        for name, value in plain.named_parameters():
            expected[name] += value.grad * min(1.0, CLIP / norm)
    before = copy.deepcopy(network.state_dict())
    steps = steps_of(network, owners, privacy(unit=unit, noise_multiplicity=multiplicity, physical_batch=physical_batch))

    def losses(rows, _turn):
        draws = torch.tensor([scales[m] for _ in range(len(rows) // multiplicity) for m in range(multiplicity)])
        return loss_of(steps.network, rows, draws)

    steps.step(0, steps.draw(0), losses)
    for name, value in network.named_parameters():
        assert value.detach() == pytest.approx(before[name] - expected[name] / len(np.unique(owners)), abs=1e-5)


@pytest.mark.parametrize("scale", [1e6, math.inf, math.nan])
def test_no_patient_moves_the_sum_by_more_than_the_clipping_norm(scale):
    torch.manual_seed(0)
    features = torch.randn(8, 3)
    moved = []
    for wild in (False, True):
        torch.manual_seed(1)
        network = Line()
        before = copy.deepcopy(network.state_dict())
        owners = np.array([0, 1, 2, 3, 4, 4, 4, 4])
        steps = steps_of(network, owners, privacy())
        drawn = [rows for rows in steps.draw(0) if wild or rows[0] < 4]

        def losses(rows, _turn, steps=steps):
            weights = torch.where(torch.from_numpy(rows) >= 4, scale, 1.0)
            return steps.network(features[rows])[:, 0] * weights

        steps.step(0, drawn, losses)
        moved.append(torch.cat([(before[name] - value.detach()).flatten() * 5 for name, value in network.named_parameters()]))
    far = (moved[1] - moved[0]).norm().item()
    assert far == pytest.approx(CLIP if math.isfinite(scale) else 0.0, abs=1e-4)


@pytest.mark.parametrize("taken", [0, 3])
def test_the_noise_has_the_size_that_the_account_says_whoever_was_drawn(taken):
    network = torch.nn.Linear(200, 200)
    before = network.weight.detach().clone()
    steps = steps_of(network, np.arange(50), privacy(), noise=2.0, rate=0.5)
    steps.step(0, [np.array([k]) for k in range(taken)], lambda rows, _turn: steps.network(torch.zeros(len(rows), 200)).sum(1) * 0)
    moved = (before - network.weight.detach()) * (0.5 * 50)
    assert moved.std().item() == pytest.approx(2.0 * CLIP, rel=0.02)
    assert moved.mean().item() == pytest.approx(0.0, abs=0.02)


def test_each_unit_is_drawn_by_a_coin_of_its_own_and_no_more_images_than_asked():
    owners = np.repeat(np.arange(300), 5)
    steps = steps_of(Line(), owners, privacy(images_per_unit=2), rate=0.2)
    draws = [steps.draw(number) for number in range(200)]
    sizes = np.array([len(drawn) for drawn in draws])
    # Binomial(300, 0.2): mean 60, standard deviation 6.93.
    assert sizes.mean() == pytest.approx(60, abs=4 * 6.93 / math.sqrt(200))
    assert sizes.std() == pytest.approx(6.93, rel=0.25)
    assert {len(rows) for drawn in draws for rows in drawn} == {2}
    assert all(len(np.unique(owners[rows])) == 1 for drawn in draws for rows in drawn)
    assert all(np.array_equal(one, two) for one, two in zip(steps.draw(3), steps.draw(3), strict=True))


def test_secrets_come_from_the_system_and_decide_everything():
    one, two = (steps_of(Line(), np.arange(100), privacy(), rate=0.5, secret=None) for _ in range(2))
    assert len(one.secret) == 64
    assert one.secret != two.secret
    assert [int(rows[0]) for rows in one.draw(0)] != [int(rows[0]) for rows in two.draw(0)]


@pytest.mark.parametrize(("accountant", "counted"), [("rdp", RDPAccountant), ("prv", PRVAccountant)])
def test_the_noise_is_the_least_that_keeps_the_budget_by_opacus_own_count(accountant, counted):
    plan = private.plan(privacy(accountant=accountant), units=3000, batch_size=300, steps=200)
    assert plan.sample_rate == 0.1
    assert 0.98 * 8 < plan.epsilon <= 8
    stepped = counted()
    for _ in range(plan.steps):
        stepped.step(noise_multiplier=plan.noise_multiplier, sample_rate=plan.sample_rate)
    assert stepped.get_epsilon(delta=1e-4) == pytest.approx(plan.epsilon, rel=1e-9)


def test_with_noise_given_training_stops_at_the_last_step_that_the_budget_pays():
    asked = privacy(noise_multiplier=1.0, epsilon=3.0, accountant="rdp")
    plan = private.plan(asked, units=3000, batch_size=60, steps=100_000)
    assert plan.steps < 100_000
    counted = RDPAccountant()
    counted.history = [(1.0, 0.02, plan.steps)]
    assert counted.get_epsilon(delta=1e-4) <= 3.0
    counted.history = [(1.0, 0.02, plan.steps + 1)]
    assert counted.get_epsilon(delta=1e-4) > 3.0


@pytest.mark.parametrize(
    ("options", "units", "message"),
    [
        ({"delta": 1e-3}, 1000, "must be below 1 / 1000, the share of one patient"),
        ({"noise_multiplier": 0.3, "epsilon": 0.1}, 1000, "one step with noise_multiplier 0.3 already spends more"),
        ({"epsilon": 1e-9}, 1000, "cannot be kept over 200 steps"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(options, units, message):
    with pytest.raises(SynthmillError, match=message):
        private.plan(privacy(**options), units, 100, 200)


def test_batch_norm_mixes_images_and_is_refused():
    with pytest.raises(SynthmillError, match="BatchNorm"):
        private.check(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)))


class Hidden(Line):
    """A layer whose weights are used without its being called, so that no hook sees whose gradient it is."""

    def forward(self, x):
        return torch.nn.functional.linear(x, self.inner.weight, self.inner.bias)


def test_a_parameter_whose_gradient_is_not_clipped_is_refused():
    steps = steps_of(Hidden(), np.arange(4), privacy())
    with pytest.raises(SynthmillError, match=r"inner\.weight gets no gradient that is an image's own"):
        steps.step(0, steps.draw(0), lambda rows, _turn: steps.network(torch.ones(len(rows), 3))[:, 0])


TINY = {"channels": [8, 16], "steps": 6, "batch_size": 6, "checkpoint_every": 3, "timesteps": 50, "warmup": 2}


def trained(resume=None):
    shape = Shape(16, 16, 1, 2)
    made = Plugin(Config(**TINY, privacy=privacy(noise_multiplicity=2, delta=1e-2, accountant="rdp")), shape, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)
    kept, said = [], []
    material = Material(pixels, np.arange(24)[:, None] % 2, np.arange(24) // 2)
    made.fit(material, resume, lambda state: kept.append(copy.deepcopy(state)), lambda *words: said.append(words))
    return made, kept, said


def test_a_diffusion_model_trains_privately_says_what_it_spent_and_resumes_to_the_same_weights():
    made, kept, said = trained()
    assert made.account.steps == 6
    assert made.account.examples == 12
    assert made.account.sample_rate == 0.5
    assert 7.5 < made.account.epsilon <= 8
    assert [number for number, _ in said] == [1, 2, 3, 4, 5, 6]
    again, _, _ = trained(resume=kept[0])
    assert all(torch.equal(value, again.network.state_dict()[name]) for name, value in made.network.state_dict().items())
    other, _, _ = trained()
    assert not torch.equal(other.network.conv_in.weight, made.network.conv_in.weight)
