"""The graph that DVC owns, spoken to by its command line: which stages a dataset has, which are stale, and running one."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from schema.digest import read_json
from schema.errors import SynthmillError
from schema.params import Params
from schema.settings import root
from tasks import history, starts
from tasks.scan import scan, scan_file
from tasks.sources import Source
from tasks.stage import verdict_file

UPSTREAM = ("scan", "ingest", "train", "sample")


def stages(dataset: str, params: Params) -> list[str]:
    """The dataset's stages in an order in which they can run, by their names in dvc.yaml."""
    gates = [f"gate@{dataset}-{gate}" for gate in params.panel]
    return [*(f"{stage}@{dataset}" for stage in UPSTREAM), *gates, f"report@{dataset}", f"release@{dataset}"]


def title(stage: str, dataset: str) -> str:
    """A stage's name as people read it: `gate@pneumonia-mia` is `gate mia`."""
    kind, _, rest = stage.partition("@")
    return f"{kind} {rest.removeprefix(dataset + '-')}" if kind == "gate" else kind


def stale(dataset: str, params: Params, source: Source, forced: str | None = None) -> list[str]:
    """The stages that have to run again, in order: empty when all is up to date.

    `scan` runs whenever DVC is asked, being what looks at the source and at what training starts from; here the look is taken at
    once, and it is stale only if one of them is not what it was. The report is stale where git says of thresholds what it did not say
    then, a gate whose verdict lacked a setting that is there now, and a stage that is `forced`; with each, all that follows it.
    """
    names = stages(dataset, params)
    path = scan_file(dataset)
    rescan = not path.is_file() or read_json(path) != scan(dataset, source) or starts.changed(dataset, params.dataset(dataset).train)
    said = json.loads(_dvc("-q", "status", "--json", *names[1:]).stdout or "{}")
    found = set(said) | ({names[0]} if rescan else set()) | ({forced} if forced else set())
    if history.changed(dataset):
        found.add(f"report@{dataset}")
    found |= {name for name in names if is_gate(name) and could_now_measure(name, dataset)}
    return [name for name in names if name in found or _follows(name, names, found)]


def _follows(name: str, names: list[str], found: set[str]) -> bool:
    """Whether a stage reads what one of the found stages writes: gates do not read one another."""
    before = set(names[: names.index(name)]) & found
    return any(not (is_gate(name) and is_gate(other)) for other in before)


def is_gate(stage: str) -> bool:
    return stage.startswith("gate@")


def could_now_measure(stage: str, dataset: str) -> bool:
    """Whether the stage is a gate whose verdict was INSUFFICIENT for want of a setting that is there now."""
    path = verdict_file(dataset, stage.removeprefix(f"gate@{dataset}-"))
    if not (is_gate(stage) and path.is_file()):
        return False
    try:
        said = read_json(path)
    except ValueError:
        said = None
    # What is no verdict at all is mended by measuring anew.
    return not isinstance(said, dict) or any(os.environ.get(name) for name in said.get("needs", []))


@dataclass(frozen=True)
class Ran:
    """How `reproduce` ended: the stage's own exit code (0 done), whether anything ran, and the stage's last words."""

    code: int
    changed: bool
    message: str


def reproduce(stage: str, log: Path, force: bool = False) -> Ran:
    """Runs one stage if DVC finds it changed, its output appended to `log`. Never raises for a stage that failed."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), stage]
    # A file of its own while it runs: gates run side by side, and each one's words are looked for in what it said.
    own = log.with_name(f"{log.stem}.{stage}.log")
    with own.open("w", encoding="utf-8") as stream:
        result = subprocess.run(command, cwd=root(), env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False)
    words = own.read_text(encoding="utf-8", errors="replace")
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"\n=== {stage}\n{words}")
    own.unlink()
    if result.returncode == 0:
        return Ran(0, f"Running stage '{stage}'" in words, "")
    exited = re.search(r"exited with (-?\d+)", words)
    errors = re.findall(r"^error: (.*(?:\n  .*)*)", words, flags=re.MULTILINE)
    message = errors[-1] if errors else f"the stage {stage} ended with an error: its words are in {log}"
    return Ran(int(exited.group(1)) if exited else 1, True, message)


def environment() -> dict[str, str]:
    """This environment with `python` meaning this interpreter and our packages importable, as dvc.yaml's commands need."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    packages = [str(root()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PATH": os.pathsep.join(paths), "PYTHONPATH": os.pathsep.join(packages)}


def _dvc(*arguments: str) -> subprocess.CompletedProcess:
    result = subprocess.run(
        [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments], cwd=root(), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SynthmillError(f"dvc {' '.join(arguments[:2])} failed: {(result.stderr or result.stdout).strip()}")
    return result
