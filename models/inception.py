"""Inception-v3 features as pytorch-fid computes them, from its own weights."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch

FEATURES = 2048


def load_inception(state: dict[str, Any], device: torch.device) -> torch.nn.Module:
    """pytorch-fid's network with the weights of `state` (what its own `pt_inception-2015-12-05-6726825d.pth` holds).

    Raises RuntimeError for weights of another layout.
    """
    from pytorch_fid import inception

    # pytorch-fid has no argument for local weights: what it would fetch is handed to it.
    with mock.patch.object(inception, "load_state_dict_from_url", return_value=state):
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[FEATURES]]).to(device).eval()


def inception_features(
    network: torch.nn.Module, pixels: np.ndarray, device: torch.device, tick: Callable[[int], None], batch_size: int = 50
) -> np.ndarray:
    """Pool features, float64, N x 2048, of uint8 pixels N x H x W x C; grey is repeated over three channels as Pillow does.

    The network resizes to 299 x 299 bilinearly by itself, from values in 0..1.
    """
    if pixels.shape[3] == 1:
        pixels = pixels.repeat(3, axis=3)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2).float().div(255).to(device)
            rows.append(network(batch)[0].squeeze(3).squeeze(2).cpu().numpy())
            tick(len(batch))
    return np.concatenate(rows).astype(np.float64)
