"""A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) as classifier: the judge of utility for larger colour images."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from models.classifier import Recipe, fit

WIDTH, DEPTH, HEADS = 128, 4, 4
FROM_SCRATCH = Recipe(batch_size=32, lr=1e-3, weight_decay=0.05, warm_up=0.2)
FINE_TUNING = Recipe(batch_size=32, lr=1e-4, weight_decay=0.05, warm_up=0.1)


class VisionTransformer(nn.Module):
    """A transformers ViT, the mean of its tokens, and one linear layer. Input: float, N x C x H x W in -1..1, of any size.

    `body` gives the features, `head` the logits, as a SmallCNN's do.
    """

    def __init__(self, vit: ViTModel, classes: int) -> None:
        super().__init__()
        self.body = Tokens(vit)
        self.head = nn.Linear(vit.config.hidden_size, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


class Tokens(nn.Module):
    """Images, made to fit what the ViT takes (channels repeated, resized bilinearly), to the mean of its tokens."""

    def __init__(self, vit: ViTModel) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        config = self.vit.config
        size = config.image_size if isinstance(config.image_size, list | tuple) else (config.image_size,) * 2
        if images.shape[1] < config.num_channels:
            images = images.repeat(1, config.num_channels, 1, 1)
        if tuple(images.shape[2:]) != tuple(size):
            images = nn.functional.interpolate(images, size=tuple(size), mode="bilinear", antialias=True)
        return self.vit(images).last_hidden_state.mean(dim=1)


def small_vit(height: int, width: int, channels: int) -> ViTModel:
    """An untrained ViT of 0.6 M parameters with patches of 16 pixels, or of a quarter of the shorter side where that is less; images
    are resized to whole patches."""
    patch = max(4, min(16, min(height, width) // 4))
    config = ViTConfig(
        image_size=(-(-height // patch) * patch, -(-width // patch) * patch),
        patch_size=patch,
        num_channels=channels,
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=2 * WIDTH,
    )
    # The fused kernels have no deterministic backward pass on every device.
    config._attn_implementation = "eager"
    return ViTModel(config, add_pooling_layer=False)


def train_vit(
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
    pretrained: ViTModel | None = None,
    tick: Callable[[], None] = lambda: None,
) -> VisionTransformer:
    """A ViT trained as `train_classifier` trains a SmallCNN: small and from scratch, or a copy of `pretrained` fine-tuned whole."""
    torch.manual_seed(seed)
    vit = small_vit(*pixels.shape[1:]) if pretrained is None else copy.deepcopy(pretrained)
    recipe = FROM_SCRATCH if pretrained is None else FINE_TUNING
    return fit(VisionTransformer(vit, classes).to(device), pixels, labels, steps, seed, recipe, tick)
