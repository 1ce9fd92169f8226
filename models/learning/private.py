"""Differentially private training: DP-SGD on opacus, for one unit (a patient with all images, or an image) added or removed.

Abadi et al., "Deep Learning with Differential Privacy", CCS 2016 (arXiv:1607.00133), algorithm 1: each step takes every unit by a coin of
its own (Poisson sampling), clips the gradient of each, adds Gaussian noise to their sum. Dockhorn et al., "Differentially Private
Diffusion Models", TMLR 2023 (arXiv:2210.09929), section 3.2: noise multiplicity, the mean over several noises and timesteps of an image
before its gradient is clipped, which costs no privacy.

The coins and the noise come from a secret of the operating system, never from params.yaml: whoever knows them can take the noise away
again. They are stretched by generators that are not cryptographic (torch's and numpy's), and Gaussian noise in floating point leaves
traces of what it is added to (Mironov 2012, "On significance of the least significant bits for differential privacy"): the promise
is that of the mathematics, for those who see the weights and not the machine that made them.
"""

import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.accounting import EPS_ERROR, recompute
from schema.errors import SynthmillError
from schema.privacy import Privacy, PrivacyAccount

if TYPE_CHECKING:
    import torch

SCOPE = "the weights, by their training on these images; not hyperparameters, labels, counts or thresholds chosen by looking at them"


@dataclass(frozen=True)
class Plan:
    """How a budget is spent: `steps` at `sample_rate` with `noise_multiplier` cost `epsilon`, as the accountant counts."""

    noise_multiplier: float
    sample_rate: float
    steps: int
    epsilon: float


def plan(privacy: Privacy, units: int, batch_size: int, steps: int) -> Plan:
    """The least noise that keeps `steps` within the budget; with noise given, as many of the steps as the budget allows.

    `units`: patients or images to train on; `batch_size`: how many of them a step takes on average. Raises SynthmillError where the budget
    cannot be kept, saying what to change.
    """
    if privacy.delta * units >= 1:
        raise SynthmillError(f"train.privacy.delta ({privacy.delta:g}) must be below 1 / {units}, the share of one {privacy.unit}")
    rate = min(1.0, batch_size / units)
    if privacy.noise_multiplier is None:
        noise = _least_noise(privacy, rate, steps)
        return Plan(noise, rate, steps, _spent(privacy, noise, rate, steps))
    noise = privacy.noise_multiplier
    if _spent(privacy, noise, rate, 1) > privacy.epsilon:
        raise SynthmillError(
            f"one step with noise_multiplier {noise:g} already spends more than epsilon {privacy.epsilon:g}: "
            "raise train.privacy.noise_multiplier, lower train.batch_size, or leave the noise out to have it computed"
        )
    within, beyond = 1, steps + 1
    while beyond - within > 1:
        middle = (within + beyond) // 2
        within, beyond = (middle, beyond) if _spent(privacy, noise, rate, middle) <= privacy.epsilon else (within, middle)
    return Plan(noise, rate, within, _spent(privacy, noise, rate, within))


def _least_noise(privacy: Privacy, rate: float, steps: int) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    errors = {"eps_error": EPS_ERROR, "delta_error": privacy.delta / 1000} if privacy.accountant == "prv" else {}
    try:
        noise = get_noise_multiplier(
            target_epsilon=privacy.epsilon,
            target_delta=privacy.delta,
            sample_rate=rate,
            steps=steps,
            accountant=privacy.accountant,
            epsilon_tolerance=min(0.01, privacy.epsilon / 100),
            **errors,
        )
    except (ValueError, RuntimeError):  # opacus' words for a budget that no noise keeps, and for one that its grid cannot hold
        noise = math.inf
    if not math.isfinite(noise) or _spent(privacy, noise, rate, steps) > privacy.epsilon:
        raise SynthmillError(
            f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g} cannot be kept over {steps} steps that take {rate:.3g} of the "
            f"{privacy.unit}s each: raise train.privacy.epsilon, or lower train.steps or train.batch_size"
        )
    return noise


def _spent(privacy: Privacy, noise: float, rate: float, steps: int) -> float:
    """Epsilon of so many steps, as the gate `dp-claim` will compute it again."""
    return recompute(_account(privacy, Plan(noise, rate, steps, privacy.epsilon), units=1)).value


def _account(privacy: Privacy, spent: Plan, units: int) -> PrivacyAccount:
    return PrivacyAccount(
        mechanism=privacy.mechanism,
        unit=privacy.unit,
        adjacency="add-remove",
        scope=SCOPE,
        epsilon=spent.epsilon,
        delta=privacy.delta,
        accountant=privacy.accountant,
        noise_multiplier=spent.noise_multiplier,
        max_grad_norm=privacy.max_grad_norm,
        sampling="poisson",
        sample_rate=spent.sample_rate,
        steps=spent.steps,
        examples=units,
    )


def check(network: "torch.nn.Module") -> None:
    """Raises SynthmillError for a network in which the gradient of one image cannot be told from those of others, such as batch norm's."""
    from opacus.validators import ModuleValidator

    faults = ModuleValidator.validate(network, strict=False)
    if faults:
        raise SynthmillError(f"this network cannot be trained with differential privacy: {faults[0]}")
    moving = [name for name, module in network.named_modules() if getattr(module, "track_running_stats", False)]
    if moving:
        raise SynthmillError(f"this network cannot be trained with differential privacy: {moving[0]} keeps statistics of the images")


