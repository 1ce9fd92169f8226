"""A model that learnt its members by heart is caught by who holds it and by who queries it; shadow models and references sharpen that."""

import numpy as np
import pytest
import torch

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from models.membership import Ranked
from schema.errors import IntegrityError, UsageError
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks import weights
from tasks.gates import mia_query, mia_white_box
from tests.contracts.test_gates import blobs


def cut(n: int, seed: int) -> Images:
    """Blobs of 8 x 8 pixels, so that a network learns forty of them by heart in seconds."""
    images = blobs(n, seed)
    return Images(images.pixels[:, 4:12, 4:12], images.labels, images.ids, images.patients, images.classes)


REAL = RealImages(train=cut(40, 1), holdout=cut(120, 2), test=cut(4, 3))


def trained(folder, images, steps: int):
    generator = Plugin(
        Config(channels=[16, 32], steps=steps, batch_size=40, timesteps=50, warmup=10, ema_decay=0.9, lr=5e-3),
        Shape(8, 8, 1, 2),
        torch.device("cpu"),
    )
    generator.fit(Material.of(images), None, lambda _: None, lambda *_: None)
    weights.save(generator, folder, "digest", 0.1)
    return folder


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("overfitted"), REAL.train, 500)


def white_box(model, **options):
    return mia_white_box.Plugin(
        mia_white_box.Config(threshold=0.1, timesteps=[5, 15, 25], proximal_timesteps=[10, 20], bootstrap=100, **options), model
    )


def test_who_holds_the_weights_knows_the_members(overfitted):
    gate = white_box(overfitted)
    found = gate.measure(REAL, REAL.test)
    assert found.evidence["auc"] > 0.9
    assert gate.status(found) is Status.FAIL
    assert {row["attack"] for row in found.evidence["attacks"]} == {"loss", "PIA"}


def test_an_autoencoder_that_gives_members_back_better_gives_them_away(overfitted, monkeypatch):
    members = {image.tobytes() for image in REAL.train.pixels}

    def given_back(_generator, images):
        return np.stack([image if image.tobytes() in members else image ^ 8 for image in images])

    monkeypatch.setattr(Plugin, "given_back", given_back)
    found = white_box(overfitted).measure(REAL, REAL.test)
    assert {row["attack"]: row["auc"] for row in found.evidence["attacks"]}["autoencoder"] > 0.99


def test_shadows_that_would_start_elsewhere_than_the_model_did_are_refused(overfitted, tmp_path):
    generator, said = weights.open_model(overfitted)
    weights.save(generator, tmp_path, said["dataset_digest"], 0.1, init={"reference": "a@released", "digest": "d", "public": True})
    with pytest.raises(UsageError, match="started from another"):
        white_box(tmp_path, shadows=2).measure(REAL, REAL.test)


def test_who_queries_the_model_knows_the_members(overfitted):
    gate = mia_query.Plugin(mia_query.Config(threshold=0.1, timesteps=[10, 25], bootstrap=100), overfitted)
    found = gate.measure(REAL, REAL.test)
    assert found.evidence["auc"] > 0.8
    assert gate.status(found) is Status.FAIL


def test_shadow_models_and_a_reference_are_tried_where_asked_for(overfitted, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    trained(tmp_path / "reference", cut(100, 8), 100)
    digest = weights.open_model(tmp_path / "reference")[1]["digest"]
    gate = white_box(overfitted, reference="reference", reference_digest=digest, shadows=2, shadow_steps=80)
    found = gate.measure(REAL, REAL.test)
    rows = {row["attack"]: row["auc"] for row in found.evidence["attacks"]}
    assert set(rows) == {"loss", "PIA", "calibrated loss", "LiRA"}
    assert rows["calibrated loss"] > 0.9
    assert rows["LiRA"] > 0.5
    with pytest.raises(IntegrityError, match="reference_digest"):
        white_box(overfitted, reference="reference", reference_digest="other").measure(REAL, REAL.test)


def test_a_model_of_others_gives_nothing_away(tmp_path):
    gate = white_box(trained(tmp_path, cut(40, 7), 100))
    found = gate.measure(REAL, REAL.test)
    assert found.evidence["auc_interval"][0] < 0.5 < found.evidence["auc_interval"][1]
    assert gate.status(found) is not Status.FAIL


def test_noise_is_the_same_for_all_whatever_their_order(overfitted):
    """Losses of equal images differ by their noise alone: the mean over many is the same for members and others."""
    generator, _ = weights.open_model(overfitted)
    same = np.repeat(REAL.test.pixels[:1], 400, axis=0)
    losses = generator.losses(same, np.zeros((400, 1), dtype=np.int64), [20], seed=0)[:, 0]
    assert Ranked(losses[:200], losses[200:]).auc() == pytest.approx(0.5, abs=0.09)
