"""What the release stage lets out, what it refuses, and which version it gives."""

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import release_workspace as rw

from catalog import git, store, versions
from schema.digest import read_json, sha256_file
from schema.errors import GateFailed, IntegrityError, SynthmillError
from schema.record import encode_png
from schema.release import Release
from tasks import release
from tasks.reporting import sheets


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> rw.Workspace:
    workspace = rw.build(tmp_path / "checkout", tmp_path / "home")
    rw.commit(workspace)
    return workspace.adopt(monkeypatch)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def tag(workspace: rw.Workspace) -> Release:
    """Tags what lies in the release folder, as publishing would, and keeps its bytes for `store.fetch` to give."""
    said = read_json(workspace.release / "provenance.json")
    fields = {name: said[name] for name in ("dataset", "version", "images", "labels", "digests", "gates")}
    made = Release(**fields, sums=sha256_file(workspace.release / "SHA256SUMS"), code_commit="0" * 40)
    workspace.git("tag", "--annotate", made.tag, "--message", versions.write_tag(made), "--cleanup=verbatim")
    shutil.copytree(workspace.release, workspace.home / made.tag)
    return made


def version(workspace: rw.Workspace) -> str:
    release.run(rw.NAME)
    return read_json(workspace.release / "provenance.json")["version"]


def test_a_release_holds_the_files_that_it_should_and_sha256sum_agrees(workspace):
    beside = workspace.root / "reports" / rw.NAME / "report/public/notes.txt"
    beside.write_text("left by an editor")
    release.run(rw.NAME)
    files = set(contents(workspace.release))
    assert files == {
        *("README.md", "croissant.json", "provenance.json", "SHA256SUMS"),
        *("data/train-00000-of-00001.parquet", "privacy/report.html", "privacy/report.json"),
    }
    check = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=workspace.release, capture_output=True, text=True, check=True
    )
    assert check.stdout.count(": OK") == len(files) - 1
    assert [path.name for path in workspace.release.parent.iterdir()] == [rw.NAME]


def test_the_same_state_gives_the_same_bytes(workspace):
    release.run(rw.NAME)
    first = contents(workspace.release)
    release.run(rw.NAME)
    assert contents(workspace.release) == first
    tag(workspace)
    release.run(rw.NAME)
    assert contents(workspace.release) == first, "publishing a version changes nothing about it"


def test_nothing_private_is_said(workspace):
    release.run(rw.NAME)
    everything = b"\n".join(contents(workspace.release).values())
    for secret in ("/home/somebody", "patients.npz", "a-secret-salt", str(workspace.root), str(workspace.home)):
        assert secret.encode() not in everything


def test_seeds_and_version_are_those_of_params_and_of_the_first_release(workspace):
    release.run(rw.NAME)
    said = read_json(workspace.release / "provenance.json")
    assert said["seeds"] == {"train": 3, "first_image": 500, "last_image": 511}
    assert said["code"]["commit"] == workspace.git("rev-parse", "HEAD")
    assert said["code"]["requirements_lock"] == sha256_file(workspace.root / "requirements.lock")
    assert (said["version"], said["previous"]) == ("v1.0.0", None)
    assert read_json(workspace.release / "croissant.json")["version"] == "1.0.0"
    assert "\nversion: v1.0.0\n" in (workspace.release / "README.md").read_text()


def test_uncommitted_code_is_said(workspace):
    (workspace.root / "new.py").write_text("")
    workspace.edit_params(lambda section: section.update(report={"pairs": 4}))
    release.run(rw.NAME)
    code = read_json(workspace.release / "provenance.json")["code"]
    assert (code["modified"], code["params_modified"]) == (True, True)


