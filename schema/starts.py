"""What `train.init` in params.yaml may say: where the weights that training starts from are."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from schema.release import NAME
from schema.settings import root

WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
RELEASE = re.compile(rf"({NAME.pattern})@(latest|v?\d+\.\d+\.\d+)")
REGISTERED = re.compile(rf"models:/({WORD})@({WORD})")
ALIAS = re.compile(rf"({NAME.pattern})@(?!v\d)([a-z][a-z0-9_-]*)")

EXAMPLES = (
    "a release of this repository (pneumonia@v1.2.0), an alias of the model registry (pneumonia@released, "
    "models:/synthmill-pneumonia@candidate) or a folder with a model of synthmill (./weights/pneumonia, or its absolute path)"
)


@dataclass(frozen=True)
class Reference:
    """`name` is a dataset for `release` and `alias`, a registered model for `registered`, and the path itself for `folder`;
    `mark` the version or the alias."""

    kind: Literal["release", "alias", "registered", "folder"]
    name: str
    mark: str = ""


def parse(text: str) -> Reference:
    """Raises ValueError for what is none of these."""
    if text.startswith(("./", "../", "/", "~/")):
        return Reference("folder", text)
    for kind, pattern in (("release", RELEASE), ("alias", ALIAS), ("registered", REGISTERED)):
        if found := pattern.fullmatch(text):
            return Reference(kind, *found.groups())
    raise ValueError(f"it must name {EXAMPLES}")


def folder_of(text: str) -> Path:
    """The folder that a path in params.yaml names; relative ones start from the workspace."""
    return root() / Path(text).expanduser()


def public_name(text: str) -> str:
    """The reference as it may leave the house: paths can hold names of people, so a folder is called just that."""
    return "a folder" if parse(text).kind == "folder" else text


def public_options(options: dict[str, Any]) -> dict[str, Any]:
    """The train section as it may leave the house, `init` and a generator's `base` that are folders called just that."""
    said = dict(options)
    if said.get("init"):
        said["init"] = public_name(said["init"])
    if isinstance(said.get("base"), str) and folder_of(said["base"]).is_dir():
        said["base"] = "a folder"
    return said
