"""How fast images are read and made to fit, beside the plain loop: open, convert, resize by Lanczos. And what a whole ingest takes.

    SYNTHMILL_DATA=../shared/data python -m bench.ingest                     # 96 files of each kind, three times: about four minutes
    SYNTHMILL_DATA=../shared/data python -m bench.ingest --images 24 --kinds png jpeg --json
    SYNTHMILL_DATA=../shared/data python -m bench.ingest_stage --help        # the stage: a first run, one with 1 % more files, memory

The plain loop is one process, as anybody would write it: Pillow for PNG and JPEG, pydicom's pixels and window for DICOM. Ours is the
source's own reader and `fit_image`, in one process and in two. The three take turns on the same files, which are in the page cache,
and each is credited with its fastest turn, since what else runs on the machine only ever makes one slower. On a busy machine look at
the milliseconds that a core was busy with an image instead. PSNR is of our pixels against those of the plain loop.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import tasks.sources
from bench.ingest_data import write_dicoms, write_jpegs, write_pngs
from schema import plugins
from schema.params import ImageFormat, validate
from schema.settings import quieten
from tasks.fit import fit_image
from tasks.sources import Source, Unit

FOLDER = {"kind": "image-folder", "csv": "labels.csv", "patient": "patient"}
DICOM = {"kind": "dicom", "label": "a"}


@dataclass(frozen=True)
class Kind:
    """`write(folder, count)` makes the files; `section` is the source that reads them; `asked`: times as fast as the plain loop."""

    write: Callable[[Path, int], None]
    section: dict[str, str]
    form: ImageFormat
    asked: float


GREY, COLOUR = ImageFormat(height=256, width=256, channels=1), ImageFormat(height=128, width=128, channels=3)

KINDS = {
    "png": Kind(write_pngs, FOLDER, GREY, 1.8),
    "jpeg": Kind(write_jpegs, FOLDER, COLOUR, 4.0),
    "dicom": Kind(lambda folder, count: write_dicoms(folder, count, "1.2.840.10008.1.2.1"), DICOM, GREY, 1.8),
    "dicom-jpeg-lossless": Kind(lambda folder, count: write_dicoms(folder, count, "1.2.840.10008.1.2.4.70"), DICOM, GREY, 1.8),
    "dicom-jpeg-ls": Kind(lambda folder, count: write_dicoms(folder, count, "1.2.840.10008.1.2.4.80"), DICOM, GREY, 1.8),
    "dicom-jpeg-2000": Kind(lambda folder, count: write_dicoms(folder, count, "1.2.840.10008.1.2.4.90"), DICOM, GREY, 1.8),
}


def main() -> None:
    """Prints a table, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=96, help="files of each kind (at least 4)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is read")
    parser.add_argument("--turns", type=int, default=3, help="how often each reads all of them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    known = plugins.find(tasks.sources)
    runs = []
    with tempfile.TemporaryDirectory(prefix="synthmill-bench-ingest-") as folder:
        for name in asked.kinds:
            if KINDS[name].section["kind"] not in known:
                say(f"{name}: there is no source {KINDS[name].section['kind']}, left out")
                continue
            runs.append({"kind": name, **read(Path(folder) / name, KINDS[name], max(4, asked.images), asked.turns)})
    result = {"cores": len(os.sched_getaffinity(0)), "images": max(4, asked.images), "turns": asked.turns, "runs": runs}
    print(json.dumps(result, indent=2) if asked.json else table(result))


def read(folder: Path, kind: Kind, count: int, turns: int) -> dict[str, Any]:
    """Images a second of the plain loop and of ours in one process and two, with the PSNR of the results in dB."""
    say(f"writing {count} files for {folder.name}")
    kind.write(folder, count)
    section = {**kind.section, "folder": str(folder)}
    units = [unit for unit in source(section, kind.form).units() if unit.files and unit.files[0].suffix in (".png", ".jpg", ".dcm")]
    start(section, kind.form)
    seconds, busy = {}, {}
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=start, initargs=(section, kind.form)) as pool:
        list(pool.map(ours, units[:4]))  # both are there, and their libraries loaded
        for turn in range(turns):
            say(f"{folder.name}, turn {turn + 1}")
            for name, go in {
                "plain": lambda: [timed(plain, unit.files[0], kind.form) for unit in units],
                "one": lambda: [ours(unit) for unit in units],
                "two": lambda: list(pool.map(ours, units, chunksize=4)),
            }.items():
                begun = time.perf_counter()
                done = go()
                seconds[name] = min(seconds.get(name, np.inf), time.perf_counter() - begun)
                busy[name] = min(busy.get(name, np.inf), sum(cpu for _, cpu in done))
                assert len(done) == count
    psnr = [decibel(ours(unit)[0], plain(unit.files[0], kind.form)) for unit in units[:24]]
    return {
        "bytes_a_file": float(np.mean([unit.files[0].stat().st_size for unit in units])),
        **{f"{name}_images_a_second": count / of for name, of in seconds.items()},
        **{f"{name}_cpu_ms_an_image": 1000 * of / count for name, of in busy.items()},
        **{f"{name}_times_as_fast": seconds["plain"] / seconds[name] for name in ("one", "two")},
        "asked": kind.asked,
        "psnr_min": min(psnr),
        "psnr_mean": float(np.mean(psnr)),
    }


