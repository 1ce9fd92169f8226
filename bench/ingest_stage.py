"""The whole stage ingest, scan and all: a first run, one with nothing new, one with 1 % more files, and the memory that it takes.

    SYNTHMILL_DATA=../shared/data python -m bench.ingest_stage                       # 2000 radiographs: about two minutes
    python -m bench.ingest_stage --tiny --images 100000 --json                       # memory at 100,000 records: about ten minutes

Each run is the two commands that DVC runs, `python -m tasks.scan` and `python -m tasks.ingest`, in a workspace of their own. Letters are
looked for with --letters alone: that makes the first run many times as long. Memory is the sum over the stage's processes, workers
included, of what each has of its own and its part of what they share (PSS), looked at five times a second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from bench.ingest import say
from bench.ingest_data import write_pngs
from schema.settings import ROOT, quieten

DATASET = "bench"
ASKED_SHARE = 0.05
ASKED_MB = 1000


def main() -> None:
    """Prints a table, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="files of the first run (at least 100)")
    parser.add_argument("--tiny", action="store_true", help="noise of 32 x 32 in place of radiographs of 1024 x 1024")
    parser.add_argument("--letters", action="store_true", help="look for letters and paint them over, as X-rays want it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synthmill-bench-ingest-") as folder:
        result = three_runs(Path(folder), max(100, asked.images), asked.tiny, asked.letters)
    print(json.dumps(result, indent=2) if asked.json else table(result))


def three_runs(root: Path, count: int, tiny: bool, letters: bool) -> dict[str, Any]:
    """Seconds, busy seconds and peak memory in MB of each run, and the shares of the first run's seconds that the others take."""
    more = count + max(1, count // 100)
    say(f"writing {more} files")
    (write_noise if tiny else write_pngs)(root / "images", more)
    rows = (root / "images" / "labels.csv").read_text().splitlines(keepends=True)
    write_params(root, 32 if tiny else 256, letters)
    runs = []
    for name, upto in (("first", count), ("nothing new", count), ("1 % more", more)):
        say(f"ingest of {upto} files: {name}")
        (root / "images" / "labels.csv").write_text("".join(rows[: upto + 1]))
        hide_beyond(root, upto)
        runs.append({"run": name, "images": upto, **run(root)})
        manifest = json.loads((root / "data" / "ingest" / DATASET / "manifest.json").read_text())
        assert manifest["counts"]["in"] == upto
    for of in runs:
        of["share_of_first"] = of["seconds"] / runs[0]["seconds"]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "image": "32 x 32 noise" if tiny else "1024 x 1024 radiographs",
        "letters": letters,
        "runs": runs,
    }


def hide_beyond(root: Path, upto: int) -> None:
    """Leaves the first `upto` images in the folder, and puts back those among them that were away."""
    away = root / "away"
    away.mkdir(exist_ok=True)
    for path in [*(root / "images").glob("*.png"), *away.glob("*.png")]:
        home = root / "images" if int(path.stem) < upto else away
        if path.parent != home:
            path.rename(home / path.name)


def write_noise(folder: Path, count: int) -> None:
    """Images of nothing, 32 x 32, and labels.csv with a patient and four further columns for each."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / f"{number:05d}.png", compress_level=0)
    rows = [f"{n:05d}.png,{'ab'[n % 2]},p{n // 3},{n % 90},{'FM'[n % 2]},chest,{n}" for n in range(count)]
    (folder / "labels.csv").write_text("\n".join(["image,label,patient,age,sex,site,number", *rows]) + "\n")


def write_params(root: Path, side: int, letters: bool) -> None:
    """params.yaml of a workspace with the one dataset, all of it but ingest taken from one that the checkout has."""
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    dataset = next(iter(written["datasets"].values()))
    dataset["ingest"] = {
        "source": {"kind": "image-folder", "folder": str(root / "images"), "csv": "labels.csv", "patient": "patient"},
        "image": {"height": side, "width": side, "channels": 1},
        "labels": ["a", "b"],
        "burned_in": {"action": "mask" if letters else "keep"},
        # The radiographs are twelve, turned, mirrored and shifted over and over: without this many would be set aside as copies.
        "duplicates": {"across": "quarantine", "hash_distance": 0, "grey_distance": 0},
    }
    (root / "params.yaml").write_text(yaml.safe_dump({**written, "build": [DATASET], "datasets": {DATASET: dataset}}))


def run(root: Path) -> dict[str, float]:
    """Both commands, one after the other. Raises RuntimeError with what one said where it failed."""
    environment = {**os.environ, "SYNTHMILL_ROOT": str(root)}
    begun, busy, peak = time.perf_counter(), 0.0, 0.0
    for stage in ("scan", "ingest"):
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tasks.{stage}", DATASET], cwd=ROOT, env=environment, stdout=said, stderr=said
            )
            while True:
                done, status, usage = os.wait4(process.pid, os.WNOHANG)
                if done:
                    break
                peak = max(peak, memory(process.pid))
                time.sleep(0.2)
            process.returncode = os.waitstatus_to_exitcode(status)
            busy += usage.ru_utime + usage.ru_stime
            if process.returncode:
                said.seek(0)
                raise RuntimeError(f"tasks.{stage} ended with {process.returncode}:\n{said.read().decode()[-2000:]}")
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": busy, "peak_mb": peak}


def memory(pid: int) -> float:
    """PSS in MB of a process and all that it started; 0 for what has ended meanwhile."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    kilobytes = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return kilobytes / 1000 + sum(memory(int(child)) for child in children)


def table(result: dict[str, Any]) -> str:
    asked = f"1 % more in {ASKED_SHARE:.0%} of the first run, {ASKED_MB} MB at most"
    lines = [
        f"ingest of {result['image']}, {result['cores']} cores; asked: {asked}",
        f"{'run':<14}{'images':>8}{'seconds':>10}{'of first':>10}{'busy':>8}{'peak MB':>9}",
    ]
    for of in result["runs"]:
        lines.append(
            f"{of['run']:<14}{of['images']:>8}{of['seconds']:>10.1f}{of['share_of_first']:>10.1%}{of['cpu_seconds']:>8.1f}{of['peak_mb']:>9.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
