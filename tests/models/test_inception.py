"""The features of `fid` are pytorch-fid's own, from the same weights file."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.inception import inception_features, load_inception


@pytest.fixture(scope="module")
def weights():
    """Weights in the layout of pytorch-fid's own, seeded noise: the real ones cannot be fetched in a test."""
    from pytorch_fid import inception

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        network = inception.fid_inception_v3()
    return network.state_dict()


def test_features_equal_those_of_pytorch_fid(weights, tmp_path):
    from pytorch_fid.fid_score import get_activations

    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8)
    files = []
    for number, image in enumerate(pixels):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(image[:, :, 0]).save(files[-1])
    network = load_inception(weights, torch.device("cpu"))
    theirs = get_activations(files, network, batch_size=3, dims=2048, device="cpu", num_workers=0)
    ours = inception_features(network, pixels, torch.device("cpu"), lambda _: None, batch_size=6)
    assert ours.shape == (6, 2048)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert np.std(ours, axis=0).max() > 0


def test_bfloat16_gives_nearly_the_same_features(tmp_path):
    from bench.fid import phantoms, save_seeded_weights

    save_seeded_weights(tmp_path / "weights.pth", seed=0)
    network = load_inception(torch.load(tmp_path / "weights.pth", weights_only=True), torch.device("cpu"))
    pixels = np.concatenate([phantoms(side, 0, 4, 32)[0] for side in ("release", "real")])
    exact, rounded = (
        inception_features(network, pixels, torch.device("cpu"), lambda _: None, precision=name) for name in ("float32", "bfloat16")
    )
    assert 0 < np.sqrt(((exact - rounded) ** 2).mean()) < 0.1 * exact.std(axis=0).mean()
