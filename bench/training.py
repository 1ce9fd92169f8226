"""How fast a generator trains, beside the loop of diffusers' own example for the same network.

    ./mill bench training                                      # 32x32 grey, the network of `pneumonia`: about two minutes
    ./mill bench training --size 64 --channels 3 --json
    SYNTHMILL_DEVICE=cuda ./mill bench training --compile      # on a GPU: bfloat16, channels_last and a compiled network

The plain loop is as diffusers' unconditional training example has it: a PyTorch DataLoader over Pillow images with torchvision's
transforms, accelerate, AdamW with a cosine learning rate, gradient clipping, `EMAModel`, a DDPM scheduler. Both train the very same
UNet2DModel with the same batch size on the same drawn images. They take turns, and each is credited with the median of all its steps;
the first steps of a turn, in which memory is fetched and a network compiled, are left out. `waiting` is the share of a step between the
end of the one before and the network's first layer: batch, noise, timesteps, all that is not the network, its gradient and the update.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.generators import Material, Shape
from models.generators.ddpm import Config, Plugin
from models.phantoms import load
from schema.settings import device, quieten

WARM = 5
"""Steps at the start of a turn that are not counted."""


def material(shape: Shape, n: int, modality: str) -> Material:
    drawn = load(modality)
    pixels = [drawn.draw(seed, drawn.labels[seed % 2], shape.height, shape.width)[0]["image"] for seed in range(n)]
    return Material(np.stack(pixels).reshape(n, shape.height, shape.width, shape.channels), np.arange(n)[:, None] % 2, np.arange(n))


def ours(shape: Shape, config: Config, given: Material, place: Any) -> tuple[list[float], list[float]]:
    """Seconds of each step, and of each what went by before the network was called."""
    generator = Plugin(config, shape, place)
    predict, ends, called = generator.predict, [], []

    def marked(*words: Any) -> Any:
        called.append(time.perf_counter())
        return predict(*words)

    generator.predict = marked
    generator.fit(given, None, lambda _: None, lambda *_: ends.append(time.perf_counter()))
    steps = np.diff(ends)[WARM:]
    waits = (np.array(called[1:]) - np.array(ends[:-1]))[WARM:]
    return steps.tolist(), waits.tolist()


def plain(shape: Shape, config: Config, given: Material, place: Any) -> tuple[list[float], list[float]]:
    import torch
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms

    torch.manual_seed(config.seed)
    accelerator = Accelerator(cpu=place.type == "cpu", mixed_precision="no")
    network = Plugin(config, shape, place).build_network()
    average = EMAModel(network.parameters(), decay=config.ema_decay, model_cls=type(network), model_config=network.config)
    prepare = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    images = [Image.fromarray(image.squeeze(2) if shape.channels == 1 else image) for image in given.pixels]
    rows = [(image, int(label)) for image, label in zip(images, given.conditions[:, 0], strict=True)]

    def gather(batch: list[tuple[Image.Image, int]]) -> tuple[Any, Any]:
        return torch.stack([prepare(image) for image, _ in batch]), torch.tensor([label for _, label in batch])

    loader = DataLoader(rows, batch_size=config.batch_size, shuffle=True, drop_last=True, collate_fn=gather)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    rate = get_scheduler("cosine", optimizer, num_warmup_steps=config.warmup, num_training_steps=config.steps)
    network, optimizer, loader, rate = accelerator.prepare(network, optimizer, loader, rate)
    average.to(accelerator.device)
    scheduler = DDPMScheduler(config.timesteps, beta_schedule=config.schedule, prediction_type=config.prediction)
    ends, called = [], []
    network.train()
    while len(ends) < config.steps:
        for clean, labels in loader:
            noise = torch.randn(clean.shape, device=clean.device)
            timesteps = torch.randint(0, config.timesteps, (len(clean),), device=clean.device)
            noisy = scheduler.add_noise(clean, noise, timesteps)
            called.append(time.perf_counter())
            output = network(noisy, timesteps, class_labels=labels).sample
            target = scheduler.get_velocity(clean, noise, timesteps) if config.prediction == "v_prediction" else noise
            loss = torch.nn.functional.mse_loss(output.float(), target)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(network.parameters(), config.max_grad_norm)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            average.step(network.parameters())
            loss.detach().item()
            ends.append(time.perf_counter())
            if len(ends) == config.steps:
                break
    return np.diff(ends)[WARM:].tolist(), (np.array(called[1:]) - np.array(ends[:-1]))[WARM:].tolist()


LOOPS: dict[str, Callable] = {"plain": plain, "ours": ours}


def measure(shape: Shape, config: Config, given: Material, turns: int) -> dict[str, Any]:
    from models.determinism import pick_device, settle

    settle()
    place = pick_device(device())
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in LOOPS}
    for turn in range(turns):
        for name in LOOPS if turn % 2 == 0 else reversed(LOOPS):
            steps, waits = LOOPS[name](shape, config, given, place)
            found[name][0].extend(steps)
            found[name][1].extend(waits)
    said = {
        name: {"step_ms": 1000 * float(np.median(steps)), "waiting": float(np.sum(waits) / np.sum(steps))}
        for name, (steps, waits) in found.items()
    }
    return {
        "device": place.type,
        "shape": [shape.height, shape.width, shape.channels],
        "batch_size": config.batch_size,
        "network": config.channels,
        **said,
        "times_as_fast": said["plain"]["step_ms"] / said["ours"]["step_ms"],
    }


def main(words: list[str] | None = None) -> None:
    quieten()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog=Path(__file__).stem)
    parser.add_argument("--size", type=int, default=32, help="pixels of a side (32)")
    parser.add_argument("--channels", type=int, default=1, choices=(1, 3), help="1 grey, 3 RGB (1)")
    parser.add_argument("--network", type=int, nargs="+", default=[16, 32, 64], help="feature maps at each resolution (16 32 64)")
    parser.add_argument("--batch", type=int, default=64, help="images a step (64)")
    parser.add_argument("--steps", type=int, default=40, help="steps a turn (40)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (3)")
    parser.add_argument("--images", type=int, default=512, help="images to train on (512)")
    parser.add_argument("--compile", action="store_true", help="compile our network, as train.compile does")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    shape = Shape(asked.size, asked.size, asked.channels, 2)
    config = Config(channels=asked.network, steps=asked.steps, batch_size=asked.batch, compile=asked.compile)
    said = measure(shape, config, material(shape, asked.images, "chest" if asked.channels == 1 else "dermoscopy"), asked.turns)
    if asked.json:
        print(json.dumps(said))
        return
    print(f"{asked.size} x {asked.size} x {asked.channels}, batches of {asked.batch}, network {asked.network}, {said['device']}")
    for name in LOOPS:
        print(f"{name:>6}: {said[name]['step_ms']:8.1f} ms a step, waiting {said[name]['waiting']:.1%}")
    print(f"{said['times_as_fast']:.2f} times as fast")


if __name__ == "__main__":
    main()
