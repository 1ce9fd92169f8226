"""What learns to draw images. A generator is one file here: a class `Plugin` with a `kind`, a `Config` and the methods below.

Importing a generator must not import torch: reading params.yaml needs the `Config` of each. Torch is imported where it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from schema.conditions import WITHHELD, Condition
from schema.images import Images
from schema.params import Sample, Section
from schema.privacy import PrivacyAccount

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Shape:
    """What is drawn: `height` x `width` pixels of `channels`, of one of `classes`, told by further `conditions`, each of so many words."""

    height: int
    width: int
    channels: int
    classes: int
    conditions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))

    @property
    def words(self) -> tuple[int, ...]:
        """How many words each column of conditions has, the class first."""
        return (self.classes, *self.conditions)

    def told(self, labels: np.ndarray) -> np.ndarray:
        """Conditions that say the class and nothing else: int64, N x (1 + K)."""
        return np.pad(np.asarray(labels, dtype=np.int64)[:, None], ((0, 0), (0, len(self.conditions))), constant_values=WITHHELD)


@dataclass(frozen=True)
class Material:
    """What is trained on: `pixels` uint8, N x H x W x C; `conditions` int64, N x (1 + K); `patients` int64, N, whose each image is."""

    pixels: np.ndarray
    conditions: np.ndarray
    patients: np.ndarray

    @classmethod
    def of(cls, images: Images) -> "Material":
        return cls(images.pixels, images.conditions, images.patient_index)


class Generator:
    """A trainable model of images. Pixels are uint8, N x H x W x C.

    Conditions are int64, N x (1 + K): the class, then the code of each condition (`schema.conditions`); -1 is what is not said.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[Section]]
    parts: ClassVar[dict[str, str]]
    """The classes of diffusers or transformers that it is saved as: folder name -> class name. Each can load its folder."""

    account: PrivacyAccount | None = None
    """What a differentially private `fit` spent."""

    features: "torch.nn.Module | None" = None
    """The pretrained network of a perceptual loss (`models.learning.perceptual`), where `features_sha256` asks `fit` for one."""

    def __init__(
        self, config: Any, shape: Shape, device: "torch.device", labels: Sequence[str] = (), conditions: Sequence[Condition] = ()
    ) -> None:
        """`labels` names the classes and `conditions` what else is said, for a generator that is told by words."""
        self.config = config
        self.shape = shape
        self.device = device
        self.labels = list(labels)
        self.conditions = list(conditions)

    @classmethod
    def objections(cls, config: Any, shape: Shape, plan: Sample) -> str | None:
        """Why this config cannot train on such images or sample by this plan, where that can be known; None where it can."""
        return None

    @classmethod
    def misworded(cls, config: Any, labels: Sequence[str], conditions: Sequence[Condition]) -> str | None:
        """Why this config cannot speak of these classes and conditions, where it does so in words; None where it can."""
        return None

    @property
    def total_steps(self) -> int:
        """The number that `step` is called with last."""
        return self.config.steps

    @property
    def features_sha256(self) -> str | None:
        """How the sha256 of the weights begins that `features` must be made of before `fit`; None where it needs none."""
        return None

    def sibling(self, config: Any) -> "Generator":
        """One that has learnt nothing yet and learns by `config` from what this one learnt from: for the shadow models of an attack."""
        return type(self)(config, self.shape, self.device, self.labels, self.conditions)

    def components(self) -> dict[str, Any]:
        """The diffusers objects to save, by the names in `parts`, with the weights to sample from (EMA)."""
        raise NotImplementedError

    def pipeline(self) -> Any | None:
        """A diffusers pipeline of the components, whose index is saved beside them so that plain diffusers opens the whole folder."""
        return None

    def adopt(self, components: dict[str, Any]) -> None:
        """Takes what `components` gave back: the generator is ready to sample."""
        raise NotImplementedError

    def start(self, components: dict[str, Any]) -> None:
        """Makes the next `fit` begin from these weights (what `components` of another generator of this kind gave), not from random ones.

        Raises ValueError where they do not fit, saying how.
        """
        raise NotImplementedError

    def fit(
        self,
        material: Material,
        resume: dict[str, Any] | None,
        checkpoint: Callable[[dict[str, Any]], None],
        step: Callable[[int, dict[str, float]], None],
    ) -> None:
        """Trains to the end of `total_steps`, from `resume` (a state that `checkpoint` was given) or from the start.

        A run that was stopped and resumed ends in the same weights, bit for bit, as one that was not (on one machine).
        `step(n, metrics)` is called for each step, in order. Raises FloatingPointError when the loss is not finite: what `checkpoint` was
        given last is good.
        """
        raise NotImplementedError

    def sample(self, seeds: np.ndarray, conditions: np.ndarray, plan: Sample) -> np.ndarray:
        """One batch of images: uint8, N x H x W x C. Image k is drawn from `seeds[k]` alone."""
        raise NotImplementedError

    def losses(self, images: np.ndarray, conditions: np.ndarray, timesteps: list[int], seed: int) -> np.ndarray:
        """The training loss of each image at each timestep: float64, N x len(timesteps). For membership attacks."""
        raise NotImplementedError

    def proximal_errors(self, images: np.ndarray, conditions: np.ndarray, timesteps: list[int]) -> np.ndarray:
        """How far the noise that the model sees in an image moves when that very noise is added to it: float64,
        N x len(timesteps), the l4 norm per pixel. Nothing is drawn. Kong et al. 2024, arXiv:2305.18355, eq. 9 (PIA).

        For membership attacks by someone who holds the weights."""
        raise NotImplementedError

    def given_back(self, images: np.ndarray) -> np.ndarray | None:
        """The images after an autoencoder that learned from the members: uint8, N x H x W x C; None where there is none.

        For membership attacks by someone who holds the weights."""
        return None

    def reconstruct(self, images: np.ndarray, conditions: np.ndarray, timestep: int, steps: int, seed: int) -> np.ndarray:
        """The images noised to `timestep` and denoised by the model in `steps` evaluations: uint8, N x H x W x C.

        For membership attacks by someone who may only ask the model to finish an image."""
        raise NotImplementedError
