"""Where real images come from. A source is one file here: a class `Plugin` with a `kind`, a `Config` and three methods.

class Plugin(Source):
    kind = "my-archive"
    class Config(Section): ...
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from schema.errors import SynthmillError, UsageError
from schema.params import Section
from schema.record import Record, Rejected
from schema.settings import data_root


class Source:
    """`config` is the checked section `datasets.<name>.ingest.source`."""

    kind: ClassVar[str]
    Config: ClassVar[type[Section]]

    def __init__(self, config: Any) -> None:
        self.config = config

    def files(self) -> list[Path]:
        """The files that the records come from, sorted; empty for a source that draws its images.

        Raises SynthmillError with what to do when one is not there. Cheap: it is asked before every run.
        """
        raise NotImplementedError

    def labels(self) -> set[str]:
        """The labels that its records can have, as far as a cheap look tells; checked against those declared."""
        raise NotImplementedError

    def count(self) -> int:
        """How many records will come, rejected ones included, for the progress bar; 0 where a cheap look cannot tell."""
        return 0

    def records(self) -> Iterator[Record | Rejected]:
        """Every record, streaming, in an order that does not change between runs. Never one in silence less:
        what cannot be read is raised as SynthmillError (the file is unusable) or yielded as Rejected (one image is).
        What the config asks to leave out is Rejected with `asked`."""
        raise NotImplementedError


def resolve(path: str) -> Path:
    """A path of params.yaml: absolute as it is, relative from `SYNTHMILL_DATA`, never above it.

    Raises SynthmillError when `SYNTHMILL_DATA` is needed and not set, UsageError for a path that climbs out with `..`.
    """
    if Path(path).is_absolute():
        return Path(path)
    if ".." in Path(path).parts:
        raise UsageError(f"{path!r} climbs out of SYNTHMILL_DATA: write a path inside it, or an absolute one")
    folder = data_root()
    if folder is None:
        raise SynthmillError(
            f"the source {path!r} is relative to SYNTHMILL_DATA, which is not set: run `export SYNTHMILL_DATA=/folder/of/your/data`"
        )
    return folder / path
