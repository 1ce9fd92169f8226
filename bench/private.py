"""What differential privacy costs in training: time and memory of a step, and the noise that a budget asks for.

    python -m bench.private            # about five minutes of one core
    python -m bench.private --json

The network of params.yaml's pneumonia (channels 16, 32, 64; 32 x 32, one channel), float32, one thread, AdamW. Time is that of the
processor, so other work on the machine does not count; plain and private steps take turns, and the median is given. Images are random:
no pixel changes what a step costs. Memory is the growth of the process' peak beyond what it held before the first step of that kind.
"""

import argparse
import json
import multiprocessing
import resource
import time
from typing import Any

import numpy as np

from models.learning.private import PrivateSteps, plan
from schema.privacy import Privacy
from schema.settings import quieten

BATCH, SIDE = 64, 32
UNITS, STEPS, DELTA = 4000, 1000, 2e-5
"""About the training images of pneumonia, and its steps."""
KINDS = {
    "plain": None,
    "private": {},
    "private, 16 at once": {"physical_batch": 16},
    "private, noise multiplicity 4": {"noise_multiplicity": 4},
}
EPSILONS, BATCHES, LENGTHS = (1.0, 3.0, 8.0), (64, 256, 1024), (1000, 4000)


def main() -> None:
    """Prints tables, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="steps of each kind, after one to warm up")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    result = {"steps": timed(asked.repeats), "noise": noises()}
    print(json.dumps(result, indent=2) if asked.json else table(result))


def timed(repeats: int) -> dict[str, dict[str, float]]:
    """Median processor seconds a step and peak memory in MB of each kind, in a process of its own for each."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, dict[str, float]] = {}
    for kind in KINDS:
        with context.Pool(1) as pool:
            found[kind] = pool.apply(measured, (kind, repeats))
    for row in found.values():
        row["times_plain"] = row["seconds"] / found["plain"]["seconds"]
    return found


def measured(kind: str, repeats: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(1)
    step = step_of(kind)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for number in range(repeats + 1):
        start = time.process_time()
        step(number)
        seconds.append(time.process_time() - start)
    return {
        "seconds": float(np.median(seconds[1:])),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def step_of(kind: str):
    """What takes one step of BATCH images in full, by its number."""
    import torch

    from models.generators import Shape
    from models.generators.ddpm import Config, Plugin

    torch.manual_seed(0)
    unet = Plugin(Config(steps=STEPS), Shape(SIDE, SIDE, 1, 2), torch.device("cpu")).build_network().train()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3)
    images = torch.randn(BATCH, 1, SIDE, SIDE)

    def losses(network, rows, turns):
        times = torch.from_numpy((rows * 37 + turns * 251) % 1000)
        output = network(images[rows], times, class_labels=torch.from_numpy(rows % 2)).sample
        return (output - images[rows]).square().mean(dim=(1, 2, 3))

    if KINDS[kind] is None:

        def plain(_: int) -> None:
            optimizer.zero_grad(set_to_none=True)
            losses(unet, np.arange(BATCH), np.zeros(BATCH, np.int64)).mean().backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()

        return plain
    privacy = Privacy(epsilon=100.0, delta=1e-3, unit="image", noise_multiplier=2.0, **KINDS[kind])
    # A rate of 1: every step has exactly BATCH images, as the plain one has.
    steps = PrivateSteps(unet, optimizer, privacy, plan(privacy, BATCH, BATCH, 100), np.arange(BATCH))
    return lambda number: steps.step(number, steps.draw(number), lambda rows, turns: losses(steps.network, rows, turns))


def noises() -> list[dict[str, Any]]:
    """The noise multiplier that each budget, batch and number of steps needs; None where none below the batch does."""
    rows = []
    for steps in LENGTHS:
        for batch in BATCHES:
            row: dict[str, Any] = {"steps": steps, "batch_size": batch}
            for epsilon in EPSILONS:
                try:
                    row[f"{epsilon:g}"] = plan(Privacy(epsilon=epsilon, delta=DELTA), UNITS, batch, steps).noise_multiplier
                except ValueError:
                    row[f"{epsilon:g}"] = None
            rows.append(row)
    return rows


def table(result: dict[str, Any]) -> str:
    lines = [f"| a step of {BATCH} images | seconds of one core | times plain | memory |", "|---|---|---|---|"]
    for kind, row in result["steps"].items():
        lines.append(f"| {kind} | {row['seconds']:.3f} | {row['times_plain']:.1f} | {row['megabytes']:.0f} MB |")
    lines += ["", f"Noise multiplier, and in brackets over the batch, for {UNITS} units at delta {DELTA:g}:", ""]
    lines += ["| steps | batch | " + " | ".join(f"epsilon {epsilon:g}" for epsilon in EPSILONS) + " |", "|---" * (2 + len(EPSILONS)) + "|"]
    for row in result["noise"]:
        cells = [row[f"{epsilon:g}"] for epsilon in EPSILONS]
        said = [f"{noise:.2f} ({noise / row['batch_size']:.4f})" if noise else "none" for noise in cells]
        lines.append(f"| {row['steps']} | {row['batch_size']} | {' | '.join(said)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
