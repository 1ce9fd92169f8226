"""Small classifiers: the judges of utility, and the network whose features other gates compare."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

FEATURES = 64
"""Length of a SmallCNN's feature vector before its last layer."""
CHUNK = 64
"""Images that go through the network at once when it only answers."""
REACH = 2
"""Largest random shift in training, in pixels."""


class SmallCNN(nn.Module):
    """Four convolutions, each with pooling, batch norm and ReLU, then one linear layer. Input: float, N x C x H x W in -1..1.

    Pooling comes before the norm and the ReLU, which then see a quarter of the values: a training step takes half the time.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = (16, 32, 64, FEATURES)
        pools = (nn.MaxPool2d(2),) * 3 + (nn.Identity(),)
        layers: list[nn.Module] = []
        for before, after, pool in zip((channels, *widths), widths, pools, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), pool, nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW under a one-cycle learning rate whose first `warm_up` share rises."""

    batch_size: int = 64
    lr: float = 4e-3
    weight_decay: float = 1e-2
    warm_up: float = 0.3


def train_classifier(
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
    batch_size: int = 64,
    lr: float = 4e-3,
    tick: Callable[[], None] = lambda: None,
) -> SmallCNN:
    """A SmallCNN trained with cross entropy for a fixed number of steps, whatever the number of images. Pixels are uint8,
    N x H x W x C."""
    torch.manual_seed(seed)
    # Channels last is the layout that CPU convolutions are quickest in.
    network = SmallCNN(pixels.shape[3], classes).to(device, memory_format=torch.channels_last)
    return fit(network, pixels, labels, steps, seed, Recipe(batch_size, lr), tick)


def fit(
    network: Network, pixels: np.ndarray, labels: np.ndarray, steps: int, seed: int, recipe: Recipe, tick: Callable[[], None]
) -> Network:
    """Trains a network where it lies, for a fixed number of steps with cross entropy and random shifts of up to two pixels;
    no flips, since hearts have a side. One seed, one order of indices: sets of equal length are gone through alike."""
    device = next(network.parameters()).device
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, foreach=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=recipe.warm_up)
    random = np.random.default_rng(seed)
    for batch in _batches(len(pixels), recipe.batch_size, steps, random):
        images = to_tensor(_shifted(pixels, batch, random)).to(device)
        loss = nn.functional.cross_entropy(network(images), torch.from_numpy(labels[batch]).to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rate.step()
        tick()
    return network.eval()


def probabilities(network: nn.Module, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities: float64, N x classes."""
    return _apply(lambda batch: network(batch).double().softmax(dim=1), pixels, device)


def features(network: nn.Module, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    """Features before the last layer: float64, N x features."""
    return _apply(lambda batch: network.body(batch).double(), pixels, device)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 N x H x W x C to float N x C x H x W in -1..1, in channels-last memory."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _apply(function, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate(
            [function(to_tensor(pixels[start : start + CHUNK]).to(device)).cpu().numpy() for start in range(0, len(pixels), CHUNK)]
        )


def _batches(n: int, size: int, steps: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """`steps` index arrays of `size`, going through all n images before any comes again."""
    order = np.concatenate([random.permutation(n) for _ in range(-(-steps * size // n))])
    yield from order[: steps * size].reshape(steps, size)


def _shifted(pixels: np.ndarray, batch: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The images at `batch`, all moved by one random shift, edges repeated."""
    down, across = random.integers(-REACH, REACH + 1, size=2)
    rows = np.clip(np.arange(pixels.shape[1]) + down, 0, pixels.shape[1] - 1)
    columns = np.clip(np.arange(pixels.shape[2]) + across, 0, pixels.shape[2] - 1)
    return pixels[batch[:, None, None], rows[:, None], columns]
