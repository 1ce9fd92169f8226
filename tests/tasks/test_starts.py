"""Training goes on from a model that is there: from the very weights that were named, and from none that are not."""

import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from models.generators import Shape
from models.generators.ddpm import Plugin
from schema import starts as references
from schema.conditions import Condition
from schema.digest import read_json, sha256_file, sha256_json, write_json
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.params import Training, load
from tasks import borrowed, provenance, starts, tracking, train, weights
from tests.conftest import CHECKOUT
from tests.train_workspace import workspace

SHAPE = Shape(16, 16, 1, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace in which `tiny` is trained on phantoms and registered, and nothing else. Copied or only read."""
    folder = workspace(tmp_path_factory.mktemp("trained") / "w", "tiny", "more", source="phantom", ema_decay=0.9, lr=0.004)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHMILL_ROOT", str(folder))
        train.run("tiny")
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch) -> Path:
    """A copy of it that this process works in, with a store of its own but for the files of the first run."""
    shutil.copytree(trained, tmp_path / "w")
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path / "w"))
    return tmp_path / "w"


def section(dataset: str, **changes) -> Training:
    """The dataset's train section, after writing `changes` into params.yaml."""
    path = references.root() / "params.yaml"
    written = yaml.safe_load(path.read_text())
    written["datasets"][dataset]["train"].update(changes)
    path.write_text(yaml.safe_dump(written))
    return load().dataset(dataset).train


def losses(dataset: str) -> list[float]:
    client = tracking.client()
    (run,) = client.search_runs([client.get_experiment_by_name(dataset).experiment_id])
    return [metric.value for metric in sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda metric: metric.step)]


def saved(folder: Path, **said) -> Path:
    """A model like `tiny`, saved in a folder, whose model.json says something else as well, its digest to match."""
    shutil.copytree(references.root() / "data/models/tiny", folder)
    vouch(folder, **said)
    return folder


def vouch(folder: Path, **said) -> None:
    told = {**read_json(folder / "model.json"), **said}
    write_json(folder / "model.json", {**told, "digest": weights._digest(folder, told)})


def test_training_goes_on_at_the_loss_where_the_other_ended(here):
    theirs = read_json(here / "data/models/tiny/model.json")
    asked = section("more", init="tiny@candidate", lr=1e-9, steps=20, seed=5)
    starts.write("more", asked)
    assert read_json(here / "data/starts/more.json") == {"init": "tiny@candidate", "digest": theirs["digest"], "base": None}
    train.run("more")
    before, after = losses("tiny"), losses("more")
    # lr 1e-9 moves nothing, so each of the 20 losses is one of the weights that training began from.
    assert np.mean(after) == pytest.approx(np.mean(before[-20:]), rel=0.3)
    assert np.mean(after) < 0.5 * before[0]
    ours = read_json(here / "data/models/more/model.json")
    assert ours["init"] == {"reference": "tiny@candidate", "digest": theirs["digest"], "public": True}
    assert (theirs["init"], theirs["public"], ours["public"]) == (None, True, True)
    client = tracking.client()
    run = client.get_run(tracking.registered("synthmill-more", "candidate")[0])
    assert run.data.tags["synthmill.init"] == f"tiny@candidate {theirs['digest']}"
    assert not list((here / "data/scratch").glob("train/more"))
    write_json(here / "data/models/more/model.json", {**ours, "init": {**ours["init"], "digest": "0" * 64}})
    with pytest.raises(IntegrityError):
        weights.read_model(here / "data/models/more")


