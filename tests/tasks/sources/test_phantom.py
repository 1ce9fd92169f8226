"""The phantom source: any modality, image i from its seed and number alone, and the truth in `meta`, `images` and `attributes`."""

import json
from itertools import islice

import numpy as np
import pytest

from models.phantoms import load
from schema.digest import sha256_pixels
from schema.errors import UsageError
from schema.params import validate
from tasks.sources.phantom import Plugin


def source(**options) -> Plugin:
    return Plugin(validate(Plugin.Config, {"kind": "phantom", "n": 12, **options}, "source"))


def test_a_modality_brings_its_own_labels_images_and_attributes():
    record = next(source(modality="fundus", classes=["glaucoma"], size=64).records())
    assert record.image.shape == (64, 64, 3)
    assert {name: image.shape for name, image in record.images.items()} == {"vessels": (64, 64)}
    assert set(np.unique(record.images["vessels"])) == {0, 255}
    assert record.attributes["laterality"] in ("left", "right")
    assert record.attributes["cup_to_disc_ratio"] == record.meta["cup_to_disc_ratio"] > 0.65
    mole = next(source(modality="dermoscopy", classes=["melanoma"], size=64).records())
    assert set(mole.images) == {"mask"}
    assert mole.attributes["colours"] == mole.meta["colours"]
    assert not {"lesion", "spots", "label"} & set(mole.attributes)
    chest = next(source().records())
    assert chest.image.ndim == 2
    assert not chest.images
    assert chest.attributes["cardiothoracic_ratio"] == chest.meta["cardiothoracic_ratio"]


@pytest.mark.parametrize(("modality", "classes"), [("chest", {"normal", "opacity"}), ("fundus", {"normal", "diabetic-retinopathy"})])
def test_without_classes_the_first_two_are_drawn(modality, classes):
    assert source(modality=modality).labels() == classes == set(load(modality).labels[:2])


@pytest.mark.parametrize("modality", ["chest", "fundus", "dermoscopy"])
def test_image_i_does_not_depend_on_how_many_there_are(modality):
    options = {"modality": modality, "seed": 3, "size": 48}
    short, long = list(source(n=5, **options).records()), list(islice(source(n=500, **options).records(), 5))
    for a, b in zip(short, long, strict=True):
        assert (a.id, a.patient, a.label, a.meta, a.attributes) == (b.id, b.patient, b.label, b.meta, b.attributes)
        assert (a.image == b.image).all()
        assert all((a.images[name] == b.images[name]).all() for name in a.images)
    other = next(source(**{**options, "n": 1, "seed": 4}).records())
    assert (other.image != short[0].image).any()


def test_a_run_in_the_middle_is_read_alone():
    whole = list(source(n=150, size=32).records())
    units = list(source(n=150, size=32).units())
    assert [unit.facts for unit in units] == [{"first": 0, "last": 64}, {"first": 64, "last": 128}, {"first": 128, "last": 150}]
    assert [record.id for record in source(n=150, size=32).read(units[1])] == [record.id for record in whole[64:128]]


def test_no_two_images_are_alike_and_classes_are_balanced():
    records = list(source(n=301, size=32).records())
    assert len({sha256_pixels(record.image) for record in records}) == len({record.id for record in records}) == 301
    counts = [sum(record.label == label for record in records) for label in ("normal", "opacity")]
    assert sorted(counts) == [150, 151]
    assert all((record.label == "opacity") == bool(record.meta["opacities"]) for record in records)


def test_a_patients_images_share_the_anatomy_and_nothing_else():
    records = list(source(n=9, images_per_patient=3, classes=["normal", "opacity", "cardiomegaly"]).records())
    assert [record.patient for record in records] == [f"patient-{i // 3:06d}" for i in range(9)]
    anatomies = [json.dumps(record.meta["anatomy_cm"]) for record in records]
    assert len(set(anatomies[:3])) == 1
    assert len(set(anatomies)) == 3
    assert len({record.meta["exposure"]["field"] for record in records}) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["normal", "opacty"]}, r"source\.classes.*did you mean 'opacity'"),
        ({"classes": ["normal", "normal"]}, r"source\.classes.*differ"),
        ({"classes": []}, r"source\.classes.*one or more"),
        ({"modality": "fundus", "classes": ["opacity"]}, r"source\.classes.*normal, diabetic-retinopathy, glaucoma, amd"),
        ({"n": 0}, r"source\.n: 0 given"),
        ({"modality": "fundu"}, r"source\.modality.*did you mean 'fundus'"),
        ({"images": 3}, r"source\.images: unknown key"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(UsageError, match=message):
        source(**options)
