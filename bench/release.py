"""A release of a million images: checked, assembled, catalogued and verified, beside bare pyarrow and beside `dvc add`.

    ./mill bench release                       # a million images of 64 x 64: some ten minutes, 10 GB in a temporary folder
    ./mill bench release --images 100000 --turns 1 --json

Of made-up images, each with pixels of its own, in the shards that the stage `sample` leaves, these steps are timed, each in a process of
its own with its libraries loaded:

- check: `tasks.release.check_samples`. Every PNG is decoded, its pixels hashed and compared, its mark and copies of real images looked for
- assemble: `tasks.release.assemble`. The shards are read, the release's Parquet files written and hashed, with card, provenance and sums
- catalogue: `catalog.database.index.add`. The files are hashed again, and SQLite, its tables made, is given a row for each image
- verify: `catalog.verify` of the folder, as anybody would. Files against SHA256SUMS, every PNG decoded, both digests made anew
- bare: what assemble is measured by. `pyarrow.parquet.write_table` of the release's own rows, with the release's options and as many to a
  file, and sha256 of each file. The rows lie in memory before the clock starts, where assemble reads them from the shards on its own time.
  What pyarrow takes to read the shards, and does nothing with them, is said apart

`assemble` and `bare` take turns, and each is credited with its fastest, since what else runs on the machine only ever makes one slower;
both are held to have made the same bytes. 80 % of bare's speed is asked of assemble, by the clock; assemble works by threads, so the
processor's time is held against bare's too. So is the whole (all four steps), though bare decodes no image and knows no catalogue.

The steps are measured at a tenth of the images as well: memory should not grow with them. `peak` is a process' most resident memory, its
libraries included (VmHWM). At --files images the same are added to DVC, once as a folder of PNG files and once as the release; that is
`dvc add` from its start to its end, a second or so of which is Python's.
"""

import argparse
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import func, select

import catalog
from bench.release_data import NAME, build
from catalog import folder, sums
from catalog.database import index
from catalog.database.tables import Image
from schema import params
from schema.digest import read_json, sha256_file
from schema.settings import QUIET, quieten
from tasks import release
from tasks.exports.parquet import GROUP_ROWS
from tasks.leaks import RealData
from tasks.shards import manifest
from tasks.stage import ingest_folder, model_folder, reports_folder, samples_folder

ASKED = 0.8
STEPS = ("check", "assemble", "catalogue", "verify")

Work = Callable[[], dict[str, Any] | None]


