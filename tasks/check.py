"""Everything that can be known to be wrong before any long work: params, plug-ins, source, and whether they fit together."""

import shutil

import models.generators
from catalog import git, signing
from models.generators import Shape
from schema.errors import SynthmillError, UsageError
from schema.params import Dataset, load
from schema.plugins import named
from schema.settings import inception_weights, root
from tasks import starts
from tasks.configs import gate_config, generator_config
from tasks.gates.fid import check_weights
from tasks.ingesting.reader import check_source
from tasks.sources import Source

ROOM = 2 * 2**30
"""Bytes that must be free: a small dataset with its checkpoints, samples and cached copies takes under one gibibyte."""


def check(dataset: str) -> Source:
    """All of it; the dataset's source. Raises SynthmillError with the first thing to put right, and what to do."""
    params = load()
    section = params.dataset(dataset)
    for name in ("report", "policy"):
        # A stage depends on its section, and DVC knows no defaults.
        if name not in section.model_fields_set:
            raise UsageError(f"datasets.{dataset}.{name}: missing; write `{name}: {{}}` for the defaults")
    if signing.signer() is None and section.policy.signed:
        raise UsageError(f"datasets.{dataset}.policy.signed wants a signed record: set SYNTHMILL_SIGNING_KEY ({signing.REMEDY})")
    _check_training(dataset, section)
    _check_bounds(dataset, section)
    for kind in params.panel:
        config = gate_config(dataset, section, kind)
        if kind == "fid" and inception_weights():
            check_weights(inception_weights(), config)
    git.head(root())
    free = shutil.disk_usage(root()).free
    if free < ROOM:
        raise SynthmillError(f"only {free / 2**30:.1f} GiB are free under {root()}: a build wants {ROOM / 2**30:.0f} GiB")
    return check_source(dataset, section.ingest)


def _check_training(dataset: str, section: Dataset) -> None:
    """Whether the generator, the image size, the plan of sampling and the attack on the generator fit together."""
    config = generator_config(dataset, section)
    plugin = named(models.generators, section.train.kind, f"datasets.{dataset}.train")
    told = section.train.conditions_of({name: attribute.declared() for name, attribute in section.ingest.attributes.items()})
    image = section.ingest.image
    shape = Shape(image.height, image.width, image.channels, len(section.ingest.labels), tuple(len(one.values) for one in told))
    objection = plugin.objections(config, shape, section.sample) or plugin.misworded(config, section.ingest.labels, told)
    if objection:
        raise UsageError(f"datasets.{dataset}: {objection}")
    starts.check(dataset, section.train, plugin.kind, shape, section.ingest.labels, told)
    last = getattr(config, "timesteps", None)
    for kind in section.gates:
        asked = gate_config(dataset, section, kind)
        for name in ("timesteps", "proximal_timesteps"):
            if last is not None and any(timestep >= last for timestep in getattr(asked, name, [])):
                raise UsageError(f"datasets.{dataset}.gates.{kind}.{name} must all be under train.timesteps ({last})")


def _check_bounds(dataset: str, section: Dataset) -> None:
    """Whether the thresholds of gates that speak of one thing can hold together."""
    planted = section.train.canaries.n
    audit, claim = (gate_config(dataset, section, kind) if kind in section.gates else None for kind in ("canary", "dp-claim"))
    if audit and claim and audit.required and claim.required and audit.threshold > claim.threshold:
        raise UsageError(
            f"datasets.{dataset}.gates: canary.threshold ({audit.threshold:g}) lets an audit find more than the epsilon that "
            f"dp-claim.threshold ({claim.threshold:g}) lets be claimed: such a claim would be false; lower the one or raise the other"
        )
    if audit and 0 < planted < audit.guesses:
        raise UsageError(f"datasets.{dataset}: train.canaries.n ({planted}) is less than gates.canary.guesses ({audit.guesses})")
    asked = gate_config(dataset, section, "coverage").prevalence if "coverage" in section.gates else section.sample.prevalence
    if asked != section.sample.prevalence:
        raise UsageError(
            f"datasets.{dataset}: sample.prevalence is {section.sample.prevalence} and gates.coverage.prevalence {asked}: say the same"
        )
