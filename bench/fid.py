"""FID of a release, from its Parquet files to the number, beside `python -m pytorch_fid` on the same images as PNG files.

    python -m bench.fid                          # 5000 images a side: about a quarter of an hour on two cores
    python -m bench.fid --images 200             # a look
    python -m bench.fid --weights pt_inception-2015-12-05-6726825d.pth --json

Both programs read the same weights file, pytorch-fid's own where it is given and else one of the same layout with seeded numbers,
and start from a fresh process each, once for a quarter of the images and once for all, so that memory can be seen to grow or not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from schema.settings import ROOT, quieten

LABELS = ["normal", "opacity"]
OFFICIAL = "pt_inception-2015-12-05-6726825d.pth"
BATCH = 500
"""Images that are read, and whose features are taken in, at once; the network itself takes fewer."""
PRECISIONS = ("float32", "bfloat16")


def main() -> None:
    """Prints a table, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="images on each side, real and released (at least 8)")
    parser.add_argument("--size", type=int, default=32, help="their height and width")
    parser.add_argument("--weights", type=Path, help="pytorch-fid's weights file; seeded numbers where it is not given")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["bfloat16"], help="what synthmill computes in")
    parser.add_argument("--device", default="cpu", help="where both programs compute: cpu, cuda, ...")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", nargs=3, type=Path, metavar=("RELEASE", "REAL", "WEIGHTS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps({"fid": measure(*asked.measure, asked.precision[0])}))
        return
    with tempfile.TemporaryDirectory(prefix="synthmill-bench-fid-") as folder:
        result = compare(Path(folder), asked.images, asked.size, asked.weights, asked.precision, asked.device)
    print(json.dumps(result, indent=2) if asked.json else table(result))


def measure(release: Path, real: Path, weights: Path, precision: str) -> float:
    """FID between two folders of Parquet files, images and features taken batch by batch."""
    import torch

    from models.determinism import pick_device
    from models.frechet import Moments, frechet_distance
    from models.inception import FEATURES, inception_features, load_inception
    from schema.settings import device as asked

    device = pick_device(asked())
    network = load_inception(torch.load(weights, map_location="cpu", weights_only=True), device)
    sides = []
    for folder in (release, real):
        moments = Moments(FEATURES)
        for pixels in batches(folder):
            moments.add(inception_features(network, pixels, device, lambda _: None, precision=precision))
        sides.append(moments)
    return frechet_distance(sides[0].mean, sides[0].cov, sides[1].mean, sides[1].cov)


