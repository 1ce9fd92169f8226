"""Where things are and how hard to work: all that cannot change a result comes from `SYNTHMILL_*` environment variables.

Read afresh on each call, so that a test or a worker can set them at any time.
"""

import os
from pathlib import Path

from schema.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where params.yaml, dvc.yaml, data/ and reports/ are."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Threads that wait for work sleep: spinning costs others their core, and on a shared machine a step its multiple in time.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Telemetry of the dependencies and bars that they draw between ours, all of it off, and threads that give way."""


def root() -> Path:
    """The workspace: `SYNTHMILL_ROOT`, or the checkout that this code stands in."""
    return Path(os.environ.get("SYNTHMILL_ROOT") or ROOT).resolve()


def data_root() -> Path | None:
    """`SYNTHMILL_DATA`: the folder that relative source paths in params.yaml start from; None where it is not set."""
    value = os.environ.get("SYNTHMILL_DATA")
    return Path(value).expanduser().resolve() if value else None


def id_key() -> bytes:
    """`SYNTHMILL_ID_KEY`: the secret that ids of records and patients are keyed with; without it anyone who knows an id of the
    source can recognise its digest."""
    return os.environ.get("SYNTHMILL_ID_KEY", "").encode()


def device() -> str | None:
    """`SYNTHMILL_DEVICE`: cpu, cuda, cuda:1, ...; None leaves the choice to the machine."""
    return os.environ.get("SYNTHMILL_DEVICE") or None


def inception_weights() -> Path | None:
    """`SYNTHMILL_INCEPTION_WEIGHTS`: a local copy of pytorch-fid's Inception weights."""
    value = os.environ.get("SYNTHMILL_INCEPTION_WEIGHTS")
    return Path(value).expanduser() if value else None


def gates_at_once() -> int:
    """`SYNTHMILL_GATES_AT_ONCE`: how many gates of a dataset run side by side, each on one thread; 2 unless set."""
    return _count("SYNTHMILL_GATES_AT_ONCE", 2)


def readers() -> int:
    """`SYNTHMILL_READERS`: how many processes read images at ingest, and threads those of a release; one a core unless set."""
    return _count("SYNTHMILL_READERS", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def read_seconds() -> int:
    """`SYNTHMILL_READ_SECONDS`: after how long the reading of one file is given up; 300 unless set."""
    return _count("SYNTHMILL_READ_SECONDS", 300)


def _count(name: str, default: int) -> int:
    """Raises UsageError for what is not a whole number from 1 on."""
    given = os.environ.get(name) or str(default)
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"{name} is {given!r}: it must be a whole number from 1 on, or unset")
    return int(given)


def vit_weights() -> Path | None:
    """`SYNTHMILL_VIT_WEIGHTS`: a folder with a pretrained vision transformer as transformers saves it (config.json, model.safetensors)."""
    value = os.environ.get("SYNTHMILL_VIT_WEIGHTS")
    return Path(value).expanduser() if value else None


def clip_weights() -> Path | None:
    """`SYNTHMILL_CLIP_WEIGHTS`: a local folder of CLIP in the layout of Hugging Face transformers."""
    value = os.environ.get("SYNTHMILL_CLIP_WEIGHTS")
    return Path(value).expanduser() if value else None


def perceptual_weights() -> Path | None:
    """`SYNTHMILL_PERCEPTUAL_WEIGHTS`: a local file of SqueezeNet v1.0 (.npz) or VGG-16 (.pth, .safetensors), pretrained on photographs."""
    value = os.environ.get("SYNTHMILL_PERCEPTUAL_WEIGHTS")
    return Path(value).expanduser() if value else None


def events_file() -> Path | None:
    """`SYNTHMILL_EVENTS`: where stages append their progress as JSON lines, for the command line to draw."""
    value = os.environ.get("SYNTHMILL_EVENTS")
    return Path(value) if value else None


def quieten() -> None:
    """Sets QUIET for this process and its children, unless the user did: before torch is imported, which reads it once."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
