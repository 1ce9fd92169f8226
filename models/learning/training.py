"""The training of a network, whatever it learns: batches, optimizer, learning rate, moving average, and going on after a kill."""

import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from schema.params import Section

if TYPE_CHECKING:
    import torch

BURST = 10
"""Steps whose losses are fetched together from a GPU: asking after each would make it wait for the question."""


class TrainingConfig(Section):
    path: ClassVar[str] = "train"
    """Where it stands in a dataset's section of params.yaml."""

    steps: int = Field(ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0, description="peak learning rate; warm-up is linear and the decay a cosine to zero")
    warmup: int = Field(default=50, ge=0, description="steps of warm-up")
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    mixed_precision: Literal["no", "bf16"] = Field(default="bf16", description="on a GPU only; a CPU always computes in float32")
    compile: bool = Field(default=False, description="compile the network for training: minutes at the start, then faster steps on a GPU")
    checkpoint_every: int = Field(default=100, ge=1, description="steps between states from which a killed run resumes")
    seed: int = Field(default=0, ge=0)


class Training:
    """One network on its way: `network` is trained, `average` is the moving average of its weights, to sample from."""

    def __init__(self, network: "torch.nn.Module", config: TrainingConfig, resume: dict[str, Any] | None, parameters: Any = None) -> None:
        """`resume`: what `checkpoint` was given. `parameters`: those to train, all that require a gradient unless given."""
        import torch

        self.config = config
        self.network = network
        self.device = next(network.parameters()).device
        if self.device.type == "cuda":
            network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.parameters = list(parameters or (each for each in network.parameters() if each.requires_grad))
        self.optimizer = self._build_optimizer()
        self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.done = 0
        if resume is not None:
            network.load_state_dict(resume["network"])
            self.average.load_state_dict(resume["average"])
            self.optimizer.load_state_dict(resume["optimizer"])
            self.rate.load_state_dict(resume["rate"])
            self.done = resume["step"]
        self._means, self._now = list(self.average.parameters()), list(network.parameters())

    def run(
        self,
        update: Callable[["Training", int], dict[str, "torch.Tensor"]],
        checkpoint: Callable[[dict[str, Any]], None],
        step: Callable[[int, dict[str, float]], None],
        until: int | None = None,
    ) -> None:
        """Takes every step that is left, up to `until` (all, unless given). `update(self, number)` changes the weights and gives
        what to log, `loss` among it.

        Raises FloatingPointError, before anything more is kept, where the loss or the gradient is not finite.
        """
        self.network.train()
        burst = 1 if self.device.type == "cpu" else BURST
        waiting: list[dict[str, Any]] = []
        kept, until = self.done, until or self.config.steps
        for number in range(self.done, until):
            rate = self.rate.get_last_lr()[0]
            waiting.append({**update(self, number), "lr": rate})
            self.rate.step()
            self._follow(number)
            keep = (number + 1) % self.config.checkpoint_every == 0 or number + 1 == until
            if keep or len(waiting) == burst:
                first = number + 1 - len(waiting)
                for place, metrics in enumerate(waiting):
                    numbers = {name: float(value) for name, value in metrics.items()}
                    self._refuse_infinite(first + place, numbers, kept)
                    step(first + place + 1, numbers)
                waiting = []
            if keep:
                checkpoint(self.state(number + 1))
                kept = number + 1

    def descend(self, loss: "torch.Tensor") -> dict[str, "torch.Tensor"]:
        """One plain step down this loss, a scalar."""
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.optimizer.step()
        return {"loss": loss.detach(), "grad_norm": norm}

    def state(self, step: int) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state_dict(),
            "step": step,
        }

    def _build_optimizer(self) -> "torch.optim.Optimizer":
        import torch

        return torch.optim.AdamW(self.parameters, lr=self.config.lr, weight_decay=self.config.weight_decay)

    def _refuse_infinite(self, number: int, numbers: dict[str, float], kept: int) -> None:
        for name, value in numbers.items():
            if not math.isfinite(value):
                last = f"the weights of step {kept} are kept" if kept else "no weights had been kept yet"
                what = {"loss": "loss", "grad_norm": "gradient"}.get(name, name)
                raise FloatingPointError(
                    f"the {what} is {value} at step {number} of {self.config.steps} ({last}): "
                    f"lower {self.config.path}.lr ({self.config.lr:g}) and run again"
                )

    def _rate(self, step: int) -> float:
        """Share of the peak learning rate: linear warm-up, then half a cosine down to zero."""
        if step < self.config.warmup:
            return (step + 1) / self.config.warmup
        return 0.5 * (1 + math.cos(math.pi * (step - self.config.warmup) / max(1, self.config.steps - self.config.warmup)))

    def _follow(self, step: int) -> None:
        """Exponential moving average of the weights, its decay rising from 0.1 so that the start is soon forgotten."""
        import torch

        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._means, self._now, 1 - decay)


class Batches:
    """Which images each step takes, from the seed and the step alone: nothing to save when a run is stopped.

    The groups take turns in a batch, and each is gone through whole, in a new order each time.
    """

    def __init__(self, groups: list[np.ndarray], size: int, seed: int) -> None:
        self.groups, self.size, self.seed = groups, size, seed
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """int64, `size`: the rows of a step."""
        turns, places = np.divmod(np.arange(step * self.size, (step + 1) * self.size), len(self.groups))
        rows = np.empty(self.size, dtype=np.int64)
        for place, group in enumerate(self.groups):
            epochs, positions = np.divmod(turns[places == place], len(group))
            rows[places == place] = [self._order(place, int(epoch))[at] for epoch, at in zip(epochs, positions, strict=True)]
        return rows

    def _order(self, place: int, epoch: int) -> np.ndarray:
        """The order of a group in an epoch; those of past epochs are forgotten."""
        if (place, epoch) not in self._orders:
            for past in [key for key in self._orders if key[0] == place and key[1] < epoch - 1]:
                del self._orders[past]
            self._orders[place, epoch] = np.random.default_rng([self.seed, 1, place, epoch]).permutation(self.groups[place])
        return self._orders[place, epoch]
