"""Since when each gate's section of params.yaml is what it is, and who committed it so: told by git, for a report that is to be signed.

`scan` writes it down for the report to depend on: history moves on without any file of the data changing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from catalog import git
from schema.digest import read_json, write_json
from schema.errors import SynthmillError
from schema.settings import root
from tasks.stage import history_file

PARAMS = "params.yaml"
BLOB = re.compile(r"^(?:blob of (?P<commit>\w+)|\S+ missing)\n", re.MULTILINE)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast, and hundreds of versions are read

NOT_COMMITTED = "not committed: nobody can say since when"
NO_HISTORY = "without a git history of params.yaml nobody can say since when"
SHALLOW = "older than this shallow clone reaches: `git fetch --unshallow` brings the rest"


@dataclass(frozen=True)
class Commit:
    """`parents`: the next commits before it that touch params.yaml. `day`: of the commit, in UTC."""

    parents: list[str]
    day: str
    author: str


def look(dataset: str) -> dict[str, dict[str, Any]]:
    """{gate: {"commit", "date", "author", "why"}}: the newest commit in which the gate's section, anchors resolved, became what it is
    now. All None but `why` where nobody can say."""
    here = sections((root() / PARAMS).read_text(encoding="utf-8"), dataset)
    try:
        commits = _commits()
    except SynthmillError:
        return {gate: _unknown(NO_HISTORY) for gate in here}
    if not commits:
        return {gate: _unknown(NOT_COMMITTED) for gate in here}
    texts = _texts(list(commits))

    read: dict[str, dict[str, Any]] = {}

    @cache
    def at(commit: str) -> dict[str, Any]:
        text = texts.get(commit, "")
        key = _relevant(text, dataset)
        if key not in read:
            read[key] = sections(text, dataset)
        return read[key]

    boundary = _boundary()
    return {gate: _since(section, lambda commit, gate=gate: at(commit).get(gate), commits, boundary) for gate, section in here.items()}


def changed(dataset: str) -> bool:
    """Whether history says something else than when it was last looked at."""
    path = history_file(dataset)
    return not path.is_file() or read_json(path) != look(dataset)


def write(dataset: str) -> None:
    """Writes data/history/<dataset>.json."""
    write_json(history_file(dataset), look(dataset))


def sections(text: str, dataset: str) -> dict[str, Any]:
    """{gate: section} of datasets.<dataset>.gates, anchors and merges resolved; empty where there is none or the text is no YAML. Only
    these sections are built: a whole file takes several times as long."""
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        for key in ("datasets", dataset, "gates"):
            if not isinstance(node, yaml.MappingNode):
                return {}
            loader.flatten_mapping(node)
            node = next((value for name, value in node.value if name.value == key), None)
        found = loader.construct_document(node) if isinstance(node, yaml.MappingNode) else {}
    except yaml.YAMLError:
        return {}
    finally:
        loader.dispose()
    return found


def _relevant(text: str, dataset: str) -> str:
    """The lines that decide what `sections` finds: the dataset's own, those that its aliases lead to, and the keys at the margin. Texts
    that agree in them need to be read once; all of the text where it is not laid out one dataset after another."""
    chunks = re.split(r"^(?=  [^\s#-])", text, flags=re.MULTILINE)
    needed = {
        place for place, chunk in enumerate(chunks) if re.match(rf"  {re.escape(dataset)}:\s*(?:&[\w-]+\s*)?$", chunk.partition("\n")[0])
    }
    if len(needed) != 1:
        return text
    while True:
        names = {name for place in needed for name in re.findall(r"\*([\w-]+)", chunks[place])}
        found = {place for place, chunk in enumerate(chunks) if names & set(re.findall(r"&([\w-]+)", chunk))}
        if found <= needed:
            break
        needed |= found
    return "".join([*re.findall(r"^[^\s#].*\n?", text, re.MULTILINE), *(chunks[place] for place in sorted(needed))])


def _since(wanted: Any, section: Callable[[str], Any], commits: dict[str, Commit], boundary: set[str]) -> dict[str, Any]:
    """Goes back along those parents that have the section already, from the newest commit."""
    here = next(iter(commits))
    if section(here) != wanted:
        return _unknown(NOT_COMMITTED)
    while True:
        before = next((parent for parent in commits[here].parents if parent in commits and section(parent) == wanted), None)
        if before is None:
            break
        here = before
    if here in boundary:
        return _unknown(SHALLOW)
    return {"commit": here, "date": commits[here].day, "author": commits[here].author, "why": None}


def _unknown(why: str) -> dict[str, Any]:
    return {"commit": None, "date": None, "author": None, "why": why}


def _commits() -> dict[str, Commit]:
    """The commits that touch params.yaml, newest first, each after all that came from it. Raises SynthmillError without a history."""
    git.head(root())
    said = git.git(root(), "log", "--topo-order", "--parents", "--format=%H%x1f%P%x1f%ct%x1f%an", "HEAD", "--", PARAMS)
    rows = [line.split("\x1f") for line in said.splitlines()]
    days = [datetime.fromtimestamp(int(seconds), UTC).date().isoformat() for _, _, seconds, _ in rows]
    return {commit: Commit(parents.split(), day, author) for (commit, parents, _, author), day in zip(rows, days, strict=True)}


def _texts(commits: list[str]) -> dict[str, str]:
    """params.yaml of each commit that has it, by one process of git."""
    asked = "".join(f"{commit}:{PARAMS} {commit}\n" for commit in commits)
    said = git.git(root(), "cat-file", "--batch=blob of %(rest)", text=asked)
    heads = list(BLOB.finditer(said))
    ends = [*(head.start() for head in heads[1:]), len(said)]
    return {head["commit"]: said[head.end() : end] for head, end in zip(heads, ends, strict=True) if head["commit"]}


def _boundary() -> set[str]:
    """The commits that a shallow clone ends at; none in a whole one."""
    path = root() / Path(git.git(root(), "rev-parse", "--git-path", "shallow").strip())
    return set(path.read_text(encoding="ascii").split()) if path.is_file() else set()
