"""Reads all that the report speaks of, and refuses outs that do not belong together."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from schema import params
from schema.digest import read_json, sha256_pixels
from schema.errors import IntegrityError, SynthmillError
from schema.images import Images
from schema.record import SPLITS
from schema.verdict import Subject, Verdict
from tasks.configs import gate_config
from tasks.leaks import RealData
from tasks.reporting import power
from tasks.shards import manifest, real_images, synthetic_images
from tasks.stage import history_file, ingest_folder, model_folder, samples_folder, verdict_file


@dataclass(frozen=True)
class Workspace:
    """One dataset's params, manifests, verdicts (None where none was written) and images.

    `configs`: each gate's whole section. `copies`: how many synthetic images are, pixel for pixel, a real one of any split.
    `names`: ids and patients of all real records. `power_table`: how often each gate catches what it is for; None where nobody measured.
    `history`: since when each gate's section of params.yaml is what it is; empty where nobody looked.
    """

    name: str
    params: params.Dataset
    ingest: dict[str, Any]
    samples: dict[str, Any]
    model: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    verdicts: dict[str, Verdict | None]
    train: Images
    holdout: Images
    test: Images
    synthetic: Images
    copies: int
    names: set[str]
    power_table: power.Table | None
    history: dict[str, dict[str, Any]]

    @property
    def subject(self) -> Subject:
        return Subject(real=self.ingest["digest"], synthetic=self.samples["digest"], model=self.model["digest"])

    def find(self, name: str) -> tuple[str, Images, int] | None:
        """The image of that id: what it belongs to (`train`, ..., `synthetic`), and its row there. None where there is none."""
        return self._rows.get(name)

    @cached_property
    def _rows(self) -> dict[str, tuple[str, Images, int]]:
        sets = {split: getattr(self, split) for split in (*SPLITS, "synthetic")}
        return {name: (split, images, row) for split, images in sets.items() for row, name in enumerate(images.ids)}


def read(dataset: str) -> Workspace:
    """Raises SynthmillError for what is missing or unreadable, IntegrityError for outs of different runs."""
    everything = params.load()
    section = everything.dataset(dataset)
    ingest, samples = manifest(ingest_folder(dataset)), manifest(samples_folder(dataset))
    model = _model(dataset)
    _belong_together(dataset, ingest, samples, model)
    real = real_images(dataset, *SPLITS)
    synthetic = synthetic_images(dataset)
    for split, images in real.items():
        if images.pixels.shape[1:] != synthetic.pixels.shape[1:]:
            shapes = f"{images.pixels.shape[1:]} and {synthetic.pixels.shape[1:]}"
            raise SynthmillError(
                f"data/ingest/{dataset}: the images of {split} and the synthetic ones differ in shape ({shapes}): "
                f"run `./mill run {dataset}` to make the stale stage again"
            )
    private = RealData(ingest_folder(dataset), ingest)
    return Workspace(
        name=dataset,
        params=section,
        ingest=ingest,
        samples=samples,
        model=model,
        configs={gate: gate_config(dataset, section, gate).model_dump(mode="json") for gate in everything.panel},
        verdicts={gate: _verdict(dataset, gate) for gate in everything.panel},
        **real,
        synthetic=synthetic,
        copies=len(private.pixels & set(map(sha256_pixels, synthetic.pixels))),
        names=private.names,
        power_table=power.read(),
        history=read_json(history_file(dataset)) if history_file(dataset).is_file() else {},
    )


def _model(dataset: str) -> dict[str, Any]:
    path = model_folder(dataset) / "model.json"
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: run the stages before this one first (`./mill run {dataset}` runs them all)")
    return read_json(path)


def _belong_together(dataset: str, ingest: dict, samples: dict, model: dict) -> None:
    for what, given, wanted in (
        (
            f"data/models/{dataset}/model.json: trained on other images than data/ingest/{dataset}",
            model["dataset_digest"],
            ingest["digest"],
        ),
        (f"data/samples/{dataset}/manifest.json: drawn from another model than data/models/{dataset}", samples["model"], model["digest"]),
    ):
        if given != wanted:
            raise IntegrityError(f"{what} ({given[:12]}, not {wanted[:12]}): run `./mill run {dataset}` to make the stale stage again")


def _verdict(dataset: str, gate: str) -> Verdict | None:
    path = verdict_file(dataset, gate)
    if not path.is_file():
        return None
    try:
        return Verdict.load(path)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise SynthmillError(f"{path} is not a verdict ({where}: {fault['msg']}): delete it and run `./mill run {dataset}` again") from None
