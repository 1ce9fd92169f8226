"""Training with differential privacy, whatever the network: DP-SGD on opacus' gradients, clipping and accountants.

Abadi et al., "Deep learning with differential privacy", CCS 2016 (arXiv:1607.00133), algorithm 1: each step takes every unit (a
patient, or an image) by a coin of its own, clips the gradient of each and adds Gaussian noise to their sum. Dockhorn et al.,
"Differentially private diffusion models", TMLR 2023 (arXiv:2210.09929), section 3.2: a unit's gradient may be the mean over several
draws of noise and timestep, which are one access to it (noise multiplicity). That of a patient is the mean over images likewise.

What the guarantee rests on beside the mathematics:
- The coins and the noise come from a secret of 256 bits that the operating system gives, never from params: whoever knows it can
  subtract the noise. It lies in the checkpoints of a run until the run ends. A private run can thus be resumed, not repeated.
- They are drawn by Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), which passes statistical tests
  and is no cryptographic generator: the guarantee holds against those who cannot tell its numbers from random ones. torch's own
  generator is none either, and on a CPU takes 32 bits of a seed only, few enough for two steps to share their noise.
- Noise made of floats is not a real Gaussian: which numbers can come out may tell of the sum beneath (Mironov, "On significance of
  the least significant bits for differential privacy", CCS 2012, for Laplace noise; Holohan, Braghin, "Secure random sampling in
  differential privacy", ESORICS 2021, arXiv:2107.10138, for Gaussian). Here noise is added in 64 bits and the sum rounded to 32, which
  makes it harder, not impossible; it needs the noised gradients of single steps, which no released model holds.
"""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.accounting import last_step, least_noise, recompute
from models.learning.unit_gradients import UnitGradients
from models.learning.unit_gradients import check as check
from schema.privacy import Privacy, PrivacyAccount

if TYPE_CHECKING:
    import torch

SCOPE = (
    "the weights and all that is made from them; not the choice of hyperparameters, nor the counts and losses recorded beside "
    "them, nor the verdicts of gates"
)
SECRET_BITS = 256


@dataclass(frozen=True)
class Plan:
    """A run that keeps to its budget: `steps` with this noise, each taking every one of `units` at `sample_rate`, spend `epsilon`."""

    noise_multiplier: float
    sample_rate: float
    steps: int
    epsilon: float
    units: int


def plan(privacy: Privacy, units: int, batch_size: int, steps: int) -> Plan:
    """The run that `privacy` asks for over `units`, of whom `batch_size` are expected in each of `steps` steps at most.

    Raises ValueError, saying what to change, where the budget allows no such run.
    """
    if privacy.delta * units >= 1:
        raise ValueError(
            f"train.privacy.delta {privacy.delta:g} is not below 1 / {units}, the share of one {privacy.unit}: "
            f"it would let one of them be published as a whole; {0.1 / units:.1g} is usual"
        )
    rate = min(1.0, batch_size / units)
    account = _account(privacy, privacy.noise_multiplier or 1.0, rate, steps, units)
    asked = f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g} for each of {units} {privacy.unit}s"
    if privacy.noise_multiplier is None:
        noise = least_noise(account, privacy.epsilon, most=float(batch_size))
        if noise is None:
            raise ValueError(
                f"{asked} over {steps} steps of {batch_size} needs more noise on each weight than all gradients of a step together: "
                "raise train.privacy.epsilon or train.batch_size, or lower train.steps"
            )
        account = account.model_copy(update={"noise_multiplier": noise})
    else:
        taken = last_step(account, privacy.epsilon)
        if not taken:
            first = recompute(account.model_copy(update={"steps": 1}), low=False).value
            raise ValueError(
                f"train.privacy.noise_multiplier {account.noise_multiplier:g} spends epsilon {first:.3g} at the first step of {batch_size} "
                f"where the budget is {asked}: raise it or leave it out, lower train.batch_size, or raise train.privacy.epsilon"
            )
        account = account.model_copy(update={"steps": taken})
    return Plan(account.noise_multiplier, rate, account.steps, recompute(account, low=False).value, units)