class PrivateSteps:
    """The steps of one private training. `network` is what losses must be taken of: it keeps a gradient for each image."""

    def __init__(
        self,
        network: "torch.nn.Module",
        optimizer: "torch.optim.Optimizer",
        privacy: Privacy,
        plan: Plan,
        owners: np.ndarray,
        secret: str | None = None,
    ) -> None:
        """`owners` int64, N: the unit of each image; `secret`: that of a run to be gone on with, a new one unless given."""
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        check(network)
        self.privacy, self.plan = privacy, plan
        self.units, owner = np.unique(owners, return_inverse=True)
        order = np.argsort(owner, kind="stable")
        self.images = np.split(order, np.cumsum(np.bincount(owner))[:-1])
        self.secret = secret or secrets.token_hex(32)
        self.device = next(network.parameters()).device
        self.network = GradSampleModule(network, loss_reduction="sum", strict=True)
        self.optimizer = DPOptimizer(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            expected_batch_size=plan.sample_rate * len(self.units),
        )
        self.names = {id(parameter): name for name, parameter in network.named_parameters()}

    def state(self) -> dict[str, str]:
        """What has to be kept to go on: everything in a step follows from the secret and the step's number."""
        return {"secret": self.secret}

    def account(self, steps: int) -> PrivacyAccount:
        """What `steps` steps have spent."""
        taken = Plan(
            self.plan.noise_multiplier,
            self.plan.sample_rate,
            steps,
            _spent(self.privacy, self.plan.noise_multiplier, self.plan.sample_rate, steps),
        )
        return _account(self.privacy, taken, len(self.units))

    def draw(self, number: int) -> list[np.ndarray]:
        """The units of a step, each as the rows of its images (at most `images_per_unit`, chosen at random)."""
        random = np.random.Generator(np.random.Philox(key=self._key("units", number)[:2]))
        taken = np.flatnonzero(random.random(len(self.units)) < self.plan.sample_rate)
        most = self.privacy.images_per_unit
        return [rows if len(rows) <= most else random.permutation(rows)[:most] for rows in (self.images[unit] for unit in taken)]

    def step(self, number: int, drawn: list[np.ndarray], losses: Callable[[np.ndarray, int], "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
        """One step on the units drawn. `losses(rows, turn)`: the loss of each row, of noise and timesteps that differ in each turn."""
        import torch

        self.optimizer.generator = torch.Generator(self.device).manual_seed(int(self._key("noise", number)[0] >> np.uint64(1)))
        self.optimizer.zero_grad(set_to_none=True)
        total, norm = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        parts = self._parts(drawn)
        for turn, part in enumerate(parts, start=1):
            rows = np.concatenate([np.repeat(unit, self.privacy.noise_multiplicity) for unit in part])
            found = losses(rows, turn)
            found.sum().backward()
            total += found.detach().sum()
            self._gather([len(unit) * self.privacy.noise_multiplicity for unit in part])
            self._add(last=turn == len(parts))
        if not parts:  # a step whose coins took nobody adds noise all the same
            for parameter in self.optimizer.params:
                parameter.grad_sample = torch.zeros((0, *parameter.shape), device=self.device)
            self._add(last=True)
        norm = torch.stack([parameter.grad.norm() for parameter in self.optimizer.params]).norm()
        count = max(1, sum(len(unit) for unit in drawn) * self.privacy.noise_multiplicity)
        return {"loss": total / count, "grad_norm": norm}

    def _parts(self, drawn: list[np.ndarray]) -> list[list[np.ndarray]]:
        """The units in lots of at most `physical_batch` rows (one that alone has more is a lot of its own)."""
        parts: list[list[np.ndarray]] = []
        room = 0
        for unit in drawn:
            rows = len(unit) * self.privacy.noise_multiplicity
            if not parts or rows > room:
                parts.append([])
                room = self.privacy.physical_batch
            parts[-1].append(unit)
            room -= rows
        return parts

    def _gather(self, sizes: list[int]) -> None:
        """Replaces the gradients of rows by the mean gradient of each unit, before anything is clipped: one that is no finite number
        counts as none, lest a single unit spoil the sum."""
        import torch

        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(self.device)
        share = torch.tensor([1 / size for size in sizes], device=self.device)[owner]
        for parameter in self.optimizer.params:
            rows = getattr(parameter, "grad_sample", None)
            if rows is None:
                raise SynthmillError(
                    f"{self.names[id(parameter)]} gets no gradient that is an image's own and could be clipped: no privacy can be promised"
                )
            if max(sizes) > 1:
                weighed = rows * share.view(-1, *[1] * (rows.dim() - 1))
                rows = torch.zeros((len(sizes), *rows.shape[1:]), device=self.device, dtype=rows.dtype).index_add_(0, owner, weighed)
            parameter.grad_sample = rows
        whole = torch.stack([each.grad_sample.flatten(1).isfinite().all(1) for each in self.optimizer.params]).all(0)
        if not whole.all():
            for parameter in self.optimizer.params:
                parameter.grad_sample[~whole] = 0

    def _add(self, last: bool) -> None:
        self.optimizer.signal_skip_step(do_skip=not last)
        self.optimizer.step()
        if not last:
            self.optimizer.zero_grad(set_to_none=True)

    def _key(self, purpose: str, number: int) -> np.ndarray:
        """uint64, 4: bits that follow from the secret, the purpose and the step."""
        return np.frombuffer(hashlib.sha256(f"{self.secret} {purpose} {number}".encode()).digest(), dtype=np.uint64)
