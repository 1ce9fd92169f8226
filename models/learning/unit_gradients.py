"""One gradient for each unit (a patient, or an image) in place of one for a whole batch: what differentially private training clips.

By opacus' `GradSampleModule`, which takes the gradient of each image from what goes into a layer and what comes back to it
(Goodfellow, "Efficient per-example gradient computations", 2015, arXiv:1510.01799).
"""

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def check(network: "torch.nn.Module") -> None:
    """Raises ValueError, naming the module, where a network breaks the guarantee or opacus has no gradients for single images of it.

    What it cannot see is whether forward mixes the images of a batch by its own code; then no clipping bounds what one image does.
    Buffers that change and parameters that the loss does not reach are seen by `UnitGradients` when it happens.
    """
    from opacus.grad_sample import GradSampleModule
    from opacus.validators import ModuleValidator
    from torch import nn

    never_called = (nn.ParameterList, nn.ParameterDict, nn.utils.parametrize.ParametrizationList)
    for name, module in network.named_modules():
        what = f"{type(module).__name__} {name!r}"
        trainable = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(f"{what} lets the images of a batch change each other, so no noise hides one: use GroupNorm")
        if getattr(module, "track_running_stats", False):
            raise ValueError(f"{what} keeps statistics of private images without noise: set track_running_stats=False")
        if trainable and any(True for _ in module.buffers(recurse=False)):
            raise ValueError(f"{what} has buffers, which no noise is added to: keep them outside of trainable modules, or freeze it")
        if trainable and isinstance(module, never_called):
            raise ValueError(f"{what} holds parameters that would get no gradient for each image: freeze them, or use plain layers")
        if trainable and (refused := ModuleValidator.VALIDATORS.get(type(module), lambda _: [])(module)):
            raise ValueError(f"{what} cannot be trained privately: {refused[0]}")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError("the network has nothing to train: all its parameters are frozen")
    if refused := GradSampleModule.validate(network):
        raise ValueError(f"the network cannot be trained privately: {refused[0]}")


class UnitGradients:
    """A network whose trainable parameters get, in `grad_sample`, a gradient for each unit. `network` is what the loss must call.

    `turns`: how often each image is in a unit's mean, by other noise and timesteps. `at_once`: images in memory at a time.
    """

    def __init__(self, network: "torch.nn.Module", turns: int, at_once: int) -> None:
        """Raises ValueError as `check` does."""
        import torch
        from opacus.grad_sample import GradSampleModule

        network.train()
        check(network)
        self.turns, self.at_once = turns, at_once
        self.names = {parameter: name for name, parameter in network.named_parameters() if parameter.requires_grad}
        self._bare = network
        self._buffers = self._versions()
        convolutions = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
        # opacus 1.6.0 takes the strides of a convolution's input for those of contiguous memory, and after attention they are not.
        self._hooks = [
            module.register_forward_pre_hook(_make_contiguous) for module in network.modules() if isinstance(module, convolutions)
        ]
        self.network = GradSampleModule(network, loss_reduction="sum")

    def close(self) -> None:
        """Lets go of the network: it is an ordinary one again."""
        self.network.to_standard_module()
        for hook in self._hooks:
            hook.remove()

    def micro_batches(self, rows: np.ndarray, owners: np.ndarray) -> Iterator[list[np.ndarray]]:
        """Whole units, each its rows: as many as are held at once, one at least. A unit in two parts would be clipped twice."""
        order = np.argsort(owners, kind="stable")
        batch: list[np.ndarray] = []
        size = 0
        for mine in np.split(rows[order], np.flatnonzero(np.diff(owners[order])) + 1) if len(rows) else []:
            if batch and size + len(mine) * self.turns > self.at_once:
                yield batch
                batch, size = [], 0
            batch.append(mine)
            size += len(mine) * self.turns
        if batch:
            yield batch

    def take(
        self, units: list[np.ndarray], losses: "Callable[[np.ndarray, np.ndarray], torch.Tensor]"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Leaves one gradient a unit, the mean over its rows and their turns; gives the loss of each row and turn, and each unit's norm.

        A gradient whose norm is not finite is made zero, for no factor would clip it. Raises ValueError for buffers that changed,
        and for parameters that the loss did not reach.
        """
        import torch

        sizes = np.array([len(mine) * self.turns for mine in units])
        rows = np.repeat(np.concatenate(units), self.turns)
        turns = np.tile(np.arange(self.turns), len(rows) // self.turns)
        place, share = torch.from_numpy(np.repeat(np.arange(len(units)), sizes)), torch.from_numpy(np.repeat(1 / sizes, sizes)).float()
        means: dict[torch.nn.Parameter, torch.Tensor] = {}
        seen = []
        for start in range(0, len(rows), self.at_once):
            part = slice(start, start + self.at_once)
            seen.append(self._backward(rows[part], turns[part], losses))
            for parameter in self.names:
                gradient, parameter.grad_sample = parameter.grad_sample, None
                if len(units) == len(rows):
                    means[parameter] = gradient
                    continue
                if parameter not in means:
                    means[parameter] = gradient.new_zeros((len(units), *parameter.shape))
                weight = share[part].to(gradient.device).view(-1, *[1] * parameter.dim())
                means[parameter].index_add_(0, place[part].to(gradient.device), gradient * weight)
        norms = torch.stack([torch.linalg.vector_norm(mean.flatten(1), dim=1) for mean in means.values()]).norm(dim=0)
        for parameter, mean in means.items():
            mean[~norms.isfinite()] = 0
            parameter.grad_sample = mean
        return torch.cat(seen), norms

    def _versions(self) -> dict[str, tuple[int, int]]:
        return {name: (id(buffer), buffer._version) for name, buffer in self._bare.named_buffers()}

    def _backward(self, rows: np.ndarray, turns: np.ndarray, losses) -> "torch.Tensor":
        """Leaves a gradient for each row; gives the losses."""
        for parameter in self.names:
            parameter.grad_sample = None
        loss = losses(rows, turns)
        if loss.shape != (len(rows),):
            raise ValueError(f"the loss is of shape {tuple(loss.shape)}, and must be one number for each of {len(rows)} images")
        with warnings.catch_warnings():
            # The first layer's input is an image, which needs no gradient; the gradient of the layer's weights is whole all the same.
            warnings.filterwarnings("ignore", message="Full backward hook is firing")
            loss.sum().backward()
        if changed := self._buffers.items() ^ self._versions().items():
            name = min(changed)[0]
            raise ValueError(f"buffer {name!r} changed in a step, and no noise hides what it holds: use layers without statistics")
        for parameter, name in self.names.items():
            if parameter.grad_sample is None:
                raise ValueError(f"{name!r} got no gradient for each image: freeze it if the loss does not reach it, or call its layer")
            if parameter.grad_sample.dtype != parameter.dtype:
                raise ValueError(
                    f"the gradients of {name!r} are {parameter.grad_sample.dtype}: in short numbers clipping bounds nothing exactly"
                )
            if len(parameter.grad_sample) != len(rows):
                raise ValueError(
                    f"the layer of {name!r} saw {len(parameter.grad_sample)} images, not {len(rows)}: the batch must come first"
                )
        return loss.detach()


def _make_contiguous(_module: "torch.nn.Module", inputs: tuple) -> tuple:
    return (inputs[0].contiguous(), *inputs[1:])
