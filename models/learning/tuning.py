"""The training of a few weights of a large network: what is kept of it is what it changes."""

from typing import Any

import torch
from torch import nn

from models.learning.training import Training
from schema.errors import SynthmillError


class Tuning(Training):
    """A `Training` whose states hold the weights that are trained, and not the many that are not."""

    def __init__(self, network: nn.Module, config: Any, resume: dict[str, Any] | None) -> None:
        if resume is not None:
            whole = network.state_dict()
            resume = {**resume, **{name: {**whole, **resume[name]} for name in ("network", "average")}}
        super().__init__(network, config, resume)
        self.trained = [name for name, each in network.named_parameters() if each.requires_grad]
        ours, means = dict(network.named_parameters()), dict(self.average.named_parameters())
        self._means, self._now = [means[name] for name in self.trained], [ours[name] for name in self.trained]

    def state(self, step: int) -> dict[str, Any]:
        state = super().state(step)
        return {**state, **{name: {key: state[name][key] for key in self.trained} for name in ("network", "average")}}

    def _build_optimizer(self) -> torch.optim.Optimizer:
        if self.config.optimizer == "adamw":
            return super()._build_optimizer()
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError:
            raise SynthmillError(
                "train.optimizer adamw8bit needs the package bitsandbytes, which is not installed here: "
                "install it beside a CUDA build of torch, or set adamw"
            ) from None
        return AdamW8bit(self.parameters, lr=self.config.lr, weight_decay=self.config.weight_decay)


def with_lora(part: nn.Module, rank: int, alpha: float, targets: list[str]) -> nn.Module:
    """The network with low-rank adapters, alone to be trained, beside its linear maps whose names end in `targets`.

    Hu et al., "LoRA", ICLR 2022 (arXiv:2106.09685), section 4.1; they begin as nothing. Raises ValueError for names that it lacks.
    """
    from peft import LoraConfig, get_peft_model

    return get_peft_model(part, LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, bias="none"))


def merged(part: nn.Module) -> nn.Module:
    """The plain network, its adapters added into the weights they stood beside."""
    from peft import PeftModel

    return part.merge_and_unload() if isinstance(part, PeftModel) else part
