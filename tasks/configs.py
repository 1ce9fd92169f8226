"""A plug-in's section of params.yaml, checked by the plug-in's own `Config`."""

import models.generators
import tasks.gates
from schema.params import Dataset, GateConfig, Section, validate
from schema.plugins import named


def generator_config(dataset: str, section: Dataset) -> Section:
    """`datasets.<name>.train` as its generator takes it. Raises UsageError naming the path of what is wrong."""
    path = f"datasets.{dataset}.train"
    return validate(named(models.generators, section.train.kind, path).Config, section.train.options(), path)


def gate_config(dataset: str, section: Dataset, kind: str) -> GateConfig:
    """`datasets.<name>.gates.<kind>` as the gate takes it. Raises UsageError naming the path of what is wrong."""
    path = f"datasets.{dataset}.gates.{kind}"
    return validate(named(tasks.gates, kind, path).Config, section.gates[kind], path)