def main() -> None:
    """Prints a table, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=20_000, help="images that are added to DVC as well")
    parser.add_argument("--turns", type=int, default=3, help="how often assemble and bare are timed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    runs = []
    for images in sorted({asked.files, max(1, asked.images // 10), asked.images}):
        with tempfile.TemporaryDirectory(prefix="synthmill-bench-release-") as scratch:
            print(f"drawing {images} images", file=sys.stderr, flush=True)
            build(Path(scratch) / "workspace", images)
            said = {"images": images, **measure(Path(scratch) / "workspace", asked.turns, apart)}
            if images == asked.files:
                said["dvc"] = added(Path(scratch) / "workspace", Path(scratch) / "dvc")
            runs.append(said)
    result = {"cores": len(os.sched_getaffinity(0)), "turns": asked.turns, "asked": ASKED, "runs": runs}
    print(json.dumps(result, indent=2) if asked.json else table(result))


def measure(root: Path, turns: int, go: Callable[[Callable, Path], dict[str, Any]]) -> dict[str, Any]:
    """What each step took, by `go` (`apart`, or `timed` in this process), and the ratios."""
    took = {"check": go(check, root)}
    pairs = [(go(assemble, root), go(bare, root)) for _ in range(turns)]
    for name, of in zip(("assemble", "bare"), zip(*pairs, strict=True), strict=True):
        took[name] = min(of, key=lambda one: one["seconds"])
    took |= {"catalogue": go(catalogue, root), "verify": go(verify, root)}
    whole = {unit: sum(took[step][unit] for step in STEPS) for unit in ("seconds", "cpu_seconds")}
    ratios = {f"assemble_{unit}": took["bare"][unit] / took["assemble"][unit] for unit in whole}
    read = took["bare"]["read"]
    ratios |= {f"with_reading_{unit}": (took["bare"][unit] + read[unit]) / took["assemble"][unit] for unit in whole}
    ratios |= {f"whole_{unit}": took["bare"][unit] / of for unit, of in whole.items()}
    return {"bytes": sum(path.stat().st_size for path in released(root).rglob("*.parquet")), "steps": took, "ratios": ratios}


class Watch:
    """Seconds of the clock and of the processor in all its `with` blocks together."""

    def __init__(self) -> None:
        self.said = {"seconds": 0.0, "cpu_seconds": 0.0}

    def __enter__(self) -> None:
        self.started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.said["seconds"] += time.perf_counter() - self.started[0]
        self.said["cpu_seconds"] += time.process_time() - self.started[1]


def apart(step: Callable[[Path], Work], root: Path) -> dict[str, Any]:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(timed, (step, root))


def timed(step: Callable[[Path], Work], root: Path) -> dict[str, Any]:
    """Seconds of the clock and of the processor, and memory in MB before and at its peak. A step that says its own seconds has the word."""
    os.environ |= {
        "SYNTHMILL_ROOT": str(root),
        "SYNTHMILL_EVENTS": str(root / "events"),
        "SYNTHMILL_CATALOG_URL": f"sqlite:///{root}/index.db",
    }
    work = step(root)
    os.sync()
    before, watch = memory("VmRSS"), Watch()
    with watch:
        said = work() or {}
    return {**watch.said, "loaded_mb": before, "peak_mb": memory("VmHWM"), **said}


def memory(field: str) -> float:
    """Of this process, in MB. Not by getrusage, whose peak is the parent's where that had more before this process became itself."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1000


def released(root: Path) -> Path:
    return root / "data" / "releases" / NAME


def manifests() -> dict[str, Any]:
    report = read_json(reports_folder(NAME) / "report" / "public" / "report.json")
    said = {"ingest": manifest(ingest_folder(NAME)), "samples": manifest(samples_folder(NAME)), "report": report, "watermark": None}
    return {**said, "model": read_json(model_folder(NAME) / "model.json")}


def check(root: Path) -> Work:
    said = manifests()
    real = RealData(ingest_folder(NAME), said["ingest"])

    def work() -> None:
        samples = release.check_samples(NAME, said, real)
        real.refuse_copies(NAME, samples.copies)
        with (root / "samples.pickle").open("wb") as stream:
            pickle.dump(samples, stream, pickle.HIGHEST_PROTOCOL)  # the one that copies no bytes

    return work


def assemble(root: Path) -> Work:
    said, out, section = manifests(), released(root), params.load().dataset(NAME)
    real = RealData(ingest_folder(NAME), said["ingest"])
    with (root / "samples.pickle").open("rb") as stream:
        samples = pickle.load(stream)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return lambda: release.assemble(out, NAME, section, said, [], samples, real)


def bare(root: Path) -> Work:
    out, to = released(root), root / "bare"
    shutil.rmtree(to, ignore_errors=True)
    (to / "data").mkdir(parents=True)

    options = {"compression": "zstd", "use_dictionary": ["label_name"], "write_page_index": True, "row_group_size": GROUP_ROWS}

    def read() -> None:
        for path in sorted(samples_folder(NAME).glob("*.parquet")):
            for _ in pq.ParquetFile(path, pre_buffer=False).iter_batches(GROUP_ROWS):
                pass

    def work() -> dict[str, Any]:
        reading, writing = Watch(), Watch()
        with reading:
            read()
        for name, digest in sums.read(out).items():
            if name.endswith(".parquet"):
                rows = pq.read_table(out / name)
                with writing:
                    pq.write_table(rows, to / name, **options)
                    found = sha256_file(to / name)
                if found != digest:
                    raise AssertionError(f"{name} is not what pyarrow writes of its rows: assemble and bare did different work")
        return {**writing.said, "read": reading.said}

    return work