def timed(work: Callable[..., np.ndarray], *arguments: Any) -> tuple[np.ndarray, float]:
    """What it gives, and the seconds that this process was busy with it."""
    begun = time.process_time()
    return work(*arguments), time.process_time() - begun


def plain(path: Path, form: ImageFormat) -> np.ndarray:
    """uint8 pixels as anybody would read them, by Lanczos."""
    opened = Image.fromarray(plain_dicom(path)) if path.suffix == ".dcm" else Image.open(path)
    image = opened.convert("L" if form.channels == 1 else "RGB")
    return np.asarray(image.resize((form.width, form.height), Image.Resampling.LANCZOS))


def plain_dicom(path: Path) -> np.ndarray:
    from pydicom import dcmread
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    data = dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    # The window's output has the range of the stored bits.
    return (shown / (2**data.BitsStored - 1) * 255).round().astype(np.uint8)


def source(section: dict[str, str], form: ImageFormat) -> Source:
    plugin = plugins.named(tasks.sources, section["kind"], "source")
    return plugin(validate(plugin.Config, section, "source"), (form.height, form.width))


@cache
def _reader() -> dict[str, Any]:
    return {}


def start(section: dict[str, str], form: ImageFormat) -> None:
    """What a process keeps between images."""
    _reader().update(source=source(section, form), form=form)


def ours(unit: Unit) -> tuple[np.ndarray, float]:
    return timed(_read_one, unit)


def _read_one(unit: Unit) -> np.ndarray:
    """H x W or H x W x 3."""
    source, form = _reader()["source"], _reader()["form"]
    (record,) = source.read(unit)
    image = fit_image(record.image, form)
    return image[:, :, 0] if form.channels == 1 else image


def decibel(ours: np.ndarray, theirs: np.ndarray) -> float:
    mse = ((ours.astype(float) - theirs) ** 2).mean()
    return float(10 * np.log10(255**2 / mse)) if mse else float("inf")


def table(result: dict[str, Any]) -> str:
    def lines() -> Iterator[str]:
        yield f"{result['images']} files of each kind, {result['cores']} cores, the fastest of {result['turns']} turns"
        yield f"{'':<20}{'':>6}{'images a second':>24}{'times as fast':>16}{'':>7}{'busy ms an image':>24}{'PSNR in dB':>14}"
        yield (
            f"{'kind':<20}{'kB':>6}{'plain':>8}{'one':>8}{'two':>8}{'one':>8}{'two':>8}{'asked':>7}"
            f"{'plain':>8}{'one':>8}{'two':>8}{'mean':>8}{'least':>6}"
        )
        for of in result["runs"]:
            yield (
                f"{of['kind']:<20}{of['bytes_a_file'] / 1000:>6.0f}"
                + "".join(f"{of[f'{name}_images_a_second']:>8.1f}" for name in ("plain", "one", "two"))
                + f"{of['one_times_as_fast']:>8.2f}{of['two_times_as_fast']:>8.2f}{of['asked']:>7.1f}"
                + "".join(f"{of[f'{name}_cpu_ms_an_image']:>8.1f}" for name in ("plain", "one", "two"))
                + f"{of['psnr_mean']:>8.1f}{of['psnr_min']:>6.1f}"
            )

    return "\n".join(lines())


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
