"""What a step of training draws: noise, timesteps, what is withheld and what is mirrored, the same however a run was stopped."""

from typing import TYPE_CHECKING

import numpy as np

from models.generators import Material
from schema.conditions import WITHHELD

if TYPE_CHECKING:
    import torch

    from models.learning.diffusion import Diffusion


class Drawn:
    """The noise, timesteps, withheld conditions and mirrored images of each step, from the seed and the step alone."""

    def __init__(self, generator: "Diffusion", material: Material) -> None:
        import torch

        self.generator = generator
        self.store = generator.store(torch.from_numpy(material.pixels))
        self.conditions = torch.from_numpy(material.conditions)

    def losses(self, network: "torch.nn.Module", rows: np.ndarray, step: int, turn: int = 0) -> "torch.Tensor":
        """The weighted loss of each of these rows; `turn` tells several batches of a step apart."""
        return self._weighted(network, rows, *self._draw(rows, [step, turn] if turn else [step]))

    def losses_by_entry(self, network: "torch.nn.Module", rows: np.ndarray, turns: np.ndarray, step: int) -> "torch.Tensor":
        """The same, with draws that come from the step, the row and its turn, whatever else is in the batch."""
        import torch

        draws = [self._draw(rows[[place]], [step, 1 + int(rows[place]), int(turns[place])]) for place in range(len(rows))]
        return self._weighted(network, rows, *map(torch.cat, zip(*draws, strict=True)))

    def _draw(self, rows: np.ndarray, place: list[int]) -> "tuple[torch.Tensor, ...]":
        """Noise, timesteps, conditions and whether each is mirrored."""
        import torch

        config, generator = self.generator.config, self.generator
        source = torch.Generator().manual_seed(int(np.random.default_rng([config.seed, 2, *place]).integers(2**63)))
        noise = torch.randn((len(rows), *generator.latent_size()), generator=source)
        timesteps = torch.randint(0, generator.scheduler.config.num_train_timesteps, (len(rows),), generator=source)
        said = self._withhold(self.conditions[rows], source)
        return noise, timesteps, said, torch.rand(len(rows), generator=source) < (0.5 if config.horizontal_flip else 0.0)

    def _weighted(self, network, rows, noise, timesteps, said, flipped) -> "torch.Tensor":
        generator = self.generator
        clean = generator.stored(self.store[rows], flipped)
        noise, timesteps, said = (tensor.to(generator.device, non_blocking=True) for tensor in (noise, timesteps, said))
        losses = generator.loss(network, clean, said, noise, timesteps)
        return losses * generator.weights_of(timesteps) if generator.config.snr_gamma else losses

    def _withhold(self, conditions: "torch.Tensor", source: "torch.Generator") -> "torch.Tensor":
        """The conditions with nothing said of a share of the images, and of the others each further condition withheld by a toss of its
        own, so that the model knows what to draw whichever are left out."""
        import torch

        share = self.generator.config.class_dropout
        silent = torch.rand(len(conditions), generator=source) < share
        withheld = torch.rand(conditions.shape, generator=source) < share
        withheld[:, 0] = False
        return conditions.masked_fill(withheld | silent[:, None], WITHHELD)
