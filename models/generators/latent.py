"""Latent diffusion: an autoencoder first, then denoising diffusion of its latents, told several things at once. Grey or RGB.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752). What an image is said to
show stands beside the time: one embedding for each word of the class and of every condition, all added to that of the timestep (Ho and
Salimans 2022, arXiv:2207.12598, section 3: what is not said adds nothing). So any of them can be left out, and plain diffusers holds
all that was learned.
"""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.learning.autoencoder import AutoencoderConfig, build_autoencoder, decode, encode, objection, train_autoencoder
from models.learning.diffusion import CHUNK, Diffusion, DiffusionConfig
from schema.errors import UsageError

if TYPE_CHECKING:
    import torch

OWN_AUTOENCODER = (
    "train.privacy covers the U-Net alone, so the autoencoder must not learn from these images: let train.init name a model that was "
    "trained on others, and set train.autoencoder.steps to 0"
)


class Config(DiffusionConfig):
    kind: Literal["latent"] = "latent"
    autoencoder: AutoencoderConfig
    channels: list[int] = Field(default=[64, 128, 192], min_length=1, description="feature maps at each resolution of the latents")
    layers_per_block: int = Field(default=1, ge=1)
    attention: int = Field(default=2, ge=0, description="how many of the coarsest resolutions have attention")
    class_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of images of which nothing is said, and of each further condition"
    )


