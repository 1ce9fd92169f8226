"""Training runs and the model registry, in MLflow: SQLite under data/mlflow, or the server that `MLFLOW_TRACKING_URI` names.

Nothing here is part of a result: run ids and times never reach the bytes that DVC versions.
"""

import os
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from schema.errors import SynthmillError
from schema.settings import root


def client() -> MlflowClient:
    """A client on a store that is migrated: two processes racing the first migration would collide, so one goes first."""
    folder = root() / "data" / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db"
    with FileLock(folder / "migration.lock"):
        found = MlflowClient(tracking_uri=uri)
        found.search_experiments(max_results=1)
    return found


class TrainingRun:
    """One training run: opened new, or again by the id that a killed one left behind."""

    def __init__(self, dataset: str, run_id: str | None, params: dict[str, Any], tags: dict[str, str]) -> None:
        self.client = client()
        self.dataset = dataset
        self.run_id = run_id if run_id and self._exists(run_id) else self._open(params, tags)
        self._waiting: list[Metric] = []

    def log(self, step: int, timestamp_ms: int, metrics: dict[str, float]) -> None:
        """Keeps the metrics of a step; they are sent in batches, since a request a step would slow training down."""
        self._waiting += [Metric(name, value, timestamp_ms, step) for name, value in metrics.items()]
        if len(self._waiting) >= 300:
            self.flush()

    def flush(self) -> None:
        self.client.log_batch(self.run_id, metrics=self._waiting)
        self._waiting = []

    def fail(self) -> None:
        self.client.set_terminated(self.run_id, "FAILED")

    def picture(self, path: Path) -> None:
        self.client.log_artifact(self.run_id, str(path), "samples")

    def finish(self, model: Path, digest: str) -> str:
        """Stores the model, registers it as the newest version with the alias `candidate`, and gives the version's number."""
        self.flush()
        self.client.log_artifacts(self.run_id, str(model), "model")
        self.client.set_tag(self.run_id, "synthmill.model_digest", digest)
        name = model_name(self.dataset)
        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = self.client.search_model_versions(f"name = '{name}' and run_id = '{self.run_id}'")
        source = f"{self.client.get_run(self.run_id).info.artifact_uri}/model"
        if known:  # a run that was killed between here and its end
            version = known[0]
        else:
            version = self.client.create_model_version(name, source, self.run_id, tags={"synthmill.model_digest": digest})
        self.client.set_registered_model_alias(name, "candidate", version.version)
        self.client.set_terminated(self.run_id, "FINISHED")
        return str(version.version)

    def _exists(self, run_id: str) -> bool:
        try:
            return self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException:
            return False

    def _open(self, params: dict[str, Any], tags: dict[str, str]) -> str:
        experiment = self.client.get_experiment_by_name(self.dataset)
        artifacts = None if os.environ.get("MLFLOW_TRACKING_URI") else (root() / "data" / "mlflow" / "artifacts").as_uri()
        identity = experiment.experiment_id if experiment else self.client.create_experiment(self.dataset, artifact_location=artifacts)
        run = self.client.create_run(identity, run_name="train")
        self.client.log_batch(
            run.info.run_id,
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        return run.info.run_id


def model_name(dataset: str) -> str:
    return f"synthmill-{dataset}"


def mark_released(dataset: str, digest: str, tag: str) -> str | None:
    """Gives the registered version with these weights the alias `released` and the release's tag; its number, or None where
    this store never saw the training (a result restored from DVC's cache)."""
    found = client()
    versions = found.search_model_versions(f"name = '{model_name(dataset)}' and tag.`synthmill.model_digest` = '{digest}'")
    if not versions:
        return None
    newest = max(versions, key=lambda version: int(version.version))
    found.set_registered_model_alias(model_name(dataset), "released", newest.version)
    found.set_model_version_tag(model_name(dataset), newest.version, "synthmill.release", tag)
    return str(newest.version)


def registered(name: str, alias: str) -> tuple[str, str | None] | None:
    """The id of the run behind a registered model's alias, and the digest of its weights (None where synthmill did not register it);
    None where there is no such alias."""
    try:
        version = client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # Which of the two codes is sent depends on whether the model or the alias is lacking, and on the store.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise SynthmillError(f"the model registry did not answer for {name}@{alias}: {error}") from error
    return version.run_id, version.tags.get("synthmill.model_digest")


def aliases(name: str) -> list[str]:
    """The aliases of a registered model; none where there is no such model."""
    found = client().search_registered_models(f"name = '{name}'")
    return sorted({alias for model in found for alias in model.aliases})


def runs_with(digest: str) -> list[str]:
    """The ids of the runs whose registered weights have this digest, newest first."""
    found = client().search_model_versions(f"tag.`synthmill.model_digest` = '{digest}'")
    return [version.run_id for version in sorted(found, key=lambda version: int(version.version), reverse=True)]


def download(run_id: str, to: Path, path: str = "model") -> Path:
    """A run's model, or a file of it, put under the folder `to`; where it is then. Raises SynthmillError where the store has lost it."""
    to.mkdir(parents=True, exist_ok=True)
    try:
        return Path(client().download_artifacts(run_id, path, str(to)))
    except (MlflowException, OSError) as error:
        raise SynthmillError(f"the model registry names weights (run {run_id}) that its store of files does not give: {error}") from error
