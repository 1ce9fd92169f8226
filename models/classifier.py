"""A small convolutional classifier: the judge of utility, and the network whose features `fd-domain` compares."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

FEATURES = 64
"""Length of the feature vector before the last layer."""
CHUNK = 64
"""Images that go through the network at once when it only answers."""


class SmallCNN(nn.Module):
    """Four convolutions with batch norm and pooling, a mean over space, one linear layer. Input: float, N x C x H x W in -1..1."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = (16, 32, 64, FEATURES)
        layers: list[nn.Module] = []
        for before, after in zip((channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


def train_classifier(
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: int,
    steps: int,
    seed: int,
    device: torch.device,
    batch_size: int = 64,
    lr: float = 2e-3,
    tick: Callable[[], None] = lambda: None,
) -> SmallCNN:
    """A SmallCNN trained with cross entropy for a fixed number of steps, whatever the number of images. Pixels are uint8,
    N x H x W x C. AdamW, one-cycle learning rate, random shifts of up to two pixels; no flips, since hearts have a side."""
    torch.manual_seed(seed)
    network = SmallCNN(pixels.shape[3], classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    images = to_tensor(pixels)
    targets = torch.from_numpy(labels)
    random = np.random.default_rng(seed)
    for batch in _batches(len(pixels), batch_size, steps, random):
        shifted = _shift(images[batch], random).to(device)
        loss = nn.functional.cross_entropy(network(shifted), targets[batch].to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rate.step()
        tick()
    return network.eval()


def probabilities(network: SmallCNN, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities: float64, N x classes."""
    return _apply(lambda batch: network(batch).double().softmax(dim=1), pixels, device)


def features(network: SmallCNN, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    """Features before the last layer: float64, N x FEATURES."""
    return _apply(lambda batch: network.body(batch).double(), pixels, device)


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """uint8 N x H x W x C to float N x C x H x W in -1..1."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def _apply(function, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    with torch.inference_mode():
        return np.concatenate(
            [function(to_tensor(pixels[start : start + CHUNK]).to(device)).cpu().numpy() for start in range(0, len(pixels), CHUNK)]
        )


def _batches(n: int, size: int, steps: int, random: np.random.Generator):
    """`steps` index arrays of `size`, going through all n images before any comes again."""
    order = np.concatenate([random.permutation(n) for _ in range(-(-steps * size // n))])
    return order[: steps * size].reshape(steps, size)


def _shift(images: torch.Tensor, random: np.random.Generator, reach: int = 2) -> torch.Tensor:
    down, across = random.integers(-reach, reach + 1, size=2)
    padded = nn.functional.pad(images, (reach,) * 4, mode="replicate")
    height, width = images.shape[2:]
    return padded[:, :, reach + down : reach + down + height, reach + across : reach + across + width]