class PrivateSteps:
    """The steps of one private run: who is in each, and what it does to the weights.

    `owners`: int64, N: which unit (0 to plan.units - 1) each image is of. `secret`: that of the run being resumed; None starts a new one.
    All that a step draws comes from the secret and the step's number, so a resumed run ends in the weights of an undisturbed one.
    It takes hold of the network, which is to be copied (for an average) before. Train in float32, not compiled.
    """

    def __init__(
        self,
        network: "torch.nn.Module",
        optimizer: "torch.optim.Optimizer",
        privacy: Privacy,
        plan: Plan,
        owners: np.ndarray,
        secret: int | None = None,
    ) -> None:
        """Raises ValueError as `check` does, and where the owners or the optimizer are not those of the plan and the network."""
        from opacus.optimizers import DPOptimizer

        if not np.array_equal(np.unique(owners), np.arange(plan.units)):
            raise ValueError(f"owners must number all of the plan's {plan.units} {privacy.unit}s from 0")
        trained = {parameter for parameter in network.parameters() if parameter.requires_grad}
        if {parameter for group in optimizer.param_groups for parameter in group["params"]} != trained:
            raise ValueError("the optimizer must hold the trainable parameters of the network, all of them and no others")
        self.privacy, self.plan = privacy, plan
        self.owners = np.asarray(owners, dtype=np.int64)
        self._images = np.split(np.argsort(self.owners, kind="stable"), np.cumsum(np.bincount(self.owners))[:-1])
        self._secret = secrets.randbits(SECRET_BITS) if secret is None else secret
        self._next = 0
        self._gradients = UnitGradients(network, turns=privacy.noise_multiplicity, at_once=privacy.physical_batch)
        self.network = self._gradients.network
        self._parameters = list(self._gradients.names)
        self._optimizer = DPOptimizer(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            expected_batch_size=plan.sample_rate * plan.units,
        )

    def state(self) -> dict[str, int]:
        """What a resumed run must be given again. Whoever holds it can subtract the noise: it must not outlive the run."""
        return {"secret": self._secret}

    def close(self) -> None:
        """Lets go of the network: it is an ordinary one again."""
        self._gradients.close()

    def account(self, steps: int) -> PrivacyAccount:
        """What the first `steps` steps spent."""
        account = _account(self.privacy, self.plan.noise_multiplier, self.plan.sample_rate, steps, self.plan.units)
        return account.model_copy(update={"epsilon": recompute(account, low=False).value})

    def draw(self, number: int) -> np.ndarray:
        """Rows of the images in step `number` (from 0), unit by unit: int64; none where no coin fell so."""
        random = self._random("sample", number)
        taken = np.flatnonzero(random.random(self.plan.units) < self.plan.sample_rate)
        most = self.privacy.images_per_unit
        rows = [random.choice(mine, most, replace=False) if len(mine := self._images[unit]) > most else mine for unit in taken]
        return np.concatenate([np.empty(0, np.int64), *rows])

    def step(self, number: int, rows: np.ndarray, losses: Callable[[np.ndarray, np.ndarray], "torch.Tensor"]) -> dict[str, float]:
        """Step `number` on the images that `draw` gave for it, and its metrics.

        `losses(rows, turns)`, both int64 of one length, gives the loss in `network` of each image at each of its turns (0 to
        noise_multiplicity - 1), a tensor of that length. What it draws for an entry (noise, timestep) must come from the step, the row
        and the turn alone; then physical_batch changes nothing. The metrics: `grad_norm` is of the noised gradient and as private as
        the weights. `units` in the step, the mean `loss` of their images, and the share of units that were `clipped` are not private;
        the last two are missing where no unit was drawn. A loss that is not finite counts in `loss` only if none is.

        Raises ValueError past the last step of the plan, for a step taken before, and as `UnitGradients.take` does.
        """
        import torch

        if number >= self.plan.steps:
            raise ValueError(f"the privacy budget ends at step {self.plan.steps}")
        if number < self._next:
            raise ValueError(f"step {number} was taken before, and the same noise hides nothing twice")
        self._next = number + 1
        seen: list[torch.Tensor] = []
        norms: list[torch.Tensor] = []
        for units in self._gradients.micro_batches(rows, self.owners[rows]):
            loss, norm = self._gradients.take(units, losses)
            self._optimizer.clip_and_accumulate()
            seen.append(loss)
            norms.append(norm)
        if not norms:
            self._take_nothing()
        self._add_noise(number)
        self._optimizer.scale_grad()
        noised = torch.nn.utils.get_total_norm([parameter.grad for parameter in self._parameters])
        self._optimizer.original_optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        metrics = {"grad_norm": noised.item(), "units": float(sum(map(len, norms)))}
        if norms:
            loss, norm = torch.cat(seen), torch.cat(norms)
            finite = loss[loss.isfinite()]
            metrics["loss"] = (finite if len(finite) else loss).mean().item()
            metrics["clipped"] = (norm > self.privacy.max_grad_norm).float().mean().item()
        return metrics

    def _take_nothing(self) -> None:
        for parameter in self._parameters:
            parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
        self._optimizer.clip_and_accumulate()

    def _add_noise(self, number: int) -> None:
        import torch

        random = self._random("noise", number)
        scale = self.plan.noise_multiplier * self.privacy.max_grad_norm
        for parameter in self._parameters:
            noise = torch.from_numpy(scale * random.standard_normal(tuple(parameter.shape))).to(parameter.device)
            parameter.grad = (parameter.summed_grad.double() + noise).to(parameter.dtype)

    def _random(self, purpose: str, number: int) -> np.random.Generator:
        key = hashlib.blake2b(f"{purpose} {number}".encode(), key=self._secret.to_bytes(SECRET_BITS // 8), digest_size=16).digest()
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key)))


def _account(privacy: Privacy, noise: float, rate: float, steps: int, units: int) -> PrivacyAccount:
    """The account of a run, its epsilon yet to be computed."""
    return PrivacyAccount(
        mechanism=privacy.mechanism,
        unit=privacy.unit,
        adjacency="add-remove",
        scope=SCOPE,
        epsilon=privacy.epsilon,
        delta=privacy.delta,
        accountant=privacy.accountant,
        noise_multiplier=noise,
        max_grad_norm=privacy.max_grad_norm,
        sampling="poisson",
        sample_rate=rate,
        steps=steps,
        examples=units,
    )
