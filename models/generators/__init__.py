"""What learns to draw images. A generator is one file here: a class `Plugin` with a `kind`, a `Config` and the methods below.

Importing a generator must not import torch: reading params.yaml needs the `Config` of each. Torch is imported where it is used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schema.params import Sample, Section

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shape:
    """What is drawn: `height` x `width` pixels of `channels`, of one of `classes`."""

    height: int
    width: int
    channels: int
    classes: int


class Generator:
    """A trainable model of images. Pixels are uint8, N x H x W x C; labels int64, N."""

    kind: ClassVar[str]
    Config: ClassVar[type[Section]]
    parts: ClassVar[dict[str, str]]
    """The diffusers classes that it is saved as: folder name -> class name. Plain diffusers can load each."""

    def __init__(self, config: Any, shape: Shape, device: "torch.device") -> None:
        self.config = config
        self.shape = shape
        self.device = device

    @classmethod
    def objections(cls, config: Any, height: int, width: int, plan: Sample) -> str | None:
        """Why this config cannot train images of this size or sample by this plan, where that can be known; None where it can."""
        return None

    def components(self) -> dict[str, Any]:
        """The diffusers objects to save, by the names in `parts`, with the weights to sample from (EMA)."""
        raise NotImplementedError

    def adopt(self, components: dict[str, Any]) -> None:
        """Takes what `components` gave back: the generator is ready to sample."""
        raise NotImplementedError

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        resume: dict[str, Any] | None,
        checkpoint: Callable[[dict[str, Any]], None],
        step: Callable[[int, dict[str, float]], None],
    ) -> None:
        """Trains to the end of `config.steps`, from `resume` (a state that `checkpoint` was given) or from the start.

        A run that was stopped and resumed ends in the same weights, bit for bit, as one that was not (on one machine).
        `step(n, metrics)` is called after each step. Raises FloatingPointError when the loss is not finite.
        """
        raise NotImplementedError

    def sample(self, seeds: np.ndarray, labels: np.ndarray, plan: Sample) -> np.ndarray:
        """One batch of images: uint8, N x H x W x C. Image k is drawn from `seeds[k]` alone."""
        raise NotImplementedError

    def losses(self, images: np.ndarray, labels: np.ndarray, timesteps: list[int], seed: int) -> np.ndarray:
        """The training loss of each image at each timestep: float64, N x len(timesteps). For membership attacks."""
        raise NotImplementedError

    def proximal_errors(self, images: np.ndarray, labels: np.ndarray, timesteps: list[int]) -> np.ndarray:
        """How far the noise that the model sees in an image moves when that very noise is added to it: float64,
        N x len(timesteps), the l4 norm per pixel. Nothing is drawn. Kong et al. 2024, arXiv:2305.18355, eq. 9 (PIA).

        For membership attacks by someone who holds the weights."""
        raise NotImplementedError

    def reconstruct(self, images: np.ndarray, labels: np.ndarray, timestep: int, steps: int, seed: int) -> np.ndarray:
        """The images noised to `timestep` and denoised by the model in `steps` evaluations: uint8, N x H x W x C.

        For membership attacks by someone who may only ask the model to finish an image."""
        raise NotImplementedError