def test_the_day_of_publication_is_that_of_the_commit_or_of_source_date_epoch(workspace, monkeypatch):
    workspace.git("commit", "--quiet", "--allow-empty", "--message", "later", "--date", "2001-01-01T00:00:00Z")
    release.run(rw.NAME)
    committed = int(workspace.git("show", "--no-patch", "--format=%ct", "HEAD"))
    expected = subprocess.run(["date", "--utc", f"--date=@{committed}", "+%F"], capture_output=True, text=True, check=True).stdout.strip()
    assert read_json(workspace.release / "croissant.json")["datePublished"] == expected
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    release.run(rw.NAME)
    assert read_json(workspace.release / "croissant.json")["datePublished"] == "1970-01-02"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "FAIL", "value": 0.21, "interval": (0.18, 0.24)}, "box: FAIL .*0.21, interval 0.18 to 0.24; must be at most 0.05"),
        ({"status": "INSUFFICIENT", "value": None, "interval": None}, "mia-white-box: INSUFFICIENT .*no number; must be at most 0.05"),
        ({"value": 0.04, "interval": (0.01, 0.07)}, "says PASS but its own numbers do not"),
        ({"config": {"threshold": 0.4}}, "changed after it measured"),
    ],
)
def test_a_gate_that_did_not_pass_refuses_and_nothing_is_written(workspace, changes, words):
    release.run(rw.NAME)
    rw.judge(workspace, **changes)
    with pytest.raises(GateFailed, match=words) as refusal:
        release.run(rw.NAME)
    assert refusal.value.exit_code == 3
    assert list(workspace.release.parent.iterdir()) == []


def test_a_missing_verdict_and_one_for_other_bytes_refuse(workspace):
    verdict = workspace.root / "reports" / rw.NAME / "gates/mia-white-box/verdict.json"
    rw.write_samples(workspace.root, range(100, 112))
    with pytest.raises(GateFailed, match="other bytes"):
        release.run(rw.NAME)
    verdict.unlink()
    with pytest.raises(GateFailed, match="1 of 2 gates object\n  mia-white-box: no verdict was written"):
        release.run(rw.NAME)
    verdict.write_text('{"gate": "mia-white-box"}')
    with pytest.raises(SynthmillError, match=r"verdict\.json is not a verdict"):
        release.run(rw.NAME)


def test_a_threshold_tightened_after_measuring_refuses(workspace):
    workspace.edit_params(lambda section: section["gates"]["mia-white-box"].update(threshold=0.001))
    with pytest.raises(GateFailed, match="changed after it measured"):
        release.run(rw.NAME)


def test_a_panel_that_requires_nothing_lets_nothing_out(workspace):
    workspace.edit_params(lambda section: section["gates"]["mia-white-box"].update(required=False))
    with pytest.raises(GateFailed, match="no gate of the panel is required"):
        release.run(rw.NAME)
    assert not workspace.release.exists()


def test_weights_and_samples_of_other_params_are_refused(workspace):
    workspace.edit_params(lambda section: section["train"].update(lr=0.5))
    with pytest.raises(IntegrityError, match=r"the weights of pneumonia were made under other params .*\(lr\): run"):
        release.run(rw.NAME)
    workspace.edit_params(lambda section: section["train"].pop("lr"))
    workspace.edit_params(lambda section: section["sample"].update(base_seed=7, steps=3))
    with pytest.raises(IntegrityError, match=r"the samples of pneumonia were made under other params .*\(base_seed, steps\): run"):
        release.run(rw.NAME)


def test_a_report_about_other_bytes_is_refused(workspace):
    path = workspace.root / "reports" / rw.NAME / "report/public/report.json"
    said = read_json(path)
    said["provenance"]["synthetic"]["digest"] = "0" * 64
    path.write_text(json.dumps(said))
    with pytest.raises(IntegrityError, match="about other bytes"):
        release.run(rw.NAME)


def test_a_copy_of_a_real_image_is_refused_with_the_count(workspace):
    rw.write_samples(workspace.root, [0, 1, 9000, 9005])
    rw.judge(workspace)
    with pytest.raises(GateFailed, match="2 synthetic images are pixel for pixel a real image"):
        release.run(rw.NAME)


def test_real_images_and_ids_in_the_public_report_are_refused(workspace):
    def picture(seed: int) -> str:
        return f'<img src="data:image/png;base64,{base64.b64encode(encode_png(rw.pixels(seed))).decode()}">'

    page = workspace.root / "reports" / rw.NAME / "report/public/report.html"
    page.write_text(picture(1) + picture(2))
    release.run(rw.NAME)
    page.write_text(picture(1) + picture(9002) + f"<td>{9003:016x}</td><td>{9004:08x}ffffffff</td>")
    with pytest.raises(GateFailed, match=r"report\.html shows 1 real images and names 2 real ids"):
        release.run(rw.NAME)
    assert not workspace.release.exists()


