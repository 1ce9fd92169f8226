"""The digest of each file of a source, kept between runs: a file is hashed again only when its size or time of change differs.

Files are remembered by a keyed digest of their path, since a path can hold a name.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from schema.digest import read_json, sha256_file, write_json
from schema.errors import SynthmillError
from schema.settings import root
from tasks.ingesting.keys import keyed


class Seen:
    """What the files of a dataset's source were when they were last looked at."""

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self._path = root() / "data" / "scratch" / "scan" / f"{dataset}.json"
        self._known = _known(self._path)

    def look(self, files: Iterable[Path], tick: Callable[[], None] = lambda: None) -> dict[Path, str]:
        """The sha256 of each file as it is now; forgets files that are not among them."""
        now, digests = {}, {}
        for path in files:
            key, mark = self._key(path), _mark(path)
            before = self._known.get(key)
            now[key] = before if before and before[:2] == mark else [*mark, self._hashed(path)]
            digests[path] = now[key][2]
            tick()
        if now != self._known:
            write_json(self._path, now)
            self._known = now
        return digests

    def digest(self, path: Path) -> str | None:
        """The sha256 of a file as it was looked at last; None for one that was not there."""
        known = self._known.get(self._key(path))
        return known[2] if known else None

    def changed(self, path: Path) -> bool:
        """Whether a file that was there is another now, or gone."""
        try:
            return _mark(path) != self._known[self._key(path)][:2]
        except (OSError, KeyError):
            return True

    def _hashed(self, path: Path) -> str:
        try:
            return sha256_file(path)
        except OSError as error:
            raise SynthmillError(
                f"a file of the source of {self.dataset} cannot be read ({error.strerror}); it is one of those that "
                f"`find FOLDER ! -readable` lists: mend its permissions, or take it out"
            ) from None

    def _key(self, path: Path) -> str:
        return keyed(self.dataset, "file", str(path))


def _known(path: Path) -> dict[str, list]:
    """What was written down, or nothing where it is damaged: every file is hashed again then."""
    try:
        known = read_json(path)
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _mark(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
