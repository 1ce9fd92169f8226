"""Inception-v3 features as pytorch-fid computes them, from its own weights."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

FEATURES = 2048


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

    The network resizes to 299 x 299 bilinearly by itself, from values in 0..1. `precision` float32 is pytorch-fid's; bfloat16
    computes the convolutions in that and is about twice as fast on a CPU that has it, at a small difference.
    """
    if pixels.shape[3] == 1:
        pixels = pixels.repeat(3, axis=3)
    rows = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        for start in range(0, len(pixels), batch_size):
            # As they lie in memory the channels come last already.
            batch = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2).to(device).float().div(255)
            rows.append(network(batch)[0].squeeze(3).squeeze(2).float().cpu().numpy())
            tick(len(batch))
    return np.concatenate(rows).astype(np.float64)
