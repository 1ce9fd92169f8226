"""Training starts from a release: its tag names the weights, and they come from the registry or from DVC's cache, or it is said why not."""

import shutil

import pytest
import release_workspace as rw

from schema.digest import read_json, write_json
from schema.errors import IntegrityError, SynthmillError, UsageError
from tasks import starts, tracking, weights

TAG = f"{rw.NAME}@v1.0.0"
TRAIN = """\
  train:
    foreach: ${datasets}
    do:
      cmd: python -m tasks.train ${key}
      outs:
        - data/models/${key}: {push: false}
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> rw.Workspace:
    """A workspace with a model that DVC keeps, which itself was trained further, and a release that was drawn from it. Only to be read."""
    top = tmp_path_factory.mktemp("published")
    workspace = rw.build(top / "checkout", top / "home")
    folder = workspace.root / "data/models" / rw.NAME
    write_json(folder / "unet" / "config.json", {"channels": 3})
    shape = {"height": 16, "width": 16, "channels": 1, "classes": 2}
    init = {"reference": "/srv/jane/model", "digest": "f" * 64, "public": False}
    said = {**read_json(folder / "model.json"), "shape": shape, "labels": rw.CLASSES, "init": init}
    write_json(folder / "model.json", {**said, "digest": weights._digest(folder, said)})
    samples = workspace.root / "data/samples" / rw.NAME / "manifest.json"
    write_json(samples, {**read_json(samples), "model": workspace.subject.model})
    workspace.edit_params(lambda section: section["train"].update(init="/srv/jane/model"))
    rw.judge(workspace)
    (workspace.root / "dvc.yaml").write_text(rw.GRAPH + TRAIN)
    rw.commit(workspace)
    workspace.dvc("commit", "--quiet", "--force", f"train@{rw.NAME}")
    workspace.dvc("repro", "--quiet", "--single-item", f"release@{rw.NAME}")
    assert workspace.publish() == 0
    return workspace


@pytest.fixture
def here(published, tmp_path, monkeypatch) -> rw.Workspace:
    """A copy that this process works in, whose next training has replaced the released model."""
    for name in ("checkout", "home"):
        shutil.copytree(published.root.parent / name, tmp_path / name, symlinks=True)
    workspace = rw.Workspace(tmp_path / "checkout", tmp_path / "home").adopt(monkeypatch)
    shutil.rmtree(workspace.root / "data/models")
    return workspace


def test_the_weights_of_a_release_come_out_of_dvcs_cache_or_the_registry(published, here, tmp_path):
    start = starts.resolve(TAG)
    assert (start.digest, starts.resolve(f"{rw.NAME}@latest").digest) == (published.subject.model, published.subject.model)
    folder, said = starts.fetch(start, tmp_path / "one")
    assert (said["digest"], read_json(folder / "unet/config.json")) == (start.digest, {"channels": 3})
    shutil.rmtree(here.root / ".dvc/cache")
    with pytest.raises(
        SynthmillError, match=rf"not on this machine: neither the model registry nor DVC's cache has them.* check {TAG} out"
    ):
        starts.fetch(start, tmp_path / "two")
    tracking.TrainingRun(rw.NAME, None, {}, {}).finish(published.root / "data/models" / rw.NAME, start.digest)
    folder, said = starts.fetch(start, tmp_path / "three")
    assert (said["digest"], read_json(folder / "unet/config.json")) == (start.digest, {"channels": 3})


def test_a_release_that_is_not_there_or_was_tampered_with_is_refused(here):
    with pytest.raises(
        UsageError, match=r"pneumonia@v1.0.1 \(did you mean 'pneumonia@v1.0.0'\?\): pneumonia has no v1.0.1; there are: v1.0.0"
    ):
        starts.resolve("pneumonia@v1.0.1")
    with pytest.raises(UsageError, match=r"did you mean 'pneumonia@v1.0.0'"):
        starts.resolve("pnuemonia@v1.0.0")
    starts.resolve(TAG)
    (kept,) = (here.root / "data/scratch/starts").glob(f"{TAG}-*/provenance.json")
    write_json(kept, {**read_json(kept), "model": {"digest": "0" * 64}})
    with pytest.raises(IntegrityError, match=f"is not what {TAG} was released with"):
        starts.resolve(TAG)


def test_a_release_says_what_its_model_started_from_and_no_path(published):
    said = read_json(published.release / "provenance.json")
    assert said["model"]["init"] == {"reference": "a folder", "digest": "f" * 64, "public": False}
    assert said["params"]["train"]["init"] == "a folder"
    texts = [path.read_text(encoding="utf-8") for path in published.release.rglob("*") if path.suffix in (".json", ".md", ".html")]
    assert len(texts) == 5
    assert "jane" not in "".join(texts)
