"""How often each gate catches releases that are bad in a known way, and how often it refuses good ones.

./mill bench gates                       20 seeds, about 25 minutes on two cores; writes docs/gates.json and docs/gates.md
./mill bench gates --seeds 2 --scenario overfitted --gate mia-query
./mill bench gates --gate frd --update   measures the rows of one gate anew; those of the others stay as they are in docs

Finished seeds are kept in data/scratch: the same command again goes on from there. Ends with 1 if a demand is not met.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import tasks.gates
from bench import memo, power
from bench.scenarios import SCENARIOS, Scenario
from bench.world import Sizes, World, archive
from schema.digest import read_json, sha256_file, write_bytes, write_json
from schema.errors import SynthmillError
from schema.params import load
from schema.plugins import find
from schema.settings import ROOT, data_root, quieten, root
from tasks.stage import Scratch

DATASETS = {"pneumonia": "pneumonia", "phantom": "phantom-cxr"}
WORDS = {
    "pneumonia": "real PneumoniaMNIST, padded to 32x32 as ingest does, dealt afresh by each seed; exact duplicates stay together",
    "phantom": "drawn chest phantoms, 32x32, dealt afresh by each seed",
}
QUICKER = {
    "utility": {"steps": 100, "ratios": [], "bootstrap": 500},
    "fd-domain": {"bootstrap": 100},
    "frd": {"images": 128},
    "mia-white-box": {"members": 512, "bootstrap": 300},
    "mia-query": {"members": 512, "bootstrap": 300},
    "mia-release": {"members": 512, "bootstrap": 300},
}
"""What is set smaller than in params.yaml, for speed."""
ENOUGH = 20
"""Seeds that the docs are written from."""


@dataclass(frozen=True)
class Job:
    """What is measured of each seed. `scenarios` and `gates` by name: what travels to a process must be plain."""

    dataset: str
    scenarios: tuple[str, ...]
    gates: tuple[str, ...]
    sizes: Sizes

    def pairs(self) -> list[tuple[Scenario, str]]:
        chosen = [scenario for scenario in SCENARIOS if scenario.name in self.scenarios]
        return [(scenario, gate) for scenario in chosen for gate in scenario.gates if gate in self.gates]

    def scratch(self) -> Scratch:
        """Where the seeds' results are kept, named by all that decides them: the code of the bench and its data among it."""
        code = [[path.name, sha256_file(path)] for path in sorted((ROOT / "bench").glob("*.py"))]
        decides = {"scenarios": self.scenarios, "gates": self.gates, "sizes": self.sizes.model_dump(), "quicker": QUICKER}
        datasets = {name: dataset.model_dump(mode="json") for name, dataset in load().datasets.items()}
        return Scratch("bench-gates", self.dataset, code=code, datasets=datasets, **decides)


def settings_of(gate: str, dataset: str) -> Any:
    """The gate's section of params.yaml with what QUICKER changes."""
    from tasks.configs import gate_config

    return gate_config(dataset, load().dataset(dataset), gate).model_copy(update=QUICKER.get(gate, {}))


def try_seed(job: Job, seed: int, tell=lambda: None, set_by=settings_of) -> list[dict[str, Any]]:
    """What every gate, `set_by` its name and a dataset's, says of every scenario of a seed, with the seconds of CPU."""
    rows = []
    memo.forget()
    with tempfile.TemporaryDirectory(prefix="synthmill-bench-") as folder:
        world = World(job.dataset, archive(job.dataset), seed, job.sizes, Path(folder))
        made: dict[str, Any] = {}
        for scenario, gate in job.pairs():
            began = time.process_time()
            try:
                if scenario.name not in made:
                    made = {scenario.name: scenario.make(world)}
                trial = made[scenario.name]
                judge = find(tasks.gates)[gate](set_by(gate, trial.dataset), trial.model)
                finding = judge.measure(trial.real, trial.synthetic)
            except Exception as error:
                error.add_note(f"gate {gate}, scenario {scenario.name!r}, seed {seed}")
                raise
            rows.append(
                {
                    "scenario": scenario.name,
                    "gate": gate,
                    "status": str(judge.status(finding)),
                    "value": finding.value,
                    "interval": finding.interval,
                    "threshold": judge.config.threshold,
                    "reason": finding.reason,
                    "seconds": round(time.process_time() - began, 2),
                }
            )
            tell()
    return rows


