"""A KL autoencoder of images, diffusers' `AutoencoderKL`, trained from nothing or from weights that are given.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022 (arXiv:2112.10752), section 3.1 and
appendix G: pixels and features are given back, a discriminator may judge patches, and a KL term holds the latents near N(0, 1).
Kingma, Welling, "Auto-Encoding Variational Bayes", 2014 (arXiv:1312.6114): the draw of the latents (section 2.4), the KL (appendix B).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from models.learning.diffusion import to_pixels, to_unit
from models.learning.training import Batches, Training, TrainingConfig
from schema.params import Section

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

PIXELS = 2**20
"""Pixels that are encoded or decoded at once, whatever the size of the images: what bounds the memory."""
SCALED_ON = 256
"""Images, taken evenly from all, whose latents decide the scaling factor."""


class Perceptual(Section):
    """A term that compares features of a pretrained network, its file named by SYNTHMILL_PERCEPTUAL_WEIGHTS."""

    weight: float = Field(default=1.0, gt=0)
    weights_sha256: str = Field(min_length=8, description="sha256 of the file in SYNTHMILL_PERCEPTUAL_WEIGHTS, or how it begins")


class Adversarial(Section):
    """A discriminator that tells patches of reconstructions from patches of images."""

    weight: float = Field(default=0.5, gt=0, description="on top of the adaptive weight, which makes both gradients equally long")
    start_step: int = Field(default=0, ge=0, description="from which step on: before it there is only blur to be told apart")
    channels: int = Field(default=32, ge=8, description="feature maps of its first layer")
    layers: int = Field(default=3, ge=1, le=5, description="halvings; 3 judges patches of 70 x 70")


class AutoencoderConfig(TrainingConfig):
    path: ClassVar[str] = "train.autoencoder"

    steps: int = Field(ge=0, description="0 keeps the autoencoder that training starts from as it is")
    batch_size: int = Field(default=8, ge=1)
    warmup: int = Field(default=100, ge=0, description="steps of warm-up")
    channels: list[int] = Field(
        default=[32, 64, 64, 64],
        min_length=2,
        description="feature maps at each resolution, the finest first; each after it halves the sides",
    )
    layers_per_block: int = Field(default=1, ge=1)
    latent_channels: int = Field(default=4, ge=1, le=64)
    reconstruction: Literal["l1", "l2"] = "l1"
    kl_weight: float = Field(default=1e-6, ge=0, description="of the KL in nats a pixel value, so that it means the same at any size")
    perceptual: Perceptual | None = None
    adversarial: Adversarial | None = None
    horizontal_flip: bool = Field(default=False, description="mirror half of the images")

    @property
    def downsampling(self) -> int:
        """Pixels of a side of the image to one of a side of the latents."""
        return 2 ** (len(self.channels) - 1)


def objection(config: AutoencoderConfig, height: int, width: int) -> str | None:
    """Why images of this size cannot be encoded by this config, or trained on; None where they can."""
    grain = config.downsampling
    if height % grain or width % grain:
        return (
            f"images of {height} x {width} cannot be encoded: sides must be multiples of {grain}, "
            f"since {config.path}.channels has {len(config.channels)} numbers"
        )
    if config.perceptual and min(height, width) < 32:
        return f"{config.path}.perceptual needs sides of at least 32 pixels, and images are {height} x {width}: take it out"
    return None


def build_autoencoder(config: AutoencoderConfig, height: int, width: int, channels: int) -> "AutoencoderKL":
    """With random weights, of torch's global generator."""
    from diffusers import AutoencoderKL

    depth = len(config.channels)
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=math.gcd(8, *config.channels),
        sample_size=max(height, width),
        scaling_factor=1.0,
    )


def train_autoencoder(
    images: np.ndarray,
    config: AutoencoderConfig,
    device: "torch.device",
    resume: dict[str, Any] | None,
    checkpoint: Callable[[dict[str, Any]], None],
    step: Callable[[int, dict[str, float]], None],
    start: dict[str, "torch.Tensor"] | None = None,
    features: "torch.nn.Module | None" = None,
) -> "AutoencoderKL":
    """Trains on `images`, uint8 N x H x W x C, and gives the moving average of the weights, in eval mode; its config's `scaling_factor`
    is one over the standard deviation of the latents of these images.

    `start`: weights to begin from. `features`: the network of the perceptual term (`models.learning.perceptual`). A run that was stopped
    and resumed from what `checkpoint` was given ends in the same weights, bit for bit. Raises ValueError where a perceptual term is asked
    for without `features` or the images do not fit, FloatingPointError where the loss is not finite or the latents hold nothing.
    """
    import torch

    why = objection(config, *images.shape[1:3])
    if why is not None:
        raise ValueError(why)
    torch.manual_seed(config.seed)
    model = build_autoencoder(config, *images.shape[1:])
    if start is not None:
        model.load_state_dict(start)
    training = Training(model.to(device), config, resume)
    objective = Objective(training, config, images, features, resume)
    training.run(objective.update, lambda state: checkpoint({**state, **objective.state()}), step)
    model = training.average.eval().requires_grad_(False)
    model.register_to_config(scaling_factor=scaling_factor(model, images))
    return model


