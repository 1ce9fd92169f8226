"""Denoising diffusion in pixel space, conditional on the class or on nothing, on diffusers' `UNet2DModel`: grey or RGB, of any shape.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (arXiv:2006.11239). One model draws both with the class and
without: a last class stands for one that is withheld (Ho and Salimans 2022, arXiv:2207.12598, algorithm 1).
"""

import math
from typing import ClassVar, Literal

from pydantic import Field

from models.learning.diffusion import Diffusion, DiffusionConfig, to_pixels, to_unit


class Config(DiffusionConfig):
    kind: Literal["ddpm"] = "ddpm"
    channels: list[int] = Field(default=[16, 32, 64], min_length=1, description="feature maps at each resolution, the finest first")
    layers_per_block: int = Field(default=1, ge=1)
    attention: int = Field(
        default=1, ge=0, description="how many of the coarsest resolutions have attention: it costs the square of pixels"
    )


class Plugin(Diffusion):
    kind = "ddpm"
    Config = Config
    parts: ClassVar = {"unet": "UNet2DModel", "scheduler": "DDPMScheduler"}

    @classmethod
    def objections(cls, config, shape, plan):
        grain = 2 ** (len(config.channels) - 1)
        if shape.height % grain or shape.width % grain:
            halvings = len(config.channels) - 1
            return f"images of {shape.height} x {shape.width} cannot be halved {halvings} times: sides must be multiples of {grain}"
        if shape.conditions:
            return "train.kind ddpm is told the class alone: take train.conditions out, or use the kind latent"
        return super().objections(config, shape, plan)

    def encode(self, pixels):
        return to_unit(pixels.to(self.device))

    def decode(self, latents):
        return to_pixels(latents)

    def predict(self, network, noisy, timesteps, conditions):
        classes = conditions[:, 0]
        return network(noisy, timesteps, class_labels=classes.where(classes >= 0, self.shape.classes)).sample

    def build_network(self):
        from diffusers import UNet2DModel

        depth = len(self.config.channels)
        attention = [depth > 1 and place >= depth - self.config.attention for place in range(depth)]
        return UNet2DModel(
            sample_size=(self.shape.height, self.shape.width),
            in_channels=self.shape.channels,
            out_channels=self.shape.channels,
            layers_per_block=self.config.layers_per_block,
            block_out_channels=tuple(self.config.channels),
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            attention_head_dim=min(64, *self.config.channels[-max(1, self.config.attention) :]),
            norm_num_groups=math.gcd(8, *self.config.channels),
            # The last one stands for a class that is withheld.
            num_class_embeds=self.shape.classes + 1,
        )