@pytest.mark.parametrize("side", [16, 10])
def test_a_real_image_on_a_contact_sheet_is_found_mirrored_and_reduced_too(workspace, monkeypatch, side):
    """A sheet as the report draws it, with the budget of pixels so small that images of 16 x 16 are reduced to `side`."""
    monkeypatch.setattr(sheets, "grid", lambda shape, count: (12, side))
    page = workspace.root / "reports" / rw.NAME / "report/public/report.html"

    def show(seeds, step: int = 1) -> None:
        images = [sheets.reduced(rw.pixels(seed), side)[:, ::step] for seed in seeds]
        sheet = sheets.draw(images, 12, (16, 16, 1), side)
        page.write_text(f'<img src="data:image/png;base64,{base64.b64encode(encode_png(sheet)).decode()}">')

    show(range(9))
    release.run(rw.NAME)
    show([*range(8), 9003])
    with pytest.raises(GateFailed, match="shows 1 real images"):
        release.run(rw.NAME)
    if side == 16:  # a mirror image reduced may round otherwise
        show([0, 9004, 9005], step=-1)
        with pytest.raises(GateFailed, match="shows 2 real images"):
            release.run(rw.NAME)


@pytest.mark.parametrize("picture", ["data:image/png;base64,AAAA", "data:image/svg+xml,%3Csvg/%3E"])
def test_a_picture_that_cannot_be_looked_into_is_refused(workspace, picture):
    (workspace.root / "reports" / rw.NAME / "report/public/report.html").write_text(f'<img src="{picture}">')
    with pytest.raises(GateFailed, match="cannot be looked into"):
        release.run(rw.NAME)


def test_an_image_that_does_not_say_it_is_synthetic_is_not_released(workspace, monkeypatch):
    monkeypatch.setattr(rw, "encode_png", lambda image, synthetic=False: encode_png(image))
    rw.write_samples(workspace.root, range(12))
    rw.judge(workspace)
    with pytest.raises(IntegrityError, match="pneumonia-0000000 is not marked as synthetic"):
        release.run(rw.NAME)
    assert not workspace.release.exists()


def test_a_watermark_that_was_asked_for_and_is_not_there_holds_the_release_back(workspace):
    workspace.edit_params(lambda section: section["sample"].update(watermark={"detected": 0.9}))
    rw.write_samples(workspace.root, range(12))
    rw.judge(workspace)
    with pytest.raises(GateFailed, match=r"its watermark is found as it is in 0\.0%.* asks for 90\.0%"):
        release.run(rw.NAME)
    assert not workspace.release.exists()


def test_a_changed_shard_a_changed_row_and_a_changed_manifest_are_found(workspace):
    folder = workspace.root / "data/samples" / rw.NAME
    manifest = read_json(folder / "manifest.json")
    shard = folder / "shard-00000.parquet"
    table = pq.read_table(shard)
    other = table.set_column(table.column_names.index("sha256"), "sha256", table["sha256"].take(np.arange(8)[::-1]))
    pq.write_table(other, shard)
    with pytest.raises(IntegrityError, match=r"shard-00000\.parquet is missing or its bytes have changed"):
        release.run(rw.NAME)
    manifest["shards"][0]["sha256"] = sha256_file(shard)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="the pixels of pneumonia-0000000 are not"):
        release.run(rw.NAME)
    rw.write_samples(workspace.root, range(12))
    manifest = read_json(folder / "manifest.json")
    manifest["shards"].pop()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="names another digest"):
        release.run(rw.NAME)


