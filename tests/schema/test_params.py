"""params.yaml refuses what cannot be, by path, before anything runs."""

import copy

import pytest
import yaml

from schema import params
from schema.errors import UsageError
from tests.conftest import CHECKOUT

WRITTEN = yaml.safe_load((CHECKOUT / "params.yaml").read_text())


def put(path: str, value):
    """The committed params with one value put in place."""
    changed = copy.deepcopy(WRITTEN)
    *parents, last = path.split(".")
    here = changed
    for part in parents:
        here = here[part]
    here[last] = value
    return changed


def load(tmp_path, value) -> params.Params:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(value))
    return params.load(file)


def test_the_committed_file_is_valid(tmp_path):
    assert load(tmp_path, WRITTEN).build == WRITTEN["build"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("datasets.pneumonia.sample.batchsize", 3, "datasets.pneumonia.sample.batchsize: unknown key (did you mean 'batch_size'?)"),
        ("datasets.pneumonia.sample.n", 0, "datasets.pneumonia.sample.n: 0 given"),
        ("datasets.pneumonia.sample.n", "many", "datasets.pneumonia.sample.n: 'many' given"),
        ("datasets.pneumonia.train.canaries", {"n": -1}, "datasets.pneumonia.train.canaries.n: -1 given"),
        ("datasets.pneumonia.train.canaries", {"m": 9}, "datasets.pneumonia.train.canaries.m: unknown key"),
        ("datasets.pneumonia.ingest.labels", ["a", "a"], "labels must differ"),
        ("datasets.pneumonia.ingest.split", {"train": 0.5, "holdout": 0.1, "test": 0.1}, "must be 1, not 0.7"),
        ("datasets.pneumonia.gates", {"fid": {"threshold": 1.0}}, "one section for each gate of the panel"),
        ("datasets.../etc", {}, "not a dataset name"),
        ("build", ["pneumonia"], "must name the keys of datasets"),
        ("panle", [], "panle: unknown key (did you mean 'panel'?)"),
    ],
)
def test_a_fault_is_named_by_its_path(tmp_path, path, value, words):
    changed = copy.deepcopy(WRITTEN) if ".../" in path else put(path, value)
    if ".../" in path:
        changed["datasets"]["../etc"] = WRITTEN["datasets"]["pneumonia"]
    with pytest.raises(UsageError) as error:
        load(tmp_path, changed)
    assert words in str(error.value)


def test_yaml_that_is_not_yaml_is_named(tmp_path):
    (tmp_path / "params.yaml").write_text("datasets: [")
    with pytest.raises(UsageError, match="not readable YAML"):
        params.load(tmp_path / "params.yaml")


def test_an_unknown_dataset_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'pneumonia'"):
        params.load(CHECKOUT / "params.yaml").dataset("pnuemonia")