class Objective:
    """What a step of the autoencoder descends; its draws come from the seed and the step alone."""

    def __init__(
        self, training: Training, config: AutoencoderConfig, images: np.ndarray, features: Any, resume: dict[str, Any] | None
    ) -> None:
        import torch

        from models.learning.adversarial import Judge

        if config.perceptual and features is None:
            raise ValueError(f"{config.path}.perceptual needs a pretrained network: set SYNTHMILL_PERCEPTUAL_WEIGHTS, or take it out")
        self.config, self.device = config, training.device
        self.pixels = torch.from_numpy(images)
        self.batches = Batches([np.arange(len(images))], config.batch_size, config.seed)
        self.features = features.to(self.device).eval().requires_grad_(False) if config.perceptual else None
        self.judge = Judge(config.adversarial, images.shape[3], config.lr, self.device) if config.adversarial else None
        if self.judge and resume is not None:
            self.judge.load(resume["judge"])
        if config.compile:
            training.network.encoder.compile()
            training.network.decoder.compile()

    def update(self, training: Training, number: int) -> dict[str, Any]:
        config, clean = self.config, self._images(number)
        posterior, made = self._given_back(training.network, clean, number)
        error = made - clean
        pixels = error.abs().mean() if config.reconstruction == "l1" else error.square().mean()
        told, given_back = {"reconstruction": pixels.detach()}, pixels
        if config.perceptual:
            distance = self.features(made, clean).mean()
            told["perceptual"], given_back = distance.detach(), given_back + config.perceptual.weight * distance
        kl = posterior.kl().sum() / clean.numel()
        told["kl"], loss = kl.detach(), given_back + config.kl_weight * kl
        if self.judge and number >= config.adversarial.start_step:
            loss = loss + self.judge.verdict(given_back, made, training.network.decoder.conv_out.weight)
            rate = training.rate.get_last_lr()[0]
            return {**told, **training.descend(loss), "discriminator_loss": self.judge.learn(clean, made.detach(), rate)}
        return {**told, **training.descend(loss)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the autoencoder itself."""
        return {"judge": self.judge.state()} if self.judge else {}

    def _source(self, *place: int) -> "torch.Generator":
        import torch

        return torch.Generator().manual_seed(int(np.random.default_rng([self.config.seed, *place]).integers(2**63)))

    def _images(self, number: int) -> "torch.Tensor":
        import torch

        rows = self.pixels[self.batches.rows(number)]
        if self.config.horizontal_flip:
            flipped = torch.rand(len(rows), generator=self._source(3, number)) < 0.5
            rows = torch.where(flipped[:, None, None, None], rows.flip(2), rows)
        return to_unit(rows.to(self.device))

    def _given_back(self, network: "AutoencoderKL", clean: "torch.Tensor", number: int):
        """The posterior of the latents, in float32, and what a draw of it decodes to."""
        import torch
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        short = self.device.type == "cuda" and self.config.mixed_precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=short):
            posterior = DiagonalGaussianDistribution(network.encode(clean).latent_dist.parameters.float())
            noise = torch.randn(posterior.mean.shape, generator=self._source(4, number)).to(self.device)
            made = network.decode(posterior.mean + posterior.std * noise).sample.float()
        return posterior, made


def scaling_factor(model: "AutoencoderKL", images: np.ndarray) -> float:
    """One over the standard deviation of the posterior means, by which diffusion sees latents of unit variance (Rombach et al. 2022,
    appendix G); of `SCALED_ON` images. Raises FloatingPointError where all latents are alike."""
    import torch

    few = images[np.linspace(0, len(images) - 1, min(len(images), SCALED_ON)).round().astype(np.int64)]
    deviation = _means(model, torch.from_numpy(few)).double().std().item()
    if not math.isfinite(deviation) or deviation < 1e-6:
        raise FloatingPointError(
            f"the latents have a standard deviation of {deviation:g} and hold nothing: "
            f"lower {AutoencoderConfig.path}.kl_weight and run again"
        )
    return 1 / deviation


def encode(model: "AutoencoderKL", pixels: "torch.Tensor") -> "torch.Tensor":
    """The posterior mean times the scaling factor: float N x c x h x w on the model's device, of uint8 N x H x W x C. Draws nothing."""
    return _means(model, pixels) * model.config.scaling_factor


def decode(model: "AutoencoderKL", latents: "torch.Tensor") -> np.ndarray:
    """Images of what `encode` gave: uint8, N x H x W x C."""
    import torch

    area = latents.shape[2] * latents.shape[3] * 4 ** (len(model.config.block_out_channels) - 1)
    with torch.no_grad():
        made = [to_pixels(model.decode(few / model.config.scaling_factor).sample) for few in latents.split(max(1, PIXELS // area))]
    return np.concatenate(made)


def _means(model: "AutoencoderKL", pixels: "torch.Tensor") -> "torch.Tensor":
    import torch

    at_once = max(1, PIXELS // (pixels.shape[1] * pixels.shape[2]))
    with torch.no_grad():
        return torch.cat([model.encode(to_unit(few.to(model.device))).latent_dist.mean for few in pixels.split(at_once)])
