"""Trains the dataset's generator on the members and saves its weights; resumes after a kill from its last checkpoint.

python -m tasks.train pneumonia
"""

import io
import sys
import time
from pathlib import Path

import numpy as np

from schema.digest import read_json, sha256_bytes, write_bytes, write_json
from schema.errors import SynthmillError
from schema.params import Sample, Training, load
from schema.record import encode_png
from tasks.progress import ticking
from tasks.shards import manifest, real_images
from tasks.stage import Scratch, ingest_folder, main, model_folder

DIGEST = 64
"""Characters of a sha256, by which a checkpoint begins."""
GRID = 8
"""Images a side of the sample grid that is logged."""


def run(dataset: str) -> None:
    """Trains into data/models/<dataset>. Raises SynthmillError when the loss is not finite or the device is not there."""
    from models.determinism import settle

    settle()
    from models import canary
    from tasks import borrowed, starts, weights
    from tasks.tracking import TrainingRun

    whole = load().dataset(dataset)
    section = whole.train
    said = manifest(ingest_folder(dataset))
    _refuse_empty(dataset, said)
    start = starts.settled(dataset, section)
    generator = weights.build(dataset, section, said, whole.sample)
    base_public = borrowed.base_is_public(section)
    members = real_images(dataset, "train", conditions=generator.conditions)["train"]
    params = generator.config.model_dump(mode="json")
    canaries = canary.draw(section.canaries.n, section.canaries.seed, generator.shape)
    planted = canaries.record(section.canaries.seed) if len(canaries) else None
    told = {name: condition.bins for name, condition in section.conditions.items()}
    digest = start.digest if start else None
    scratch = Scratch("train", dataset, params=params, conditions=told, members=said["digest"], canaries=planted, init=digest)
    init = _begin(generator, start, section, scratch.folder) if start else None
    state = _load_checkpoint(scratch.folder)
    tracked = TrainingRun(
        dataset,
        _tracked_id(scratch.folder),
        params,
        {
            "synthmill.dataset": dataset,
            "synthmill.dataset_digest": said["digest"],
            "synthmill.members": str(len(members)),
            "synthmill.canaries": str(planted["included"] if planted else 0),
            "synthmill.init": f"{start.reference} {start.digest}" if start else "",
        },
    )
    write_json(scratch.folder / "mlflow.json", {"run_id": tracked.run_id})
    recent: list[float] = state["losses"] if state else []
    done = state["fit"]["step"] if state else 0
    with ticking("train", "training", generator.total_steps, "step", done=done) as ticker:

        def step(number: int, metrics: dict[str, float]) -> None:
            recent.extend([metrics["loss"]] if "loss" in metrics else [])  # a private step may see no image
            del recent[:-100]
            tracked.log(number, int(time.time() * 1000), metrics)
            ticker.update(note=f"loss {np.mean(recent):.4f}")

        def checkpoint(fit: dict) -> None:
            tracked.flush()
            _save_checkpoint(scratch.folder, {"fit": fit, "losses": list(recent)})

        try:
            generator.fit(canary.with_planted(members, canaries, generator.shape), state["fit"] if state else None, checkpoint, step)
        except FloatingPointError as error:
            tracked.fail()
            raise SynthmillError(str(error)) from None
    out = scratch.folder / "model"
    public = said.get("source", {}).get("kind") == "phantom" and base_public and (init is None or init["public"])
    loss = float(np.mean(recent))
    model = weights.save(generator, out, said["digest"], loss, canaries=planted, privacy=generator.account, init=init, public=public)
    grid = scratch.folder / "grid.png"
    write_bytes(grid, _grid(generator))
    tracked.picture(grid)
    tracked.finish(out, model["digest"])
    scratch.move_to(model_folder(dataset), out)


def _begin(generator, start, section: Training, scratch: Path) -> dict:
    """Gives the generator the weights that it starts from; what model.json says of them. Raises SynthmillError where they do not fit."""
    from tasks import borrowed, starts, weights

    folder, said = starts.fetch(start, scratch)
    borrowed.check_fit(start.reference, said, generator.kind, generator.shape, generator.labels, generator.conditions)
    public = borrowed.is_public(start.reference, said, section)
    try:
        generator.start(weights.components(folder, type(generator)))
    except (ValueError, OSError, RuntimeError) as error:
        raise SynthmillError(f"training cannot start from train.init ({start.reference}): {error}") from None
    return {"reference": start.reference, "digest": start.digest, "public": public}


def _refuse_empty(dataset: str, said: dict) -> None:
    """Raises SynthmillError unless every class is in every split: training, nulls, attacks and scores need it."""
    for split, counts in said["splits"].items():
        lacking = [label for label, images in counts["labels"].items() if not images]
        if lacking:
            total = sum(part["images"] for part in said["splits"].values())
            patients = sum(part["patients"] for part in said["splits"].values())
            raise SynthmillError(
                f"{dataset} has no image of {', '.join(map(repr, lacking))} in the split {split!r}: {total} images of {patients} patients "
                f"are too few for datasets.{dataset}.ingest.split, or ingest.labels declares a class that the source lacks"
            )


def _grid(generator) -> bytes:
    """A PNG of GRID x GRID samples, the classes in columns."""
    n = GRID * GRID
    labels = np.arange(n, dtype=np.int64) % generator.shape.classes
    images = generator.sample(np.arange(n), generator.shape.told(labels), Sample(n=n, steps=min(20, generator.config.timesteps)))
    height, width, channels = images.shape[1:]
    sheet = images.reshape(GRID, GRID, height, width, channels).swapaxes(1, 2).reshape(GRID * height, GRID * width, channels)
    return encode_png(sheet, synthetic=True)


def _load_checkpoint(folder: Path) -> dict | None:
    import torch

    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    data = path.read_bytes()
    if data[:DIGEST].decode("ascii", "replace") != sha256_bytes(data[DIGEST:]):
        print(f"{path} is damaged on the disk: it is thrown away, and training starts at its first step", file=sys.stderr)
        path.unlink()
        return None
    return torch.load(io.BytesIO(data[DIGEST:]), map_location="cpu", weights_only=True)


def _save_checkpoint(folder: Path, state: dict) -> None:
    """Its digest first, since torch does not notice a flipped bit, and then the state."""
    import torch

    stream = io.BytesIO()
    torch.save(state, stream)
    write_bytes(folder / "checkpoint.pt", sha256_bytes(stream.getvalue()).encode() + stream.getvalue())


def _tracked_id(folder: Path) -> str | None:
    path = folder / "mlflow.json"
    return read_json(path)["run_id"] if path.is_file() else None


if __name__ == "__main__":
    main(run)
