"""The benchmark compares like with like: the same images on both sides, and batch by batch the number of the whole."""

import numpy as np
import pytest
from PIL import Image

from bench import fid
from models.frechet import feature_distance


def test_the_parquet_and_the_png_files_hold_the_same_images(tmp_path):
    fid.write_side(tmp_path, "release", 7, 16)
    read = np.concatenate(list(fid.batches(tmp_path / "release")))
    files = sorted((tmp_path / "release-png").iterdir())
    assert (read[..., 0] == np.stack([np.asarray(Image.open(path)) for path in files])).all()
    assert read.shape == (7, 16, 16, 1)


def test_streaming_gives_the_number_of_all_features_at_once(tmp_path, monkeypatch):
    project = np.random.default_rng(0).normal(size=(16 * 16, 32)) / 100

    def features(network, pixels, *_, **__):
        return pixels.reshape(len(pixels), -1) @ project

    monkeypatch.setattr("models.inception.FEATURES", 32)
    monkeypatch.setattr("models.inception.load_inception", lambda *_: None)
    monkeypatch.setattr("models.inception.inception_features", features)
    monkeypatch.setattr("torch.load", lambda *_, **__: {})
    monkeypatch.setattr(fid, "BATCH", 8)
    for side in ("release", "real"):
        fid.write_side(tmp_path, side, 20, 16)
    whole = [features(None, fid.phantoms(side, 0, 20, 16)[0]) for side in ("release", "real")]
    found = fid.measure(tmp_path / "release", tmp_path / "real", tmp_path / "weights.pth", "float32")
    assert found == pytest.approx(feature_distance(*whole), rel=1e-6)
    assert found > 0.1
