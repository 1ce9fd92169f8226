"""What lies below a source's folder: files by their path from there, and what is not to be read."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from schema.errors import SynthmillError
from tasks.sources._decode import SUFFIXES

LINK_OUT = "link out of the folder"
NOT_UTF8 = "name that is not UTF-8"


class Folder:
    """`files`: every file below `top` by its path from there, sorted. `refused`: the same for what is not read, with the reason.

    A link is followed only if it ends inside `top`; one to a folder there is another name for what is found in its own place,
    so that nothing comes twice and no loop is walked. Links to nothing are no files.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.files: dict[str, Path] = {}
        self.refused: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._real_top = os.path.realpath(top)
        waiting = [("", str(top))]
        while waiting:
            below, here = waiting.pop()
            with os.scandir(here) as entries:
                waiting += [(f"{below}{entry.name}/", entry.path) for entry in entries if self._is_folder(f"{below}{entry.name}", entry)]
        self.files = dict(sorted(self.files.items()))

    def _is_folder(self, path: str, entry: os.DirEntry) -> bool:
        """Whether to look into it; a file is noted."""
        if entry.is_symlink():
            return self._note_link(path, entry)
        if entry.is_file():
            self._note(path, entry)
        return entry.is_dir()

    def _note(self, path: str, entry: os.DirEntry) -> None:
        try:
            path.encode()
        except UnicodeEncodeError:
            self.refused[os.fsencode(path).decode("utf-8", "backslashreplace")] = NOT_UTF8
        else:
            self.files[path] = Path(entry.path)

    def _note_link(self, path: str, entry: os.DirEntry) -> bool:
        target = os.path.realpath(entry.path)
        inside = target == self._real_top or target.startswith(self._real_top + os.sep)
        if not inside and os.path.exists(target):
            path = os.fsencode(path).decode("utf-8", "backslashreplace")
            self.refused[f"{path}/" if os.path.isdir(target) else path] = LINK_OUT
        elif inside and os.path.isdir(target):
            self._aliases[f"{path}/"] = f"{os.path.relpath(target, self._real_top)}/".removeprefix("./")
        elif inside and os.path.isfile(target):
            self._note(path, entry)
        return False

    def find(self, word: str) -> list[str]:
        """The paths that `word` can mean, as keys of `files` or else of `refused`: a path, else a file name, with or without the suffix."""
        for path in (word, self._through_alias(word)):
            if path in self.files or path in self.refused:
                return [path]
        behind = [link for link in self._folders_out if word.startswith(link)]
        return self._by_name.get(word) or behind or self._refused_by_name.get(word, [])

    def unread(self, named: Iterable[str]) -> Iterator[tuple[str, str | None]]:
        """(path, None) of every image that is not among `named`, (path, reason) of what is refused, sorted by path."""
        named = set(named)
        images = [(path, None) for path in self.files if is_image(path) and path not in named]
        refused = [(path, why) for path, why in self.refused.items() if (is_image(path) or path.endswith("/")) and path not in named]
        yield from sorted([*images, *refused], key=lambda entry: entry[0])

    def _through_alias(self, word: str) -> str:
        for link, place in self._aliases.items():
            if word.startswith(link):
                return place + word.removeprefix(link)
        return word

    @cached_property
    def _folders_out(self) -> list[str]:
        return [path for path in self.refused if path.endswith("/")]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        return _by_name(self.files)

    @cached_property
    def _refused_by_name(self) -> dict[str, list[str]]:
        return _by_name(self.refused)


def _by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    by_name = defaultdict(list)
    for path in paths:
        name = path.rpartition("/")[2]
        for key in {name, stem(name), stem(path)} if is_image(path) else {name}:
            by_name[key].append(path)
    return by_name


def is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in SUFFIXES


def stem(path: str) -> str:
    return os.path.splitext(path)[0]


def open_folder(path: Path, name: str) -> Folder:
    """Raises SynthmillError, by the folder's `name` in params.yaml, where it is not there or may not be looked into."""
    if not path.is_dir():
        raise SynthmillError(f"the folder {name!r} is not there: mend ingest.source.folder or SYNTHMILL_DATA")
    try:
        return Folder(path)
    except OSError as error:
        raise SynthmillError(f"the folder {name!r} cannot be read whole ({error.strerror}): mend its permissions") from None