def test_versions_follow_what_became_of_the_records(workspace, monkeypatch):
    fetched = []

    def fetch(root, last, to):
        fetched.append(last.tag)
        return Path(shutil.copytree(workspace.home / last.tag, to))

    monkeypatch.setattr(store, "fetch", fetch)
    assert version(workspace) == "v1.0.0"
    tag(workspace)
    assert version(workspace) == "v1.0.0"

    # The same records in other shards: the files are the same bytes, so nothing changed.
    rw.write_samples(workspace.root, range(12), shard_size=5)
    rw.judge(workspace)
    assert version(workspace) == "v1.0.0"

    # The same records under a corrected licence.
    workspace.edit_params(lambda section: section["card"].update(license="CC0-1.0"))
    rw.judge(workspace)
    assert version(workspace) == "v1.0.1"
    tag(workspace)

    # The same records, the report drawn anew.
    (workspace.root / "reports" / rw.NAME / "report/public/report.html").write_text("<p>The report, in other words</p>\n")
    assert version(workspace) == "v1.0.2"
    tag(workspace)

    # Two records more.
    rw.write_samples(workspace.root, range(14))
    rw.judge(workspace)
    assert version(workspace) == "v1.1.0"
    assert read_json(workspace.release / "provenance.json")["previous"] == "v1.0.2"
    tag(workspace)
    assert fetched == ["pneumonia@v1.0.2"], "the earlier release is read only where the records differ and none can be gone"

    # Two more, but one of the earlier ones is another image.
    rw.write_samples(workspace.root, [*range(13), 99, 100, 101])
    rw.judge(workspace)
    assert version(workspace) == "v2.0.0"
    tag(workspace)
    assert len(fetched) == 2

    # Fewer: something is gone, whatever it is.
    rw.write_samples(workspace.root, range(12))
    rw.judge(workspace)
    assert version(workspace) == "v3.0.0"
    assert len(fetched) == 2


def test_without_git_or_a_commit_it_says_what_to_do(workspace):
    shutil.rmtree(workspace.root / ".git")
    with pytest.raises(SynthmillError, match=r"not a git repository: run `git init`"):
        release.run(rw.NAME)
    git.git(workspace.root, "init", "--quiet")
    with pytest.raises(SynthmillError, match="has no commit yet"):
        release.run(rw.NAME)
    assert list(workspace.release.parent.iterdir()) == []


def test_mlcroissant_validates_the_metadata_and_reads_every_record(workspace):
    mlcroissant = pytest.importorskip("mlcroissant")
    release.run(rw.NAME)
    dataset = mlcroissant.Dataset(workspace.release / "croissant.json")
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.ctx.issues.warnings == set()
    assert dataset.metadata.ctx.is_v1_1()
    assert dataset.metadata.data_limitations
    assert dataset.metadata.personal_sensitive_information
    records = list(dataset.records("records"))
    assert [record["records/seed"] for record in records] == list(range(500, 512))
    for number, record in enumerate(records):
        np.testing.assert_array_equal(np.asarray(record["records/image"]), rw.pixels(number)[:, :, 0])


def test_hugging_face_datasets_gives_pictures_and_class_names(workspace, tmp_path):
    release.run(rw.NAME)
    code = f"""
import datasets, json
folder = datasets.load_dataset({str(workspace.release)!r}, split="train")
files = datasets.load_dataset("parquet", data_files={str(workspace.release)!r} + "/data/*.parquet", split="train")
for images in (folder, files):
    row = images[3]
    print(json.dumps([len(images), row["image"].size, row["image"].getpixel((5, 2)), images.features["label"].names, row["label"]]))
"""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HOME": str(tmp_path / "home")}
    printed = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    expected = [12, [16, 16], int(rw.pixels(3)[2, 5, 0]), rw.CLASSES, 1]
    assert [json.loads(line) for line in printed.splitlines()] == [expected, expected]


def test_a_waiver_lets_one_verdict_pass_and_is_in_the_release_for_ever(workspace):
    def waive(**more) -> None:
        waiver = {"gate": "mia-white-box", "reason": "The board accepted this.", "by": ["Ada", "Grace"], **more}
        workspace.edit_params(lambda section: section.update(policy={"waivers": [waiver]}))

    rw.judge(workspace, status="FAIL", value=0.2, interval=(0.15, 0.25))
    digest = read_json(workspace.root / "reports" / rw.NAME / "gates/mia-white-box/verdict.json")["sha256"]
    for held_back in ({"verdict": "0" * 64}, {"verdict": digest, "until": "2020-01-01"}):
        waive(**held_back)
        with pytest.raises(GateFailed, match="mia-white-box: FAIL"):
            release.run(rw.NAME)
    waive(verdict=digest)
    release.run(rw.NAME)
    [gate] = [one for one in read_json(workspace.release / "provenance.json")["gates"] if one["gate"] == "mia-white-box"]
    assert (gate["status"], gate["waived"]["by"]) == ("FAIL", ["Ada", "Grace"])