class Plugin(Diffusion):
    kind = "latent"
    Config = Config
    parts: ClassVar = {"vae": "AutoencoderKL", "unet": "UNet2DConditionModel", "scheduler": "DDPMScheduler"}
    bounded = False

    vae: Any = None
    """The autoencoder, frozen: the one that training starts from, then the one that it ended with."""

    @classmethod
    def objections(cls, config, shape, plan):
        why = objection(config.autoencoder, shape.height, shape.width)
        if why is not None:
            return why
        grain = 2 ** (len(config.channels) - 1)
        height, width = (side // config.autoencoder.downsampling for side in (shape.height, shape.width))
        if height % grain or width % grain:
            return (
                f"latents of {height} x {width} cannot be halved {len(config.channels) - 1} times: "
                "give train.channels or train.autoencoder.channels a number less"
            )
        if config.privacy and config.autoencoder.steps:
            return OWN_AUTOENCODER
        return super().objections(config, shape, plan)

    @property
    def total_steps(self):
        return self.config.autoencoder.steps + super().total_steps

    @property
    def features_sha256(self):
        perceptual = self.config.autoencoder.perceptual
        return perceptual.weights_sha256 if perceptual and self.config.autoencoder.steps else None

    def sibling(self, config):
        sibling = super().sibling(config)
        sibling.features = self.features
        if not config.autoencoder.steps:
            sibling.vae = self.vae
        return sibling

    def components(self):
        return {"vae": self.vae, **super().components()}

    def adopt(self, components):
        super().adopt(components)
        self._freeze(components["vae"])

    def start(self, components):
        theirs = components["vae"]
        state, ours = theirs.state_dict(), self._untrained().state_dict()
        if {name: tensor.shape for name, tensor in state.items()} != {name: tensor.shape for name, tensor in ours.items()}:
            raise ValueError(
                f"its autoencoder has channels {list(theirs.config.block_out_channels)} in {theirs.config.layers_per_block} layers each, "
                f"{theirs.config.latent_channels} latent channels and images of {theirs.config.in_channels}: "
                "say the same in train.autoencoder, or start from another model"
            )
        super().start(components)
        self._freeze(theirs)

    def fit(self, material, resume, checkpoint, step):
        first = self.config.autoencoder.steps
        if first and self.config.privacy:
            raise UsageError(OWN_AUTOENCODER)
        trained = resume is not None and "autoencoder" in resume
        if trained:
            self._freeze(self._untrained(), resume["autoencoder"])
        elif first:
            self._freeze(self._train_autoencoder(material.pixels, resume, checkpoint, step))
        elif self.vae is None:
            raise UsageError(
                "train.autoencoder.steps is 0, and no model was given to take an autoencoder from: raise it, or set train.init"
            )

        def keep(state: dict[str, Any]) -> None:
            autoencoder = {"weights": self.vae.state_dict(), "scaling_factor": self.vae.config.scaling_factor}
            checkpoint({"autoencoder": autoencoder, "diffusion": state, "step": first + state["step"]})

        def count(number: int, metrics: dict[str, float]) -> None:
            step(first + number, metrics)

        super().fit(material, resume["diffusion"] if trained else None, keep, count)

    def _train_autoencoder(self, pixels, resume, checkpoint, step):
        start = self.vae.state_dict() if self.vae is not None else None
        return train_autoencoder(pixels, self.config.autoencoder, self.device, resume, checkpoint, step, start, self.features)

    def _untrained(self):
        return build_autoencoder(self.config.autoencoder, self.shape.height, self.shape.width, self.shape.channels)

    def _freeze(self, vae, state: dict[str, Any] | None = None) -> None:
        """Takes `vae` as the autoencoder, with the weights of a checkpoint where one is given."""
        if state is not None:
            vae.load_state_dict(state["weights"])
            vae.register_to_config(scaling_factor=state["scaling_factor"])
        self.vae = vae.to(self.device).eval().requires_grad_(False)

    def given_back(self, images):
        import torch

        if not self.config.autoencoder.steps:
            return None
        parts = [torch.from_numpy(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
        return np.concatenate([self.decode(self.encode(few)) for few in parts])

    def latent_size(self):
        grain = self.config.autoencoder.downsampling
        return self.config.autoencoder.latent_channels, self.shape.height // grain, self.shape.width // grain

    def encode(self, pixels):
        return encode(self.vae, pixels)

    def decode(self, latents):
        return decode(self.vae, latents)

    def store(self, pixels):
        """Latents, encoded once; where images are mirrored, those of the mirrored image after them."""
        import torch

        latents = self.encode(pixels)
        return torch.cat([latents, self.encode(pixels.flip(2))], dim=1) if self.config.horizontal_flip else latents

    def stored(self, rows, flipped):
        if not self.config.horizontal_flip:
            return rows
        plain, mirrored = rows.chunk(2, dim=1)
        return mirrored.where(flipped.to(rows.device)[:, None, None, None], plain)

    def predict(self, network, noisy, timesteps, conditions):
        return network(noisy, timesteps, encoder_hidden_states=None, class_labels=self.multi_hot(conditions)).sample

    def multi_hot(self, conditions: "torch.Tensor") -> "torch.Tensor":
        """A 1 for each word that is said: float, N x the words of all columns; those of a column that is withheld are 0."""
        import torch

        found = [
            torch.arange(words, device=conditions.device) == column[:, None]
            for words, column in zip(self.shape.words, conditions.unbind(1), strict=True)
        ]
        return torch.cat(found, dim=1).float()

    def build_network(self):
        from diffusers import UNet2DConditionModel

        channels, depth = self.config.channels, len(self.config.channels)
        attended = [place >= depth - self.config.attention for place in range(depth)]
        _, height, width = self.latent_size()
        return UNet2DConditionModel(
            sample_size=(height, width),
            in_channels=self.config.autoencoder.latent_channels,
            out_channels=self.config.autoencoder.latent_channels,
            layers_per_block=self.config.layers_per_block,
            block_out_channels=tuple(channels),
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attended),
            mid_block_type="UNetMidBlock2D",
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attended)),
            attention_head_dim=math.gcd(64, *(width for width, here in zip(channels, attended, strict=True) if here)),
            norm_num_groups=math.gcd(8, *channels),
            # One linear layer without the activation of diffusers' own class embedding, so that the words said add up.
            class_embed_type="simple_projection",
            projection_class_embeddings_input_dim=sum(self.shape.words),
        )
