"""What every source must keep, run on each one there is in tasks/sources/."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from examples import SOURCES
from pydantic import ValidationError

import tasks.sources
from schema import plugins
from schema.digest import sha256_pixels
from schema.errors import UsageError
from schema.params import Section, validate
from schema.record import SPLITS, Record, Rejected

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGINS = plugins.find(tasks.sources)
HEAVY = {"torch", "diffusers", "transformers", "mlflow", "great_expectations", "prefect"}


@pytest.fixture(params=sorted(PLUGINS))
def plugin(request):
    return PLUGINS[request.param]


@pytest.fixture
def config(plugin, tmp_path) -> dict:
    if plugin.kind not in SOURCES:
        pytest.fail(f"the source {plugin.kind!r} has no example: add one to tests/contracts/examples.py")
    return SOURCES[plugin.kind](tmp_path)


@pytest.fixture
def source(plugin, config):
    return plugin(validate(plugin.Config, config, "source"))


def facts(item: Record | Rejected) -> tuple:
    if isinstance(item, Rejected):
        return item.id, item.reason, item.asked
    further = {name: sha256_pixels(image) for name, image in item.images.items()}
    return item.id, item.patient, item.label, item.split, dict(item.meta), dict(item.attributes), further, sha256_pixels(item.image)


def test_records_are_the_same_in_the_same_order_every_time(plugin, config, source):
    once = [facts(item) for item in source.records()]
    assert [facts(item) for item in source.records()] == once
    assert [facts(item) for item in plugin(validate(plugin.Config, config, "source")).records()] == once


def test_a_unit_is_read_alike_in_any_order_by_an_object_that_listed_nothing(plugin, config, source):
    units = list(source.units())
    assert len({unit.key for unit in units}) == len(units)
    read = {}
    for unit in reversed(units):
        assert json.loads(json.dumps(unit.facts)) == unit.facts
        stranger = plugin(validate(plugin.Config, config, "source"))
        read[unit.key] = [facts(item) for item in stranger.read(pickle.loads(pickle.dumps(unit)))]
    assert [fact for unit in units for fact in read[unit.key]] == [facts(item) for item in source.records()]
    assert {file for unit in units for file in unit.files} <= set(source.files())


def test_records_are_images_with_an_id_a_patient_and_a_declared_label(source):
    items = list(source.records())
    records = [item for item in items if isinstance(item, Record)]
    assert len(records) >= 2
    assert len({item.id for item in items}) == len(items)
    labels = source.labels()
    for record in records:
        assert record.image.dtype == np.uint8
        assert record.image.ndim == 2 or record.image.shape[2:] == (3,)
        assert record.image.size > 0
        assert isinstance(record.patient, str)
        assert record.patient
        assert record.label in labels
        for image in record.images.values():
            assert image.dtype == np.uint8
            assert image.shape[:2] == record.image.shape[:2]
        assert record.split is None or record.split in SPLITS


def test_a_rejection_gives_a_reason_that_can_be_counted(source, tmp_path):
    for item in source.records():
        if isinstance(item, Rejected):
            assert item.reason
            assert item.id not in item.reason
            assert str(tmp_path) not in item.id + item.reason


def test_no_patient_is_in_two_splits(source):
    split_of: dict[str, str] = {}
    for item in source.records():
        if isinstance(item, Record) and item.split is not None:
            assert split_of.setdefault(item.patient, item.split) == item.split


def test_count_is_of_every_item_or_unknown(source):
    assert source.count() in (0, len(list(source.records())))


def test_files_are_there_and_sorted(source):
    files = source.files()
    assert files == sorted(set(files))
    assert all(file.is_file() for file in files)


def test_config_refuses_unknown_keys_and_change(plugin, config):
    assert issubclass(plugin.Config, Section)
    with pytest.raises(UsageError, match=r"source\.no_such_knob: unknown key"):
        validate(plugin.Config, {**config, "no_such_knob": 1}, "source")
    checked = validate(plugin.Config, config, "source")
    with pytest.raises(ValidationError, match="frozen"):
        checked.kind = "other"
    assert validate(plugin.Config, checked.model_dump(mode="json"), "source") == checked


def test_importing_it_imports_nothing_heavy(plugin):
    code = f"import sys, {plugin.__module__}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split()
    assert plugin.__module__ in loaded
    assert HEAVY.isdisjoint(loaded)


def test_its_keys_are_in_the_docs(plugin):
    section = (CHECKOUT / "docs" / "sources.md").read_text(encoding="utf-8").split(f"## {plugin.kind}\n")[1].split("\n## ")[0]
    assert [key for key in plugin.Config.model_fields if f"`{key}`" not in section] == []
