"""How much of the text drawn onto real images the search for burned-in text finds, how often it sees text in vain, and its price.

    SYNTHMILL_DATA=folder python -m bench.burned_in            # eight minutes of one idle core
    SYNTHMILL_DATA=folder python -m bench.burned_in --draws 1  # a look
    SYNTHMILL_DATA=folder python -m bench.burned_in --json

A text counts as found when boxes cover half of its ink or more. Half of the images, by the checksum of their names, and other seeds were
used to choose the finder's settings; what is reported is the other half. burned_in_nih.csv lists every place in the NIH X-rays that a
more permissive finder (min_score 0.5, no LARGE) had boxed, and what it shows, judged by eye from enlarged crops: letters, an arrow beside
them, or nothing of the kind; four more letters were added that it only saw once the others were painted over.
X-rays without their side markers are those with all letters and arrows of the list painted over.
"""

import argparse
import csv
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.stats import beta

from bench.burned_text import STYLES, Drawn, draw
from models import phantoms
from schema import params
from schema.errors import SynthmillError
from schema.record import Record
from schema.settings import data_root, quieten
from tasks.ingesting.burned_in import Box, TextFinder, grow, paint_over
from tasks.ingesting.reader import open_source

HARD = "T1 head 256"
"""Axial slices of 256 x 188 that a head fills, all of them, since settings were chosen to pass them over: those of params.yaml's t1-pd."""
SIZES = (8, 10, 12, 16, 24, 32, 48)
DRAWS = {"NIH X-ray 256": 5, "NIH X-ray 1024": 1, "dermoscopy 224": 3, "fundus 512": 2, "MR head": 2, "phantom 256": 2, HARD: 2}
"""Texts of each size and style, on each kind of image. Those on HARD have a row of their own and count in no other."""
TEXT_FREE = {
    "dermoscopy 224": 200,
    "blood smear 640": 60,
    "fundus 512": 20,
    "MR head": 16,
    HARD: 45,
    "T1 head, other planes": 120,
    "PD head": 45,
    "phantom 256": 60,
    "head phantom T1": 60,
    "head phantom CT": 60,
    "OCT phantom": 60,
    "CT head": 2,
}
"""Kinds of images without any letters, and how many at most are looked at."""

VOLUMES = {HARD: ("image", ["axial"]), "PD head": ("pd", ["axial"]), "T1 head, other planes": ("image", ["sagittal", "coronal"])}
"""Kind: which of the images, along which axes."""
PHANTOMS = {"head phantom T1": ("head", "mr"), "head phantom CT": ("head", "image"), "OCT phantom": ("oct", "image")}
"""Kind: modality and which of its images."""

Images = list[tuple[str, Callable[[], np.ndarray]]]


def main() -> None:
    """Prints tables, or JSON with --json."""
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, help="texts of each size and style on every kind of image, instead of 1 to 5")
    parser.add_argument("--seed", type=int, default=2025, help="what the texts and their places are drawn from")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    folder = data_root()
    if folder is None:
        raise SystemExit("the real images are needed: run `export SYNTHMILL_DATA=/folder/of/your/data`")
    result = measure(folder, asked.draws, asked.seed)
    print(json.dumps(result, indent=2) if asked.json else table(result))


def measure(folder: Path, draws: int | None, seed: int) -> dict[str, Any]:
    finder = TextFinder()
    images = backgrounds(folder, "report") | {HARD: others(folder, HARD)}
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for kind, drawn, found, gone in trials(finder, images, draws, seed):
        names = [f"size {drawn.height}"] if kind != HARD else [f"on {kind}"] if drawn.height >= 10 else []
        if kind != HARD and drawn.height >= 10:
            ratio = drawn.contrast / max(drawn.texture, 1.0)
            names += ["all of 10 and more", f"on {kind}", f"style {drawn.style}", f"place {drawn.place}", f"font {drawn.font}"]
            names += ["turned" if drawn.turned else "upright", "ink all painted" if found else ""]
            names += [f"contrast over texture {'below 1' if ratio < 1 else '1 to 2' if ratio < 2 else '2 and more'}"]
        for name in filter(None, names):
            rows[name][0] += gone if name.startswith("ink") else found
            rows[name][1] += 1
    for number, (letter, size) in enumerate([(letter, size) for letter in "LR" for size in (10, 16, 24)] * 8):
        name, read = images["NIH X-ray 256"][number]
        image, drawn = draw(read(), np.random.default_rng([seed, 9, number]), size, "full", text=letter, turned=False)
        rows["one letter, L or R, full contrast"][0] += share(drawn, finder.find(image), image.shape) >= 0.5
        rows["one letter, L or R, full contrast"][1] += 1
    return {
        "recall": {name: interval(*rows[name]) for name in sorted(rows, key=_order)},
        "false_alarms": false_alarms(finder, folder, images),
        "cpu_ms": {str(size): milliseconds(finder, images["NIH X-ray 256"][0][1](), size) for size in (28, 256, 512, 1024, 2048)},
    }