def batches(folder: Path) -> Iterator[np.ndarray]:
    """uint8 pixels, up to BATCH x H x W x C at once, of the Parquet files of a release."""
    import pyarrow.parquet as pq

    from schema.record import decode_png

    for path in sorted((folder / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH, columns=["image"]):
            yield np.stack([decode_png(image["bytes"]) for image in batch.column("image").to_pylist()])


def compare(folder: Path, images: int, size: int, weights: Path | None, precisions: list[str], device: str) -> dict[str, Any]:
    """Seconds, peak memory and result of both programs, for a quarter of the images and for all of them."""
    say("drawing phantoms and writing them as Parquet and as PNG files")
    counts = [max(2, images // 4), images]
    for count in counts:
        for side in ("release", "real"):
            write_side(folder / str(count), side, count, size)
    home = folder / "torch"
    (home / "hub" / "checkpoints").mkdir(parents=True)
    given = home / "hub" / "checkpoints" / OFFICIAL
    if weights is None:
        save_seeded_weights(given, seed=0)
    else:
        given.symlink_to(weights.resolve())
    environment = {**os.environ, "TORCH_HOME": str(home), "SYNTHMILL_DEVICE": device}
    runs = []
    for count in counts:
        here = folder / str(count)
        say(f"python -m pytorch_fid on {count} images a side")
        theirs = run(["-m", "pytorch_fid", str(here / "release-png"), str(here / "real-png"), "--device", device], environment)
        runs.append({"program": "pytorch-fid", "images": count, **theirs})
        for precision in precisions:
            say(f"synthmill in {precision} on {count} images a side")
            ours = run(
                ["-m", "bench.fid", "--precision", precision, "--measure", str(here / "release"), str(here / "real"), str(given)],
                environment,
            )
            runs.append(
                {
                    "program": f"synthmill {precision}",
                    "images": count,
                    **ours,
                    "times_as_fast": theirs["seconds"] / ours["seconds"],
                    "relative_difference": abs(ours["fid"] - theirs["fid"]) / abs(theirs["fid"]),
                }
            )
    return {
        "weights": "seeded" if weights is None else weights.name,
        "cores": len(os.sched_getaffinity(0)),
        "image_size": size,
        "runs": runs,
    }


def write_side(folder: Path, side: str, count: int, size: int) -> None:
    """The same images as a release's Parquet files under `folder/side` and as PNG files in `folder/side-png`."""
    from schema.params import Sample
    from schema.record import encode_png
    from tasks.exports import Draft
    from tasks.exports.parquet import Plugin as Parquet
    from tasks.sample import to_table
    from tasks.shards import keep

    shards = []
    plan = Sample(n=count)
    (folder / f"{side}-png").mkdir(parents=True)
    for first in range(0, count, plan.shard_size):
        pixels, labels = phantoms(side, first, min(first + plan.shard_size, count), size)
        shards.append(folder / f"{side}-shards" / f"{first:07d}.parquet")
        keep(shards[-1], to_table(side, first, pixels, labels[:, None], LABELS, plan, []), "bench")
        for number, image in enumerate(pixels, start=first):
            (folder / f"{side}-png" / f"{number:07d}.png").write_bytes(encode_png(image))
    Parquet().write(Draft(side, LABELS, shards, count), folder / side)


def phantoms(side: str, first: int, last: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Chest phantoms `first` to `last` - 1, N x H x W x 1, and their labels. Those of the release are other patients, a little blurred."""
    from models.phantoms.chest import draw_chest

    labels = np.arange(first, last) % 2
    start = 0 if side == "real" else 10_000_000
    drawn = np.stack([draw_chest(start + number, LABELS[number % 2], size, size)[0] for number in range(first, last)])
    if side == "release":
        soft = sum(np.roll(drawn.astype(float), step, axis) for step in (-1, 1) for axis in (1, 2)) / 4
        drawn = np.rint(0.7 * drawn + 0.3 * soft).astype(np.uint8)
    return drawn[..., None], labels


def save_seeded_weights(path: Path, seed: int) -> None:
    """A weights file of pytorch-fid's layout with seeded numbers that behave as trained ones do.

    Each output channel hands on one input channel and adds a little of all, and the batch norms know their inputs. Deep networks of
    random weights alone multiply a rounding error until it is as large as what tells images apart.
    """
    import torch
    from pytorch_fid import inception

    torch.manual_seed(seed)
    with (
        mock.patch.object(torch.nn.Module, "load_state_dict"),
        mock.patch.object(inception, "load_state_dict_from_url", return_value={}),
    ):
        whole = inception.fid_inception_v3()
        with mock.patch.object(inception, "fid_inception_v3", return_value=whole):
            blocks = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    for module in blocks.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.bias.data.fill_(1.0)
        if isinstance(module, torch.nn.Conv2d):
            outputs, *inputs = module.weight.shape
            module.weight.data.normal_(0, 0.3 / np.prod(inputs) ** 0.5)
            if inputs[0] > 3:
                handed_on = [torch.randint(size, (outputs,)) for size in inputs]
                module.weight.data[torch.arange(outputs), *handed_on] += 1
    pixels = np.concatenate([phantoms(side, 0, 4, 32)[0] for side in ("real", "release")]).repeat(3, axis=3)
    with torch.no_grad():
        blocks.train()(torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255))
    torch.save(whole.state_dict(), path)


def run(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Runs Python with the arguments: the last number it printed, seconds from start to end, those that cores were busy (what else
    runs on the machine lengthens the first, hardly the second), and the process' peak memory in MB.

    Raises RuntimeError with what it said where it failed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=errors, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments[:2])} ended with {process.returncode}:\n{errors.read().decode()[-2000:]}")
        number = output.read().decode().split()[-1].rstrip("}")
    busy = usage.ru_utime + usage.ru_stime
    return {"fid": float(number), "seconds": seconds, "cpu_seconds": busy, "peak_mb": usage.ru_maxrss / 1024}


def table(result: dict[str, Any]) -> str:
    lines = [
        f"FID of {result['image_size']} x {result['image_size']} images, {result['cores']} cores, weights {result['weights']}",
        f"{'program':<20}{'images':>8}{'seconds':>10}{'busy':>8}{'times as fast':>15}{'FID':>12}{'difference':>12}{'peak MB':>9}",
    ]
    for of in result["runs"]:
        ratio = f"{of['times_as_fast']:.2f}" if "times_as_fast" in of else ""
        apart = f"{of['relative_difference']:.4%}" if "relative_difference" in of else ""
        lines.append(
            f"{of['program']:<20}{of['images']:>8}{of['seconds']:>10.1f}{of['cpu_seconds']:>8.1f}{ratio:>15}{of['fid']:>12.5g}{apart:>12}{of['peak_mb']:>9.0f}"
        )
    return "\n".join(lines)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