def prepare(counter: Any) -> None:
    """Makes a process of its own ready: one thread, no bars but the bench's, no last words when it is stopped, and a memory."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    quieten()
    os.environ["SYNTHMILL_EVENTS"] = os.devnull
    from models.determinism import settle

    settle(threads=1)
    memo.install()


def work(job: Job, seed: int, file: Path) -> None:
    """Tries a seed and keeps what was found. Raises SynthmillError if code or params were edited meanwhile."""

    def tell() -> None:
        with _counter.get_lock():
            _counter.value += 1

    rows = try_seed(job, seed, tell)
    if job.scratch().folder != file.parent:
        raise SynthmillError("params.yaml or the code was edited while the bench ran: run it again")
    write_json(file, rows)


def run(job: Job, seeds: int, workers: int) -> list[list[dict[str, Any]]]:
    """What each seed found, those of earlier runs included."""
    folder = job.scratch().folder
    files = [folder / f"seed-{seed}.json" for seed in range(seeds)]
    waiting = [(seed, file) for seed, file in enumerate(files) if not file.is_file()]
    # Read when numpy is loaded, so before the processes start: threads of several would only wait for one another.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    context = get_context("spawn")
    counter = context.Value("i", 0)
    each, before = len(job.pairs()), seeds - len(waiting)
    columns = (
        *(TextColumn("bench gates: {task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    with (
        Progress(*columns, console=Console(file=sys.stderr)) as bars,
        ProcessPoolExecutor(workers, mp_context=context, initializer=prepare, initargs=(counter,)) as pool,
    ):
        bar = bars.add_task(f"{seeds} seeds", total=seeds * each, completed=before * each)
        left = {pool.submit(work, job, seed, file) for seed, file in waiting}
        try:
            while left:
                done, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
                bars.update(bar, completed=before * each + counter.value)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [read_json(file) for file in files]


def job_of(options: argparse.Namespace) -> tuple[Job, dict[str, str]]:
    """What was asked for, and what of it cannot be tried, with the reason."""
    dataset = DATASETS[options.data]
    scenarios = [scenario for scenario in SCENARIOS if not options.scenario or any(word in scenario.name for word in options.scenario)]
    panel = load().dataset(dataset).gates
    gates = [gate for gate in find(tasks.gates) if gate in panel and (not options.gate or gate in options.gate)]
    missing = [gate for gate in find(tasks.gates) if gate not in panel]
    skipped = dict.fromkeys(missing, f"datasets.{dataset}.gates has no section of it")
    if not gates or not scenarios:
        raise SynthmillError(f"nothing to try: scenarios are {', '.join(repr(each.name) for each in SCENARIOS)}; gates {', '.join(panel)}")
    return Job(dataset, tuple(scenario.name for scenario in scenarios), tuple(gates), Sizes()), skipped


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mill bench gates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=ENOUGH, help="how often everything is tried, each time on other images (%(default)s)")
    parser.add_argument("--data", choices=DATASETS, help="pneumonia where SYNTHMILL_DATA is set, else phantom")
    parser.add_argument("--scenario", action="append", metavar="WORD", help="only scenarios with this in their name; may be repeated")
    parser.add_argument("--gate", action="append", help="only this gate; may be repeated")
    parser.add_argument("--workers", type=int, default=2, help="processes, each on one thread (%(default)s)")
    parser.add_argument("--out", type=Path, help=f"folder for gates.json and gates.md; docs, if all is tried over {ENOUGH} seeds or more")
    parser.add_argument("--update", action="store_true", help="of gates.json in that folder, leave the rows that are not measured")
    parser.add_argument("--json", action="store_true", help="print gates.json on stdout, and nothing else there")
    options = parser.parse_args(words)
    if options.seeds < 1 or options.workers < 1:
        parser.error("--seeds and --workers must be 1 or more")
    if options.data == "pneumonia" and data_root() is None:
        parser.error("--data pneumonia needs SYNTHMILL_DATA, the folder with medmnist/pneumoniamnist.npz in it")
    if options.update and (options.scenario or not options.gate):
        parser.error("--update replaces all the rows of a gate: name it by --gate, and no --scenario")
    if options.update:
        options.out = options.out or root() / "docs"
    options.data = options.data or ("pneumonia" if data_root() else "phantom")
    return options


def main(words: list[str]) -> int:
    options = arguments(words)
    job, skipped = job_of(options)
    found = run(job, options.seeds, options.workers)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in job.scenarios]
    table = power.rows(chosen, found)
    changed = {gate: values for gate, values in QUICKER.items() if gate in job.gates}
    said = power.document(
        table, options.seeds, WORDS[options.data], "./mill bench gates", {"sizes": job.sizes.model_dump(mode="json"), **changed}
    )
    if options.update:
        command = " ".join(["./mill bench gates", *(f"--gate {gate}" for gate in options.gate), "--update"])
        said, chosen = power.updated(read_json(options.out / "gates.json"), said, command), SCENARIOS
    whole = options.update or (options.seeds >= ENOUGH and not options.scenario and not options.gate)
    out = options.out or (root() / "docs" if whole else None)
    if out:
        write_json(out / "gates.json", said)
        write_bytes(out / "gates.md", power.page(said, chosen, power.absences(chosen, find(tasks.gates), skipped)).encode())
    if options.json:
        print(json.dumps(said, indent=2))
    else:
        show(table, found)
    faults = power.unmet(said["rows"]) if whole else []
    for fault in faults:
        print(f"not met: {fault}", file=sys.stderr)
    return 1 if faults else 0


def show(table: list[dict[str, Any]], found: list[list[dict[str, Any]]]) -> None:
    """The table on stdout, with the mean seconds of CPU of each row."""
    for row in table:
        spent = [said["seconds"] for seed in found for said in seed if (said["scenario"], said["gate"]) == (row["scenario"], row["gate"])]
        mark = "*" if row["meant"] else " "
        word = "caught" if row["bad"] else "false alarms"
        print(
            f"{row['scenario']:32} {mark} {row['gate']:14} {word} {row['caught']} of {row['of']}, FAIL {row['failed']}"
            f"  {sum(spent) / len(spent):6.1f} s"
        )


if __name__ == "__main__":
    quieten()
    try:
        sys.exit(main(sys.argv[1:]))
    except SynthmillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped: the same command goes on from the seeds that are finished", file=sys.stderr)
        sys.exit(130)
