"""The judges of utility: they learn what is there to learn, the same way twice, on one scale for every network."""

import numpy as np
import pytest
import torch

from models.classifier import FEATURES, Recipe, SmallCNN, _shifted, features, fit, probabilities, to_tensor, train_classifier
from models.vit import WIDTH, VisionTransformer, small_vit, train_vit
from tests.contracts.test_gates import blobs

CPU = torch.device("cpu")


def right(network, images) -> float:
    return float((probabilities(network, images.pixels, CPU).argmax(axis=1) == images.labels).mean())


def test_the_small_cnn_tells_left_from_right_and_says_the_same_twice():
    train, test = blobs(200, 1), blobs(200, 2)
    once, twice = (train_classifier(train.pixels, train.labels, 2, 60, 3, CPU) for _ in range(2))
    assert right(once, test) > 0.95
    said = probabilities(once, test.pixels, CPU)
    assert said.shape == (200, 2)
    assert said.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(said, probabilities(twice, test.pixels, CPU))
    assert features(once, test.pixels, CPU).shape == (200, FEATURES)


def test_pooling_before_the_norm_is_pooling_after_the_relu_while_the_norm_scales_by_positive_numbers():
    """Max pooling commutes with any rising map, so in evaluation the quicker order is the usual network."""
    network = SmallCNN(1, 2).eval()
    layers = list(network.body)
    usual = torch.nn.Sequential(*[layers[k] for k in (0, 2, 3, 1, 4, 6, 7, 5, 8, 10, 11, 9, *range(12, len(layers)))])
    images = torch.randn(4, 1, 16, 16)
    assert torch.allclose(network.body(images), usual(images), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_any_number_of_steps_and_of_images_trains(steps):
    one = blobs(1, 1)
    assert probabilities(train_classifier(one.pixels, one.labels, 2, steps, 0, CPU), one.pixels, CPU).shape == (1, 2)


def test_a_shift_moves_a_pixel_by_at_most_two_and_repeats_the_edge():
    pixels = np.zeros((1, 9, 9, 1), dtype=np.uint8)
    pixels[0, 4, 4] = 255
    places = set()
    for seed in range(200):
        moved = _shifted(pixels, np.array([0]), np.random.default_rng(seed))
        assert moved.sum() == 255
        places.add(tuple(np.argwhere(moved[0, :, :, 0])[0] - 4))
    assert places == {(down, across) for down in range(-2, 3) for across in range(-2, 3)}
    edge = np.full((1, 9, 9, 1), 7, dtype=np.uint8)
    assert (_shifted(edge, np.array([0]), np.random.default_rng(0)) == 7).all()


def test_pixels_become_minus_one_to_one():
    assert to_tensor(np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1)).flatten().tolist() == [-1, 1]


def test_two_sets_of_equal_length_are_gone_through_in_the_same_order():
    """The arms of a comparison differ in their images alone: the same indices, shifts and initial weights come from the seed."""

    class Watcher(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2))
            self.seen = []

        def forward(self, images):
            self.seen.append(images[:, 0, 8, 8])
            return self.weight.expand(len(images), 2)

    numbered = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(16, 1).repeat(16, 2)
    labels = np.zeros(100, dtype=np.int64)
    first, second = (fit(Watcher(), numbered + extra, labels, 5, 7, Recipe(batch_size=16), lambda: None) for extra in (0, 100))
    for one, other in zip(first.seen, second.seen, strict=True):
        assert torch.allclose((other - one) * 127.5, torch.tensor(100.0), atol=1e-3)
    assert len(torch.cat(first.seen).unique()) == 80


def test_the_vit_learns_too_and_takes_any_size():
    train, test = blobs(200, 1), blobs(100, 2)
    assert right(train_vit(train.pixels, train.labels, 2, 40, 3, CPU), test) > 0.9
    once, twice = (train_vit(train.pixels, train.labels, 2, 2, 3, CPU) for _ in range(2))
    assert np.array_equal(features(once, test.pixels, CPU), features(twice, test.pixels, CPU))
    colour = VisionTransformer(small_vit(50, 70, 3), 5).eval()
    pixels = np.zeros((2, 50, 70, 3), dtype=np.uint8)
    assert features(colour, pixels, CPU).shape == (2, WIDTH)
    assert probabilities(colour, pixels, CPU).shape == (2, 5)


def test_a_pretrained_vit_takes_grey_images_of_another_size_and_is_left_as_it_was():
    pretrained = small_vit(32, 32, 3)
    before = {name: tensor.clone() for name, tensor in pretrained.state_dict().items()}
    train = blobs(40, 1)
    tuned = train_vit(train.pixels, train.labels, 2, 2, 0, CPU, pretrained)
    assert probabilities(tuned, train.pixels, CPU).shape == (40, 2)
    assert all(torch.equal(before[name], tensor) for name, tensor in pretrained.state_dict().items())
    assert not torch.equal(tuned.body.vit.state_dict()["layernorm.weight"], before["layernorm.weight"])
