"""What latent diffusion makes of the fourteen fundus photographs of seven children, on a CPU.

    SYNTHMILL_DATA=... python -m bench.latent                            # the section of docs/latent.md, at 256 x 256
    SYNTHMILL_DATA=... python -m bench.latent --steps 50 --sheet out.png # a look at it

CHASE_DB1: children 01 to 07 are trained on, 08 to 10 held out. It says how long a step of each stage takes (median; wall-clock and
processor seconds), how near the autoencoder comes to images (PSNR, beside what the mean training image would reach), and how far each
drawn image is from the training image nearest to it (root mean square, grey levels), beside the same for the held-out images: drawn
images that lie much nearer are copies. The sheet shows held-out images, the same given back, and the drawn ones of left and right eyes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.generators import Material, Shape
from models.generators.latent import Config, Plugin
from models.learning.autoencoder import decode, encode
from schema.params import Sample
from schema.settings import data_root, quieten

SIDE, LAST_MEMBER, DRAWN = 256, 7, 12
SECTION = {
    "autoencoder": {"channels": [16, 32, 32, 64], "batch_size": 4, "lr": 0.003, "warmup": 30, "ema_decay": 0.98},
    "channels": [32, 64, 96],
    "batch_size": 8,
}


def photographs(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels N x SIDE x SIDE x 3, the child of each, and its eye: 0 left, 1 right."""
    pixels, children, eyes = [], [], []
    for path in sorted(folder.glob("Image_*.jpg")):
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        square = Image.new("RGB", (max(image.size),) * 2)
        square.paste(image, ((square.width - image.width) // 2, (square.height - image.height) // 2))
        pixels.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
        children.append(int(path.stem[6:8]))
        eyes.append("LR".index(path.stem[8]))
    return np.stack(pixels), np.array(children), np.array(eyes)


def psnr(made: np.ndarray, real: np.ndarray) -> float:
    """Decibels, the mean over the images."""
    return float((10 * np.log10(255**2 / ((made.astype(float) - real) ** 2).mean(axis=(1, 2, 3)))).mean())


def nearest(images: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Root mean square distance of each image to the member nearest to it, grey levels."""
    return np.array([np.sqrt(((members.astype(float) - image) ** 2).mean(axis=(1, 2, 3))).min() for image in images])


def measure(folder: Path, section: dict[str, Any], threads: int) -> tuple[dict[str, Any], np.ndarray]:
    """What was measured, and the sheet."""
    import torch

    from models.determinism import settle

    settle(threads)
    pixels, children, eyes = photographs(folder)
    inside = children <= LAST_MEMBER
    members, others = pixels[inside], pixels[~inside]
    generator = Plugin(Config(**section), Shape(SIDE, SIDE, 3, 1, (2,)), torch.device("cpu"))
    ends = [(time.perf_counter(), time.process_time())]
    material = Material(members, np.stack([0 * eyes[inside], eyes[inside]], axis=1), children[inside])
    generator.fit(material, None, lambda _: None, lambda *_: ends.append((time.perf_counter(), time.process_time())))
    again = {
        name: decode(generator.vae, encode(generator.vae, torch.from_numpy(of))) for name, of in (("members", members), ("others", others))
    }
    asked = np.stack([np.zeros(DRAWN, np.int64), np.arange(DRAWN) % 2], axis=1)
    drawn = generator.sample(np.arange(DRAWN), asked, Sample(n=DRAWN, batch_size=DRAWN, shard_size=DRAWN))
    first = generator.config.autoencoder.steps
    steps, mean = np.diff(ends, axis=0), np.broadcast_to(members.mean(axis=0), others.shape)
    said = {
        "images": [len(members), len(others)],
        "seconds": [ends[-1][0] - ends[0][0], ends[-1][1] - ends[0][1]],
        "autoencoder_step_s": np.median(steps[:first], axis=0).tolist(),
        # The first step of the second stage waits for the latents.
        "unet_step_s": np.median(steps[first + 1 :], axis=0).tolist(),
        "psnr_members": psnr(again["members"], members),
        "psnr_others": psnr(again["others"], others),
        "psnr_of_the_mean_image": psnr(mean, others),
        "drawn_to_nearest_member": np.sort(nearest(drawn, members)).round(1).tolist(),
        "others_to_nearest_member": np.sort(nearest(others, members)).round(1).tolist(),
    }
    return said, np.concatenate([np.concatenate(row, axis=1) for row in (others, again["others"], *np.split(drawn, DRAWN // len(others)))])


def main(words: list[str] | None = None) -> None:
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog=Path(__file__).stem)
    parser.add_argument("--autoencoder-steps", type=int, default=300, help="steps of the first stage (300)")
    parser.add_argument("--steps", type=int, default=300, help="steps of the second stage (300)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, which are part of the arithmetic (1)")
    parser.add_argument("--sheet", type=Path, help="where to write the images, a PNG")
    asked = parser.parse_args(words)
    if data_root() is None:
        parser.error("set SYNTHMILL_DATA to the folder that holds chase_db1_fundus_vessels")
    section = {**SECTION, "steps": asked.steps, "autoencoder": {**SECTION["autoencoder"], "steps": asked.autoencoder_steps}}
    said, sheet = measure(data_root() / "chase_db1_fundus_vessels", section, asked.threads)
    print(json.dumps(said, indent=1))
    if asked.sheet:
        Image.fromarray(sheet).save(asked.sheet)


if __name__ == "__main__":
    main()
