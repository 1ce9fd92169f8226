"""How far apart two images look: the distance of what a network trained on photographs sees in them.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018 (arXiv:1801.03924), eq. 1 with all
channels weighing the same, since weights learned from people's judgement are one more file to bring.
"""

from collections.abc import Mapping

import torch
from torch import nn


class PerceptualDistance(nn.Module):
    """`forward(a, b)`: the distance of each pair of images in -1..1, N x C x H x W, grey or RGB: N, 0 where they are equal."""

    def __init__(self, stages: list[nn.Module], mean: list[float], deviation: list[float], bgr: bool) -> None:
        """`stages` follow one another, and the features after each are compared; `mean` and `deviation` of pixels in 0..255 are what
        the network was trained with, in the order of its channels."""
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.bgr = bgr
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, 3, 1, 1))

    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([one, other])
        seen = ((seen.expand(-1, 3, -1, -1) + 1) * 127.5).flip(1 if self.bgr else ())
        seen, distances = (seen - self.mean) / self.deviation, []
        for stage in self.stages:
            seen = stage(seen)
            # The small number keeps the gradient finite where no feature is seen.
            ours, theirs = (seen / (seen.square().sum(1, keepdim=True) + 1e-10).sqrt()).chunk(2)
            distances.append((ours - theirs).square().sum(1).mean(dim=(1, 2)))
        return torch.stack(distances).mean(0)


def load_perceptual(weights: Mapping[str, torch.Tensor]) -> PerceptualDistance:
    """On the features of SqueezeNet v1.0 in Caffe's layout (`conv1.weight`, `fire2.conv1x1_1.weight`, ...: Iandola et al. 2016,
    arXiv:1602.07360) or of VGG-16 in torchvision's (`features.0.weight`, ...: Simonyan, Zisserman 2014, arXiv:1409.1556).

    Raises ValueError for weights of another layout.
    """
    stages, names, scale = _vgg16() if "features.28.weight" in weights else _squeezenet()
    network = PerceptualDistance(stages, *scale)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        for name, convolution in zip(names, convolutions, strict=True):
            for part in ("weight", "bias"):
                ours, theirs = getattr(convolution, part), weights.get(f"{name}.{part}")
                if theirs is None or theirs.shape != ours.shape:
                    given = "missing" if theirs is None else f"of shape {tuple(theirs.shape)}"
                    raise ValueError(f"{name}.{part} is {given}: give SqueezeNet v1.0 in Caffe's layout, or VGG-16 in torchvision's")
                ours.copy_(theirs)
    return network.eval().requires_grad_(False)


class Fire(nn.Module):
    """SqueezeNet's block: squeezed by 1 x 1, expanded by 1 x 1 and 3 x 3 side by side."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.one = nn.Conv2d(squeezed, expanded, 1)
        self.three = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        seen = self.squeeze(seen).relu()
        return torch.cat([self.one(seen), self.three(seen)], dim=1).relu()


def _squeezenet():
    """Stages, the names of their convolutions in order, and (mean, deviation, bgr)."""

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    stages = [
        nn.Sequential(nn.Conv2d(3, 96, 7, 2), nn.ReLU()),
        nn.Sequential(pool(), Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128)),
        nn.Sequential(pool(), Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256)),
        nn.Sequential(pool(), Fire(512, 64, 256)),
    ]
    names = ["conv1", *(f"fire{k}.{part}" for k in range(2, 10) for part in ("conv1x1_1", "conv1x1_2", "conv3x3_2"))]
    return stages, names, ([104.0, 117.0, 123.0], [1.0, 1.0, 1.0], True)


def _vgg16():
    stages, names, place, channels = [], [], 0, 3
    for number, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if number else []
        place += bool(number)
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            names.append(f"features.{place}")
            place, channels = place + 2, width
        stages.append(nn.Sequential(*layers))
    # The ImageNet mean and deviation of torchvision's models, for pixels in 0..255.
    return stages, names, ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], False)