def catalogue(root: Path) -> Work:
    for old in root.glob("index.db*"):
        old.unlink()
    engine, made = index.connect(), folder.described(released(root))

    def work() -> dict[str, Any]:
        index.add(made)
        with engine.connect() as connection:
            return {"rows": connection.execute(select(func.count()).select_from(Image)).scalar()}

    return work


def verify(root: Path) -> Work:
    def work() -> dict[str, Any]:
        return {"images": catalog.verify(released(root), root).images}

    return work


def added(root: Path, to: Path) -> dict[str, Any]:
    """Seconds of `dvc add` of the release, and of the same images as PNG files, in a repository of its own."""
    (to / "images").mkdir(parents=True)
    files = 0
    for path in sorted((released(root) / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(GROUP_ROWS, columns=["image"]):
            for row in batch.to_pylist():
                (to / "images" / row["image"]["path"]).write_bytes(row["image"]["bytes"])
                files += 1
    shutil.copytree(released(root), to / "release")
    home = {"HOME": str(to / "home"), "DVC_SITE_CACHE_DIR": str(to / "home"), "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*words: str) -> dict[str, float]:
        os.sync()
        wall = time.perf_counter()
        process = subprocess.Popen(words, cwd=to, env={**os.environ, **QUIET, **home})
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
        found = {"seconds": time.perf_counter() - wall, "cpu_seconds": usage.ru_utime + usage.ru_stime}
        return {**found, "peak_mb": usage.ru_maxrss * 1024 / 1e6}

    dvc = (sys.executable, "-P", "-m", "dvc")
    run("git", "init", "--quiet")
    run(*dvc, "init", "--quiet")
    return {"files": files, **{name: run(*dvc, "add", "--quiet", name) for name in ("release", "images")}}


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['cores']} cores; assemble and bare: the fastest of {result['turns']} turns; asked: {ASKED:.0%} of bare"]
    for run in result["runs"]:
        lines.append(f"\n{run['images']} images, {run['bytes'] / 1e6:.0f} MB of Parquet")
        lines.append(f"{'step':<22}{'seconds':>9}{'images/s':>10}{'busy':>8}{'peak MB':>9}{'loaded':>8}")
        steps = run["steps"]
        lines += [step_line(name, run["images"], steps[name]) for name in (*STEPS, "bare")]
        lines.append(step_line("reading the shards", run["images"], steps["bare"]["read"]))
        if "dvc" in run:
            lines += [step_line(f"dvc add {name}", run["images"], run["dvc"][name]) for name in ("release", "images")]
            whole = sum(steps[step]["seconds"] for step in STEPS) + run["dvc"]["release"]["seconds"]
            times = run["dvc"]["images"]["seconds"] / whole
            lines.append(f"all steps and dvc add of the release: {run['images'] / whole:.0f} images/s, {times:.2f} times dvc add of PNGs")
        for name, what in (("assemble", "bare"), ("with_reading", "bare and reading the shards"), ("whole", "bare")):
            clock, busy = (run["ratios"][f"{name}_{unit}"] for unit in ("seconds", "cpu_seconds"))
            step = "all four" if name == "whole" else "assemble"
            lines.append(f"{step} at {clock:.1%} of the speed of {what} by the clock, {busy:.1%} by the processor")
    small, large = result["runs"][-2:] if len(result["runs"]) > 1 else result["runs"] * 2
    growth = ", ".join(f"{name} {large['steps'][name]['peak_mb'] - small['steps'][name]['peak_mb']:+.0f}" for name in STEPS)
    lines.append(f"\npeak memory in MB at {large['images']} images over that at {small['images']}: {growth}")
    return "\n".join(lines)


def step_line(name: str, images: int, of: dict[str, float]) -> str:
    memory = "".join(f"{of[field]:>{width}.0f}" for field, width in (("peak_mb", 9), ("loaded_mb", 8)) if field in of)
    return f"{name:<22}{of['seconds']:>9.2f}{images / of['seconds']:>10.0f}{of['cpu_seconds']:>8.2f}{memory}"


if __name__ == "__main__":
    main()
