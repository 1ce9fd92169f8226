"""Embeddings of images by CLIP's vision tower, from a local folder in the layout of Hugging Face transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn


def load_clip(folder: Path, device: torch.device) -> tuple[nn.Module, Any]:
    """The vision tower with its projection, and the image processor, from `config.json`, `*.safetensors` and
    `preprocessor_config.json`; a folder of the whole of CLIP serves too. Nothing is fetched.

    Raises OSError for a missing file, ValueError or RuntimeError for weights that are not all there or do not fit.
    """
    from transformers import AutoConfig, CLIPImageProcessor, CLIPVisionModelWithProjection
    from transformers.utils import logging

    processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "vision_config"):
        # The whole of CLIP says the embedding's length once, for both towers.
        length, config = config.projection_dim, config.vision_config
        config.projection_dim = length
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        network, said = CLIPVisionModelWithProjection.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    finally:
        logging.set_verbosity(level)
    # transformers fills what is missing with random numbers, and only warns.
    if said["missing_keys"]:
        raise ValueError(f"{len(said['missing_keys'])} of the network's weights are not in {folder}, such as {min(said['missing_keys'])}")
    return network.to(device).eval(), processor


def clip_embeddings(
    network: nn.Module,
    processor: Any,
    pixels: np.ndarray,
    device: torch.device,
    tick: Callable[[int], None] = lambda _: None,
    batch_size: int = 32,
) -> np.ndarray:
    """Image embeddings of unit length, float64, N x D, of uint8 pixels N x H x W x C; grey is repeated over three channels.
    The processor resizes, crops and normalises as its own configuration says."""
    if pixels.shape[3] == 1:
        pixels = pixels.repeat(3, axis=3)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch_size):
            images = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2)
            inputs = processor(images=list(images), return_tensors="pt", input_data_format="channels_first")
            rows.append(network(pixel_values=inputs["pixel_values"].to(device)).image_embeds.double().cpu().numpy())
            tick(len(images))
    embeddings = np.concatenate(rows)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
