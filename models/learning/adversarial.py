"""A discriminator of patches for an autoencoder, so that what it gives back is as sharp as its images.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017 (arXiv:1611.07004), section 3.2.2: patches.
Esser, Rombach, Ommer, "Taming Transformers", 2021 (arXiv:2012.09841), section 3.1: the adaptive weight (eq. 7).
Lim, Ye, "Geometric GAN", 2017 (arXiv:1705.02894): the hinge loss.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from models.learning.autoencoder import Adversarial

MOST_WEIGHT = 1e4
"""Where the discriminator says nothing yet its gradient is next to zero, and the adaptive weight would be next to infinite."""


class Judge:
    """A discriminator on its way, and its optimizer."""

    def __init__(self, config: "Adversarial", channels: int, lr: float, device: torch.device) -> None:
        """`channels`: of the images that are judged."""
        self.weight = config.weight
        self.network = patch_discriminator(channels, config.channels, config.layers).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=lr, betas=(0.5, 0.9))

    def verdict(self, given_back: torch.Tensor, made: torch.Tensor, last_layer: torch.Tensor) -> torch.Tensor:
        """What the autoencoder adds to its loss for being found out: a scalar. `given_back` is the loss it is weighed against."""
        found_out = -self.network(made).mean()
        return self.weight * adaptive_weight(given_back, found_out, last_layer) * found_out

    def learn(self, real: torch.Tensor, made: torch.Tensor, rate: float) -> torch.Tensor:
        """One step of the discriminator at this learning rate, on images in -1..1; its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = hinge_loss(self.network(real), self.network(made))
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def adaptive_weight(reconstruction: torch.Tensor, adversarial: torch.Tensor, last_layer: torch.Tensor) -> torch.Tensor:
    """How much the adversarial loss must be multiplied by for its gradient at the decoder's last layer to be as long as that of the
    reconstruction (Esser et al. 2021, eq. 7), at most `MOST_WEIGHT`."""
    wanted, given = (torch.autograd.grad(loss, last_layer, retain_graph=True)[0].norm() for loss in (reconstruction, adversarial))
    return (wanted / (given + 1e-6)).clamp(max=MOST_WEIGHT).detach()


def hinge_loss(real: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """Of a discriminator that says more than 1 of what is real and less than -1 of what is made."""
    return 0.5 * ((1 - real).relu().mean() + (1 + made).relu().mean())


def patch_discriminator(channels: int, width: int, layers: int) -> nn.Sequential:
    """A number for each patch of an image. Groups are normalised, not batches: batches are small, and hold real images or made ones."""
    stages = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for layer in range(1, layers + 1):
        wide, wider = width * min(2 ** (layer - 1), 8), width * min(2**layer, 8)
        stride = 1 if layer == layers else 2
        stages += [nn.Conv2d(wide, wider, 4, stride=stride, padding=1), nn.GroupNorm(8, wider), nn.LeakyReLU(0.2)]
    return nn.Sequential(*stages, nn.Conv2d(width * min(2**layers, 8), 1, 4, padding=1))
