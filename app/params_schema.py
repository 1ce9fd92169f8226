"""Writes the schema of params.yaml that editors complete and check by.

./mill python -m app.params_schema > docs/params.schema.json
"""

import json
from typing import Any

from pydantic.json_schema import models_json_schema

import models.generators
import tasks.gates
import tasks.sources
from schema.params import Params
from schema.plugins import find


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of params.yaml, every plug-in's section included, for editors."""
    plugins = {package: find(package) for package in (tasks.sources, models.generators, tasks.gates)}
    configs = [plugin.Config for found in plugins.values() for plugin in found.values()]
    references, schema = models_json_schema([(model, "validation") for model in (Params, *configs)])
    of = {model: references[model, "validation"] for model in configs}
    definitions = schema["$defs"]
    definitions["Ingest"]["properties"]["source"] = {"anyOf": [of[plugin.Config] for plugin in plugins[tasks.sources].values()]}
    definitions["Dataset"]["properties"]["train"] = {"anyOf": [of[plugin.Config] for plugin in plugins[models.generators].values()]}
    of_every_training = definitions["Training"]["properties"]
    for plugin in plugins[models.generators].values():
        own = definitions[of[plugin.Config]["$ref"].rpartition("/")[2]]["properties"]
        own |= {name: said for name, said in of_every_training.items() if name != "kind"}
    definitions["Dataset"]["properties"]["gates"] = {
        "type": "object",
        "properties": {kind: of[plugin.Config] for kind, plugin in plugins[tasks.gates].items()},
        "additionalProperties": False,
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **references[Params, "validation"], **schema}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, sort_keys=True))
