"""The schema that editors are given accepts what synthmill accepts, and refuses what it refuses."""

import copy
import json

import jsonschema
import pytest
import yaml

from app.params_schema import json_schema
from tests.conftest import CHECKOUT

PARAMS = yaml.safe_load((CHECKOUT / "params.yaml").read_text())


def test_the_written_schema_is_current():
    assert json.loads((CHECKOUT / "docs/params.schema.json").read_text()) == json_schema(), "run the command in app/params_schema.py"


def test_it_accepts_the_committed_params():
    # YAML's integer keys are JSON's strings.
    jsonschema.validate(json.loads(json.dumps(PARAMS)), json_schema())


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("train", "lrr", 1), ("train", "lr", -1), ("sample", "sampler", "euler"), ("gates", "fdi", {}), ("ingest", "labels", [])],
)
def test_it_refuses_a_fault_in_a_plugin_as_well(section, key, value):
    faulty = copy.deepcopy(PARAMS)
    faulty["datasets"]["pneumonia"][section][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(faulty)), json_schema())
