"""Everything that can be known to be wrong before any long work: params, plug-ins, source, and whether they fit together."""

import shutil

from schema.errors import SynthmillError
from schema.params import load
from schema.settings import inception_weights, root
from tasks.configs import gate_config, generator_config
from tasks.ingest import check_source
from tasks.sources import Source

ROOM = 2 * 2**30
"""Bytes that must be free: a small dataset with its checkpoints, samples and cached copies takes under one gibibyte."""


def check(dataset: str) -> Source:
    """All of it; the dataset's source. Raises SynthmillError with the first thing to put right, and what to do."""
    params = load()
    section = params.dataset(dataset)
    generator_config(dataset, section)
    for kind in params.panel:
        gate_config(dataset, section, kind)
    free = shutil.disk_usage(root()).free
    if free < ROOM:
        raise SynthmillError(f"only {free / 2**30:.1f} GiB are free under {root()}: a build wants {ROOM / 2**30:.0f} GiB")
    weights = inception_weights()
    if weights is not None and not weights.is_file():
        raise SynthmillError(f"SYNTHMILL_INCEPTION_WEIGHTS names {weights}, which is not a file: mend the path or unset it")
    return check_source(dataset, section.ingest)