def test_an_alias_that_moves_is_seen_and_training_waits_for_it(here):
    asked = section("more", init="models:/synthmill-tiny@candidate")
    starts.write("more", asked)
    assert not starts.changed("more", asked)
    client = tracking.client()
    first = client.get_model_version_by_alias("synthmill-tiny", "candidate")
    second = client.create_model_version("synthmill-tiny", first.source, first.run_id, tags={"synthmill.model_digest": "e" * 64})
    client.set_registered_model_alias("synthmill-tiny", "candidate", second.version)
    assert starts.changed("more", asked)
    with pytest.raises(SynthmillError, match=r"train.init of more stands for something else .* run `./mill run more` again"):
        train.run("more")
    starts.write("more", asked)
    with pytest.raises(IntegrityError, match=f"stands for the model {'e' * 16}, and .* holds"):
        train.run("more")
    starts.write("more", section("more", init=None))
    assert read_json(here / "data/starts/more.json") == {"init": None, "digest": None, "base": None}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("tiny@realesed", r"no synthmill-tiny@realesed \(aliases of synthmill-tiny: candidate\): `./mill run tiny` trains"),
        ("tiny@candidat", r"did you mean 'candidate'"),
        ("models:/other@released", r"no other@released \(aliases of other: none\)"),
        ("./weights", "weights is no folder"),
        ("./data", "data has no model.json"),
        ("./data/models/tiny", "name tiny@candidate, which is the same model"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(here, reference, words):
    with pytest.raises(UsageError, match=words):
        starts.resolve(reference)


@pytest.mark.parametrize(
    "text", ["pneumonia", "pneumonia@v1", "pneumonia@v1.2", "weights/pneumonia", "models:/m", "Pneumonia@released", ""]
)
def test_a_reference_of_no_known_form_is_refused_with_examples(text):
    with pytest.raises(ValueError, match=r"a release of this repository \(pneumonia@v1.2.0\)"):
        references.parse(text)
    assert references.parse("pneumonia@v1.2.0") == references.Reference("release", "pneumonia", "v1.2.0")
    assert references.parse("models:/synthmill-a@released") == references.Reference("registered", "synthmill-a", "released")


def test_the_page_shows_references_that_can_be_read_and_a_section_that_is_valid():
    page = (CHECKOUT / "docs" / "how-to" / "warm-start.md").read_text(encoding="utf-8")
    kinds = [
        references.parse(text).kind
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for text in re.findall("`(.+?)`", row)
        if text != "init"
    ]
    assert kinds == ["release", "alias", "alias", "registered", "folder", "folder"]
    sections = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    first, second = (written.get("datasets", {}).get("pneumonia", written)["train"] for written in sections)
    assert Training(**first).options() == {"kind": "ddpm", "lr": 0.001}
    assert Training(kind="ddpm", **second).init == "./weights/chestxray14"


def network(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


class Boom:
    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


def test_weights_that_are_not_what_they_should_be_are_refused(here, tmp_path):
    def refused(folder: Path, error: type[SynthmillError], words: str) -> None:
        starts.write("more", section("more", init=str(folder)))
        with pytest.raises(error, match=words):
            train.run("more")

    changed = saved(tmp_path / "changed")
    data = bytearray(network(changed).read_bytes())
    data[-1] ^= 1
    network(changed).write_bytes(data)
    refused(changed, IntegrityError, "are not the ones that its model.json names: get the model again")
    cut = saved(tmp_path / "cut")
    network(cut).write_bytes(network(cut).read_bytes()[:-8])
    vouch(cut)
    refused(cut, IntegrityError, r"diffusion_pytorch_model.safetensors is damaged \(")
    disguised = saved(tmp_path / "disguised")
    network(disguised).write_bytes(pickle.dumps(Boom()))
    vouch(disguised)
    refused(disguised, IntegrityError, "is a pickle under another name, which is never read")
    plain = saved(tmp_path / "plain")
    network(plain).with_suffix(".bin").write_bytes(pickle.dumps(Boom()))
    network(plain).unlink()
    vouch(plain)
    refused(plain, SynthmillError, "diffusion_pytorch_model.bin is a pickle, which could run code")
    write_json(tmp_path / "plain" / "model.json", ["no", "model"])
    with pytest.raises(IntegrityError, match="does not describe a model of synthmill"):
        starts.resolve(str(tmp_path / "plain"))


def test_a_model_of_something_else_is_refused_saying_how_it_differs(here):
    said = read_json(here / "data/models/tiny/model.json")
    view = Condition(attribute="view", values=["PA", "AP"])

    def refused(words: str, kind="ddpm", shape=SHAPE, labels=("a", "b"), told=()) -> None:
        with pytest.raises(SynthmillError, match=words):
            borrowed.check_fit("x@released", said, kind, shape, labels, told)

    borrowed.check_fit("x@released", said, "ddpm", SHAPE, ["a", "b"], [])
    refused("x@released is a ddpm model, and train.kind is latent", kind="latent")
    refused("image.height 16 there and 32 here; image.channels 1 there and 3 here", shape=Shape(32, 16, 3, 2))
    refused(r'labels \["a", "b"\] there and \["b", "a"\] here', labels=("b", "a"))
    refused("labels 2 there and 3 here", labels=("a", "b", "c"))
    borrowed.check_fit("x@released", said, "ddpm", SHAPE, ["dark", "light"], [])
    refused(r'conditions \[\] there and \[\["view", \["PA", "AP"\], \[\]\]\] here', told=(view,))
    # A network knows words by their places: in another order each would begin as another.
    sex = Condition(attribute="sex", values=["female", "male"])
    both = {**said, "conditions": [view.model_dump(), sex.model_dump()]}
    with pytest.raises(SynthmillError, match="conditions"):
        borrowed.check_fit("x@released", both, "ddpm", SHAPE, ["a", "b"], [sex, view])
    borrowed.check_fit("x@released", both, "ddpm", SHAPE, ["a", "b"], [view, sex])
    starts.write("more", section("more", init="tiny@candidate", channels=[8, 32]))
    with pytest.raises(SynthmillError, match=r"cannot start from train.init .* its weights do not fit this network"):
        train.run("more")


def test_the_check_before_a_build_sees_a_start_that_does_not_fit(here):
    asked = section("more", init="tiny@candidate")
    starts.check("more", asked, Plugin.kind, SHAPE, ["a", "b"], [])
    with pytest.raises(SynthmillError, match="labels"):
        starts.check("more", asked, Plugin.kind, SHAPE, ["b", "a"], [])
    # What was trained from these very weights needs them no more.
    write_json(here / "data/models/more/model.json", {"init": {"digest": starts.resolve("tiny@candidate").digest}})
    starts.check("more", asked, Plugin.kind, SHAPE, ["b", "a"], [])


def test_differential_privacy_needs_a_base_of_public_images():
    def section_of(base, **privacy) -> Training:
        return Training(kind="dreambooth", base=base, **({"privacy": {"epsilon": 8, **privacy}} if privacy else {}))

    assert borrowed.base_is_public(section_of({"phantoms": "chest"}, delta=1e-5))
    assert not borrowed.base_is_public(section_of("./some/folder"))
    assert borrowed.base_is_public(section_of("./some/folder", public_init=True))
    with pytest.raises(SynthmillError, match="promise nothing to the people in them"):
        borrowed.base_is_public(section_of("./some/folder", delta=1e-5))


def test_differential_privacy_needs_a_public_start():
    def section_of(**privacy) -> Training:
        return Training(kind="ddpm", init="tiny@candidate", privacy={"epsilon": 8, **privacy})

    public, private = {"public": True}, {"public": False}
    assert borrowed.is_public("x", public, section_of())
    assert borrowed.is_public("x", private, section_of(public_init=True))
    for said in (private, {}):
        with pytest.raises(SynthmillError, match=r"train\.privacy would promise nothing to the patients in them"):
            borrowed.is_public("x", said, section_of())
        assert not borrowed.is_public("x", said, Training(kind="ddpm", init="tiny@candidate"))


def test_privacy_spreads_from_model_to_model(here):
    asked = section("more", init="tiny@candidate", steps=2)
    manifest = here / "data/ingest/more/manifest.json"
    write_json(manifest, {**read_json(manifest), "source": {"kind": "dicom"}})
    starts.write("more", asked)
    train.run("more")
    said = read_json(here / "data/models/more/model.json")
    assert (said["init"]["public"], said["public"]) == (True, False), "its start was public, its own images are not"


def test_a_base_in_a_folder_is_known_by_its_bytes_whatever_it_is_called(here, tmp_path):
    for name in ("one", "two"):
        write_json(tmp_path / name / "unet" / "config.json", {"channels": 3})
    one, two = (starts.base_of("more", {"base": str(tmp_path / name)}) for name in ("one", "two"))
    assert one == two
    assert one == {"digest": sha256_json([["unet/config.json", sha256_file(tmp_path / "one/unet/config.json")]])}
    write_json(tmp_path / "two" / "unet" / "config.json", {"channels": 4})
    assert starts.base_of("more", {"base": str(tmp_path / "two")}) != one
    hub = {"id": "stabilityai/sd", "revision": "abc"}
    assert starts.base_of("more", {"base": hub["id"], "revision": "abc"}) == hub
    assert starts.base_of("more", {"base": {"phantoms": {"steps": 3}}}) is None
    assert references.public_options({"init": "./a/b", "base": str(tmp_path / "one")}) == {"init": "a folder", "base": "a folder"}
    assert provenance.started({"reference": "./jane-doe", "digest": "d", "public": False}) == {
        "reference": "a folder",
        "digest": "d",
        "public": False,
    }
