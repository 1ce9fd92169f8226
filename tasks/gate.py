"""Runs one gate and writes its verdict. A gate that fails is a finding, not an error: the release stage is what refuses.

python -m tasks.gate pneumonia mia
"""

import tasks.gates
from schema.digest import read_json
from schema.errors import IntegrityError
from schema.params import load
from schema.plugins import named
from schema.verdict import Subject, Verdict
from tasks.configs import gate_config
from tasks.shards import manifest, real_splits, synthetic_images
from tasks.stage import ingest_folder, main, model_folder, samples_folder, verdict_file


def subject(dataset: str) -> Subject:
    """The digests of the real images, the synthetic ones and the model as they lie there now. Raises SynthmillError for a missing one."""
    return Subject(
        real=manifest(ingest_folder(dataset))["digest"],
        synthetic=manifest(samples_folder(dataset))["digest"],
        model=read_json(model_folder(dataset) / "model.json")["digest"],
    )


def run(dataset: str, kind: str) -> None:
    """Measures and writes reports/<dataset>/gates/<kind>/verdict.json. Raises IntegrityError for harmed shards or weights."""
    from models.determinism import settle

    settle()
    section = load().dataset(dataset)
    config = gate_config(dataset, section, kind)
    about = subject(dataset)
    if about.model != manifest(samples_folder(dataset))["model"]:
        raise IntegrityError(f"data/samples/{dataset} was not drawn from the model in data/models/{dataset}: run the stages in order")
    gate = named(tasks.gates, kind, "panel")(config, model_folder(dataset))
    finding = gate.measure(real_splits(dataset), synthetic_images(dataset))
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
