"""Runs one gate and writes its verdict. A gate that fails is a finding, not an error: the release stage is what refuses.

python -m tasks.gate pneumonia mia-white-box
"""

import math
from dataclasses import replace

import tasks.gates
from schema.conditions import Condition
from schema.digest import read_json
from schema.errors import IntegrityError
from schema.params import load
from schema.plugins import named
from schema.verdict import Subject, Verdict
from tasks.configs import gate_config
from tasks.gates import Finding
from tasks.shards import manifest, real_splits, synthetic_images
from tasks.stage import ingest_folder, main, model_folder, samples_folder, verdict_file


def subject(dataset: str) -> Subject:
    """The digests of the real images, the synthetic ones and the model as they lie there now. Raises SynthmillError for a missing one."""
    return Subject(
        real=manifest(ingest_folder(dataset))["digest"],
        synthetic=manifest(samples_folder(dataset))["digest"],
        model=read_json(model_folder(dataset) / "model.json")["digest"],
    )


def finite(finding: Finding) -> Finding:
    """The finding with every number that is not finite as None: what could not be computed is INSUFFICIENT, never a crash."""

    def clean(value):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: clean(entry) for key, entry in value.items()}
        return [clean(entry) for entry in value] if isinstance(value, list | tuple) else value

    numbers = [finding.value, *(finding.interval or ()), *([finding.null.value, *(finding.null.interval or ())] if finding.null else ())]
    if all(number is None or math.isfinite(number) for number in numbers):
        return replace(finding, evidence=clean(finding.evidence))
    return replace(finding, value=None, interval=None, null=None, evidence=clean(finding.evidence))


def run(dataset: str, kind: str) -> None:
    """Measures and writes reports/<dataset>/gates/<kind>/verdict.json. Raises IntegrityError for harmed shards or weights."""
    from models.determinism import settle

    # One thread: small networks gain little from a second, and gates run side by side.
    settle(threads=1)
    section = load().dataset(dataset)
    config = gate_config(dataset, section, kind)
    about = subject(dataset)
    if about.model != manifest(samples_folder(dataset))["model"]:
        raise IntegrityError(f"data/samples/{dataset} was not drawn from the model in data/models/{dataset}: run the stages in order")
    model = read_json(model_folder(dataset) / "model.json")
    if model["dataset_digest"] != about.real:
        raise IntegrityError(f"the model in data/models/{dataset} was not trained on data/ingest/{dataset}: run the stages in order")
    gate = named(tasks.gates, kind, "panel")(config, model_folder(dataset))
    told = [Condition(**condition) for condition in model["conditions"]]
    finding = finite(gate.measure(real_splits(dataset, told), synthetic_images(dataset)))
    Verdict(
        gate=kind,
        status=gate.status(finding),
        value=finding.value,
        interval=finding.interval,
        threshold=config.threshold,
        direction=gate.direction,
        null=finding.null,
        n=finding.n,
        unit=finding.unit,
        method=gate.method,
        reason=finding.reason,
        evidence=finding.evidence,
        needs=list(finding.needs),
        required=config.required,
        config=config.model_dump(mode="json"),
        subject=about,
    ).save(verdict_file(dataset, kind))


if __name__ == "__main__":
    main(run)
