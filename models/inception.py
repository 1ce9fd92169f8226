"""Inception-v3 features as pytorch-fid computes them, from its own weights."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

FEATURES = 2048
STEM, TRUNK = 5, 7
"""How many of the network's layers stay in float32 whatever the precision: the first four convolutions, with a pooling among them. They
look at differences of neighbouring pixels, which are lost where pixels are rounded, and take a fifth of the time. And how many come
before the blocks of branches: these take a few images at once."""
AT_ONCE = 2
"""Images that go through the trunk together. Its activations, 2.8 MB an image and layer, then stay in a core's cache: the trunk takes
a quarter to a third less time than with 50, to whose speed memory sets the limit. The blocks after it want many, for they have
many weights."""


def load_inception(state: dict[str, Any], device: torch.device) -> nn.Module:
    """pytorch-fid's network with the weights of `state` (what its own `pt_inception-2015-12-05-6726825d.pth` holds).

    Channels come last in memory and each batch norm is folded into the convolution before it: the same function, about twice as
    fast on a CPU. Raises RuntimeError for weights of another layout.
    """
    from pytorch_fid import inception
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    # pytorch-fid has no argument for local weights: what it would fetch is handed to it.
    with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[FEATURES]]).eval()
    for block in [module for module in network.modules() if isinstance(getattr(module, "bn", None), nn.BatchNorm2d)]:
        block.conv = fuse_conv_bn_eval(block.conv, block.bn)
        block.bn = nn.Identity()
    return network.to(device, memory_format=torch.channels_last)


def inception_features(
    network: nn.Module,
    pixels: np.ndarray,
    device: torch.device,
    tick: Callable[[int], None],
    batch_size: int = 50,
    precision: str = "float32",
) -> np.ndarray:
    """Pool features, float64, N x 2048, of uint8 pixels N x H x W x C; grey is repeated over three channels as Pillow does.

    Resized to 299 x 299 bilinearly and brought from 0..1 to -1..1 as pytorch-fid's own `forward` does. `precision` float32 is
    pytorch-fid's; bfloat16 computes all but the STEM in that, and is nearly twice as fast on a CPU that has it, at a small difference.
    """
    layers = [layer for block in network.blocks for layer in block]
    rounded = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
    # A GPU is fast where it has much to do at once.
    at_once = AT_ONCE if device.type == "cpu" else batch_size
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            # As they lie in memory the channels come last already.
            images = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
            batch = torch.cat([_trunk(layers, few.to(device), rounded) for few in images.split(at_once)])
            with rounded:
                for layer in layers[TRUNK:]:
                    batch = layer(batch)
            rows.append(batch.flatten(1).float().cpu().numpy())
            tick(len(batch))
    return np.concatenate(rows).astype(np.float64)


def _trunk(layers: list[nn.Module], images: torch.Tensor, rounded: torch.autocast) -> torch.Tensor:
    """What the layers before the TRUNK-th make of uint8 images B x 3 x H x W: B x 192 x 35 x 35."""
    batch = images.float().contiguous(memory_format=torch.channels_last).div(255)
    batch = 2 * nn.functional.interpolate(batch, size=(299, 299), mode="bilinear", align_corners=False) - 1
    for layer in layers[:STEM]:
        batch = layer(batch)
    with rounded:
        for layer in layers[STEM:TRUNK]:
            batch = layer(batch)
    return batch
