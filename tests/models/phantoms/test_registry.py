"""What every modality of phantom must keep, run on each one there is in models/phantoms/."""

import importlib
import json

import numpy as np
import pytest

import models.phantoms
from models.phantoms import load, modalities


@pytest.fixture(params=modalities())
def modality(request):
    return load(request.param)


def test_a_modality_draws_each_label_as_bytes_with_a_plain_truth(modality):
    for label in modality.labels:
        images, truth = modality.draw(3, label, 64, 80)
        assert all(image.dtype == np.uint8 and image.shape[:2] == (64, 80) for image in images.values())
        assert images["image"].shape[2:] in ((), (3,))
        assert images["image"].std() > 5
        assert truth["label"] == label
        assert json.loads(json.dumps(truth)) == truth


def test_a_seed_gives_one_picture_and_another_seed_another(modality):
    label = modality.labels[-1]
    first, truth = modality.draw([7, 0], label, 48, 48)
    again, same = modality.draw([7, 0], label, 48, 48)
    assert truth == same
    assert all((first[name] == again[name]).all() for name in first)
    other, _ = modality.draw([7, 1], label, 48, 48)
    assert (other["image"] != first["image"]).mean() > 0.2


def test_a_view_changes_the_picture(modality):
    label = modality.labels[0]
    one, two = (modality.draw(5, label, 48, 48, view=view) for view in (1, 2))
    assert (one[0]["image"] != two[0]["image"]).mean() > 0.2
    assert (modality.draw(5, label, 48, 48, view=2)[0]["image"] == two[0]["image"]).all()


def test_labels_of_one_seed_share_what_is_not_the_finding(modality):
    """The picture under another label is nearer than another patient's."""
    first, second = modality.labels[:2]
    image, finding, stranger = (
        modality.draw(s, label, 96, 96)[0]["image"].astype(int) for s, label in ((0, first), (0, second), (1, first))
    )
    assert 0 < np.abs(image - finding).mean() < 0.7 * np.abs(image - stranger).mean()


def test_an_unknown_label_or_modality_is_refused(modality):
    with pytest.raises(ValueError, match=", ".join(modality.labels)):
        modality.draw(0, "fracture", 32, 32)
    with pytest.raises(ValueError, match="chest, fundus, dermoscopy"):
        load("knee")


def test_a_modality_is_there_as_soon_as_its_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(models.phantoms, "KNOWN", (*models.phantoms.KNOWN, "knee"))
    assert "knee" not in modalities()
    (tmp_path / "knee.py").write_text(
        "LABELS = ('normal', 'gonarthrosis')\ndef draw(seed, label, height, width, view=None): return label\n"
    )
    monkeypatch.setattr(models.phantoms, "__path__", [*models.phantoms.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    assert modalities()[-1] == "knee"
    assert load("knee").labels == ("normal", "gonarthrosis")
