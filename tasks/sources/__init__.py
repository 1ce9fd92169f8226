"""Where real images come from. A source is one file here: a class `Plugin` with a `kind`, a `Config` and four methods.

class Plugin(Source):
    kind = "my-archive"
    class Config(Section): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from schema.errors import SynthmillError, UsageError
from schema.params import Section
from schema.record import Record, Rejected
from schema.settings import data_root


@dataclass(frozen=True)
class Unit:
    """What is read at one go: a file, a few that belong together, or a run of drawn images.

    What `read` gives depends on the source's config, `facts` and the bytes of `files` alone, so it is read again only when one of them
    changed. `key` is the source's own name for it, such as the path below its folder; `facts` is what JSON can hold (the cells of
    the table's row, the numbers of the images); `files` are below the source's folder.
    """

    key: str
    files: tuple[Path, ...] = ()
    facts: Any = None


class Source:
    """`config` is the checked section `datasets.<name>.ingest.source`.

    `at_least`: height and width that images will be made smaller than; a reader may decode at a lower resolution as long as
    it stays at twice that. None: every pixel is wanted.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[Section]]
    drawn: ClassVar[bool] = False
    """Whether the images are drawn and of nobody: nothing to look for that could name a patient."""

    def __init__(self, config: Any, at_least: tuple[int, int] | None = None) -> None:
        self.config = config
        self.at_least = at_least

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

    def units(self) -> Iterator[Unit]:
        """Everything that there is to read, in an order that does not change between runs. Cheap: no image is opened.

        Raises SynthmillError where the source as a whole is unusable.
        """
        raise NotImplementedError

    def read(self, unit: Unit) -> Iterator[Record | Rejected]:
        """The unit's records, streaming. Never one in silence less: an image that cannot be used is Rejected, and what the config asks
        to leave out is Rejected with `asked`.

        Called in another process than `units`, on another object of the same config: all that it needs is in the unit. Bytes of any
        kind must not make it raise anything but SynthmillError.
        """
        raise NotImplementedError

    def records(self) -> Iterator[Record | Rejected]:
        """Every record of every unit, in order, in this process."""
        for unit in self.units():
            yield from self.read(unit)


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