def trials(finder: TextFinder, images: dict[str, Images], draws: int | None, seed: int) -> Iterator[tuple[str, Drawn, bool, bool]]:
    """(kind of image, what was drawn, whether it was found, whether masking painted 98% of its ink) for every text drawn."""
    for code, (kind, count) in enumerate(DRAWS.items()):
        for number in range((draws or count) * len(SIZES) * len(STYLES)):
            _, read = images[kind][number % len(images[kind])]
            rng = np.random.default_rng([seed, code, number])
            size, style = SIZES[number % len(SIZES)], STYLES[number // len(SIZES) % len(STYLES)]
            image, drawn = draw(read(), rng, size, style)
            boxes = finder.find(image)
            found = share(drawn, boxes, image.shape) >= 0.5
            masked = boxes + finder.mask(paint_over(image, boxes), 2)[1] if found else []
            painted = [grow(box, *image.shape[:2]) for box in masked]
            yield kind, drawn, found, found and share(drawn, painted, image.shape) >= 0.98


def share(drawn: Drawn, boxes: list[Box], shape: tuple[int, ...]) -> float:
    """How much of the ink is in boxes."""
    covered = np.zeros(shape[:2], bool)
    for box in boxes:
        covered[box.top : box.bottom, box.left : box.right] = True
    return float(covered[drawn.ink].mean())


def false_alarms(finder: TextFinder, folder: Path, images: dict[str, Images]) -> dict[str, dict[str, float]]:
    """Images flagged though no letters are on them, by kind; and of the X-rays as they are, those flagged, which most are with reason."""
    listed = side_markers()
    seen = {
        kind: [bool(finder.find(read())) for _, read in (images.get(kind) or others(folder, kind))[:most]]
        for kind, most in TEXT_FREE.items()
    }
    without = [bool(finder.find(paint_over(read(), listed[name]))) for name, read in images["NIH X-ray 256"]]
    seen = {"NIH X-ray 256 without side markers": without, **seen}
    seen["(NIH X-ray 256 as they are)"] = [bool(finder.find(read())) for _, read in images["NIH X-ray 256"]]
    return {kind: interval(sum(flags), len(flags)) for kind, flags in seen.items()}


def side_markers() -> dict[str, list[Box]]:
    """The letters and arrows of each NIH X-ray at 256 pixels, by file name, as judged by eye."""
    listed: dict[str, list[Box]] = defaultdict(list)
    with (Path(__file__).parent / "burned_in_nih.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["shows"] != "nothing":
                listed[row["file"]].append(Box(*(int(row[side]) for side in ("left", "top", "right", "bottom")), 1.0))
    return listed


def backgrounds(folder: Path, half: str) -> dict[str, Images]:
    """Real images by kind, as (name, how to read it): those that settings were chosen on (`tune`), or the others (`report`)."""
    from models.phantoms.chest import draw_chest

    every = {
        "NIH X-ray 256": [(path.name, lambda path=path: cv2.imread(str(path), 0)) for path in _files(folder, "nih_cxr14_256/images/*.png")],
        "NIH X-ray 1024": [
            (path.name, lambda path=path: cv2.imread(str(path), 0)) for path in _files(folder, "nih_cxr14_1024_originals/*.png")
        ],
        "dermoscopy 224": [(path.name, lambda path=path: _colour(path)) for path in _files(folder, "ham10000_224/images/*.jpg")],
        "fundus 512": [
            (path.name[:8], lambda path=path: _colour(path, (512, 492)))
            for path in _files(folder, "chase_db1_fundus_vessels/Image_???.jpg")
        ],
        "MR head": [(path.name, lambda path=path: _slice(path)) for path in _files(folder, "dicom_t1_studyforrest/*.dcm")],
        "phantom 256": [(f"p{seed}", lambda seed=seed: draw_chest(seed, "normal", 256, 256)[0]) for seed in range(60)],
    }
    return {kind: [of for of in images if (zlib.crc32(of[0].encode()) % 2 == 0) == (half == "tune")] for kind, images in every.items()}


def others(folder: Path, kind: str) -> Images:
    """Kinds of images that are not halved. On blood smears and CT no setting was chosen."""
    if kind == "blood smear 640":
        return [(path.name, lambda path=path: _colour(path)) for path in _files(folder, "bccd_bloodcells/images/*")]
    if kind in VOLUMES:
        return [image for axis in VOLUMES[kind][1] for image in _volume(VOLUMES[kind][0], axis)]
    if kind in PHANTOMS:
        return [(f"p{seed}", lambda seed=seed: _phantom(*PHANTOMS[kind], seed)) for seed in range(60)]
    return [
        (path.name, lambda path=path: _slice(path))
        for path in _files(folder, "mha_ct_head_2d/*ing.mha") + _files(folder, "mha_ct_head_2d/*ed.mha")
    ]


def _volume(image: str, axis: str) -> Images:
    """Every third slice of params.yaml's t1-pd along an axis, as ingestion reads it."""
    section = params.load().dataset("t1-pd").ingest
    source = open_source("t1-pd", section.model_copy(update={"source": section.source.model_copy(update={"axis": axis})}))
    records = [of for unit in source.units() for of in source.read(unit) if isinstance(of, Record)]
    return [(of.id, lambda of=of: of.image if image == "image" else of.images[image]) for of in records]


def _phantom(modality: str, image: str, seed: int) -> np.ndarray:
    """One picture of a drawn patient, each of the modality's labels in turn."""
    phantom = phantoms.load(modality)
    return phantom.draw(seed, phantom.labels[seed % len(phantom.labels)], 256, 256)[0][image]


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise SynthmillError(f"no {pattern} in {folder}: set SYNTHMILL_DATA to the folder of real images")
    return found


def _colour(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    pixels = cv2.imread(str(path))[..., ::-1]
    return np.ascontiguousarray(pixels if size is None else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _slice(path: Path) -> np.ndarray:
    """A slice of 16 bits in 8, its 99.5th percentile white."""
    if path.suffix == ".dcm":
        import pydicom

        values = pydicom.dcmread(path).pixel_array.astype(float)
    else:
        import itk

        values = itk.array_from_image(itk.imread(str(path))).astype(float).squeeze()
    low, high = values.min(), np.percentile(values, 99.5)
    return (255 * np.clip((values - low) / max(high - low, 1), 0, 1)).astype(np.uint8)


def interval(hits: int, of: int) -> dict[str, float]:
    """The share, its count, and the exact 95% interval (Clopper and Pearson 1934)."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return {"share": hits / of, "hits": int(hits), "of": of, "low": float(low), "high": float(high)}


def milliseconds(finder: TextFinder, image: np.ndarray, size: int) -> float:
    """Median CPU time of five looks at an X-ray resized to size x size."""
    resized = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if size < len(image) else cv2.INTER_CUBIC)
    times = []
    for _ in range(5):
        started = time.process_time()
        finder.find(resized)
        times.append(1000 * (time.process_time() - started))
    return float(np.median(times))


def _order(name: str) -> tuple:
    word, _, rest = name.partition(" ")
    return (word != "all", word != "size", word, int(rest) if rest.isdigit() else 0, rest)


def table(result: dict[str, Any]) -> str:
    lines = []
    for title, key in (("recall", "recall"), ("false alarms", "false_alarms")):
        lines.append(f"{title:<45}{'share':>8}{'95% interval':>20}{'of':>8}")
        lines += [f"{name:<45}{of['share']:>8.3f}{of['low']:>12.3f} to {of['high']:.3f}{of['of']:>7}" for name, of in result[key].items()]
        lines.append("")
    lines.append("CPU ms an image: " + ", ".join(f"{size} px {value:.0f}" for size, value in result["cpu_ms"].items()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
