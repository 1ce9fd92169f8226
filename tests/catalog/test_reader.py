"""What researchers use: list, get, verify, load."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import release_workspace as rw

import catalog
from catalog import folder, git, sums, versions
from schema.digest import read_json, write_json
from schema.errors import IntegrityError, NewerFormat, SynthmillError, UsageError
from schema.release import Release

TAG = f"{rw.NAME}@v1.0.0"


@pytest.fixture
def got(reader, tmp_path):
    """A copy of the released files, with the repository that released them."""
    shutil.copytree(reader.release, tmp_path / "got")
    return tmp_path / "got"


def release(version: str, dataset: str = rw.NAME) -> Release:
    said = {"digests": {"records": version * 3, "files": version * 4}, "sums": version * 5}
    return Release(dataset=dataset, version=version, images=1, labels={"a": 1}, **said, gates=[], code_commit="0" * 40)


class TestVersions:
    @pytest.fixture
    def tags(self, tmp_path, monkeypatch) -> rw.Workspace:
        """A bare history of tags, one of them somebody else's."""
        (tmp_path / "checkout").mkdir()
        (tmp_path / "home").mkdir()
        workspace = rw.Workspace(tmp_path / "checkout", tmp_path / "home").adopt(monkeypatch)
        workspace.git("init", "--quiet", "--initial-branch", "main")
        workspace.git("commit", "--quiet", "--allow-empty", "--message", "code")
        for each in (release("v1.10.0"), release("v1.9.0"), release("v1.0.0"), release("v3.0.0", "skin")):
            workspace.git("tag", "--annotate", each.tag, "--cleanup=verbatim", "--message", versions.write_tag(each))
        workspace.git("tag", f"{rw.NAME}@v7.0.0")
        workspace.git("tag", "--annotate", "model@v1.0.0", "--message", "a model of another tool")
        return workspace

    def test_they_come_by_name_and_version_without_the_tags_of_others(self, tags):
        assert [each.tag for each in catalog.releases()] == ["pneumonia@v1.0.0", "pneumonia@v1.9.0", "pneumonia@v1.10.0", "skin@v3.0.0"]
        assert catalog.releases("skin") == [release("v3.0.0", "skin")]
        assert catalog.releases("none") == []

    def test_it_takes_one_git_process(self, tags, monkeypatch):
        started = []
        real = subprocess.run
        monkeypatch.setattr(git.subprocess, "run", lambda command, **options: started.append(command) or real(command, **options))
        catalog.releases()
        assert len(started) == 1

    @pytest.mark.parametrize(
        ("spec", "version"),
        [
            *(("pneumonia", "v1.10.0"), ("pneumonia@latest", "v1.10.0"), ("pneumonia@v1.9.0", "v1.9.0"), ("pneumonia@1.0.0", "v1.0.0")),
            *(("pneumonia@^1", "v1.10.0"), ("pneumonia@~1.9", "v1.9.0"), ("pneumonia@>=1, <1.10", "v1.9.0"), ("pneumonia@v1", "v1.10.0")),
        ],
    )
    def test_find(self, tags, spec, version):
        assert catalog.find(spec) == release(version)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("pneumonia@v2.0.0", r"pneumonia has no v2\.0\.0; there are: v1\.0\.0, v1\.9\.0, v1\.10\.0$"),
            ("pneumonia@1.4.0", r"pneumonia has no v1\.4\.0; there are: v1\.0\.0, v1\.9\.0, v1\.10\.0$"),
            ("pneumonia@^2", r"pneumonia has no \^2; there are: v1\.0\.0, v1\.9\.0, v1\.10\.0$"),
            ("pneumonia@>=1 <2", "'>=1 <2' is not a version or a range of them: write v1.2.3"),
            ("lung", r"no release of 'lung' is known .*there are: pneumonia, skin"),
            ("pneumonia@newest", "pneumonia has no stage 'newest'; its stages: none yet"),
            ("../pneumonia", "is not a dataset name"),
        ],
    )
    def test_what_is_not_there_is_said(self, tags, spec, words):
        with pytest.raises(UsageError, match=words):
            catalog.find(spec)

    def test_a_tag_moved_or_broken_by_hand_is_an_integrity_error(self, tags):
        message = versions.write_tag(release("v1.9.0"))
        tags.git("tag", "--annotate", "--force", "pneumonia@v4.0.0", "--cleanup=verbatim", "--message", message)
        with pytest.raises(IntegrityError, match=r"the tag pneumonia@v4\.0\.0 speaks of pneumonia@v1\.9\.0"):
            catalog.releases()
        tags.git("tag", "--annotate", "--force", "pneumonia@v4.0.0", "--message", 'words\n\n{"dataset": "pneumonia"}')
        with pytest.raises(IntegrityError, match=r"the tag pneumonia@v4\.0\.0 does not say what it releases"):
            catalog.releases()

    def test_what_a_newer_synthmill_made_is_said_and_stands_in_nobody_s_way_who_pins_another(self, tags):
        newer = versions.write_tag(release("v2.0.0")).replace("synthmill-release/1", "synthmill-release/2")
        tags.git("tag", "--annotate", "pneumonia@v2.0.0", "--cleanup=verbatim", "--message", newer)
        assert catalog.find("pneumonia@^1") == release("v1.10.0")
        for spec in ("pneumonia", "pneumonia@v2.0.0", "pneumonia@>=1"):
            with pytest.raises(NewerFormat, match=r"pneumonia@v2\.0\.0 was made by a newer synthmill \(synthmill-release/2; .*update"):
                catalog.find(spec)
        with pytest.raises(NewerFormat, match="made by a newer synthmill"):
            catalog.releases()

    def test_fields_that_are_not_known_here_are_passed_over_and_tags_without_a_format_are_read(self):
        said = json.loads(versions.write_tag(release("v1.0.0")).partition("\n\n")[2])
        assert said["format"] == "synthmill-release/1"
        assert versions.read_tag("pneumonia@v1.0.0", json.dumps(said | {"mood": "good"})) == release("v1.0.0")
        assert versions.read_tag("pneumonia@v1.0.0", release("v1.0.0").model_dump_json()) == release("v1.0.0")
        with pytest.raises(IntegrityError, match="its format is 'another/1'"):
            versions.read_tag("pneumonia@v1.0.0", json.dumps(said | {"format": "another/1"}))

    def test_a_signature_is_no_part_of_the_message(self, tags):
        tags.git("tag", "--delete", "skin@v3.0.0")
        signed = versions.write_tag(release("v3.0.0", "skin")) + "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
        tags.git("tag", "--annotate", "skin@v3.0.0", "--cleanup=verbatim", "--message", signed)
        assert catalog.find("skin") == release("v3.0.0", "skin")

    def test_no_repository(self, tags, tmp_path):
        with pytest.raises(SynthmillError, match="is not a git repository"):
            catalog.releases(repo=tmp_path)


def test_get_puts_the_released_files_where_nothing_is(reader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert catalog.get(TAG, "empty").tag == TAG
    assert sums.files(tmp_path / "empty") == sums.files(reader.release)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    with pytest.raises(UsageError, match="empty is not empty"):
        catalog.get(TAG, "empty")
    with pytest.raises(UsageError, match="is not empty"):
        catalog.get(TAG, "empty/README.md")


def test_get_of_bytes_that_the_cache_garbled_leaves_nothing(released, tmp_path):
    """DVC trusts its cache: that the bytes are checked on arrival is what finds it."""
    digest = sums.read(released.release)["privacy/report.html"]
    for path in (*(released.root / ".dvc/cache").rglob("*"), *(released.home / ".synthmill").rglob("*")):
        if path.is_file() and sums.sha256_file(path) == digest:
            path.chmod(0o644)
            path.write_text("<p>All is well</p>")
    with pytest.raises(IntegrityError, match=r"changed: privacy/report\.html"):
        catalog.get(TAG, tmp_path / "to")
    assert not (tmp_path / "to").exists()


class TestVerify:
    def test_a_released_version_as_the_remote_has_it(self, reader):
        report = catalog.verify(TAG)
        assert (report.release, report.files, report.images, report.against) == (TAG, 6, 12, f"tag {TAG}")

    def test_a_folder_by_its_tag_and_where_there_is_none(self, got, tmp_path, monkeypatch):
        report = catalog.verify(got)
        assert report.against == f"tag {TAG}"
        assert report.bytes == sum((got / path).stat().st_size for path in sums.files(got))
        monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
        assert catalog.verify(str(got)).against == "its own provenance.json: no tag is known here"

    def test_files_changed_missing_and_extra_are_each_named(self, got):
        (got / "README.md").write_text("# Better")
        (got / "croissant.json").unlink()
        (got / "data/extra.parquet").write_bytes(b"")
        with pytest.raises(
            IntegrityError, match=r"changed: README\.md; missing: croissant\.json; not listed: data/extra\.parquet\)"
        ) as found:
            catalog.verify(got)
        assert found.value.exit_code == 5

    @pytest.mark.parametrize("name", ["privacy/report.json", "privacy/report.html"])
    def test_new_sums_do_not_hide_a_changed_report(self, got, name):
        (got / name).write_text("{}")
        sums.write(got)
        with pytest.raises(IntegrityError, match=rf"SHA256SUMS has other files than tag {TAG} names"):
            catalog.verify(got)

    def test_new_sums_do_not_hide_another_licence(self, got):
        card = (got / "README.md").read_text()
        (got / "README.md").write_text(card.replace("license: cc-by-4.0", "license: mit"))
        assert (got / "README.md").read_text() != card
        sums.write(got)
        with pytest.raises(IntegrityError, match=rf"its files are not those of {TAG}") as found:
            catalog.verify(got)
        assert found.value.exit_code == 5
        with pytest.raises(IntegrityError, match="its files are not those of"):
            folder.check_sums(got, versions.find(TAG))

    @pytest.mark.parametrize("missing", ["digests", "code", "version"])
    def test_a_provenance_that_lacks_something_is_an_integrity_error(self, got, missing):
        said = read_json(got / "provenance.json")
        del said[missing]
        write_json(got / "provenance.json", said)
        sums.write(got)
        with pytest.raises(IntegrityError, match=rf"does not say where a release comes from \({missing}: Field required\)"):
            catalog.verify(got)

    def test_a_provenance_of_a_newer_synthmill_says_so(self, got):
        said = read_json(got / "provenance.json")
        write_json(got / "provenance.json", {"format": "synthmill-provenance/2", "dataset": said["dataset"]})
        sums.write(got)
        with pytest.raises(NewerFormat, match=r"provenance\.json was made by a newer synthmill \(synthmill-provenance/2"):
            catalog.verify(got)

    def test_new_sums_do_not_hide_changed_images(self, got):
        import pyarrow.parquet as pq

        from schema.digest import sha256_pixels
        from schema.record import encode_png

        path = got / "data/train-00000-of-00001.parquet"
        rows = pq.read_table(path)
        changed = rows.to_pylist()
        changed[4]["image"]["bytes"] = encode_png(rw.pixels(77))
        pq.write_table(rows.from_pylist(changed, schema=rows.schema), path)
        sums.write(got)
        with pytest.raises(IntegrityError, match=r"the pixels of pneumonia-0000004 are not those that its sha256 names"):
            catalog.verify(got)
        changed[4]["sha256"] = sha256_pixels(rw.pixels(77))
        pq.write_table(rows.from_pylist(changed, schema=rows.schema), path)
        sums.write(got)
        with pytest.raises(IntegrityError, match=rf"has other records than tag {TAG} names"):
            catalog.verify(got)

    def test_what_is_no_release(self, got):
        (got / "SHA256SUMS").write_text("nothing\n")
        with pytest.raises(IntegrityError, match="is not a list of sha256 digests"):
            catalog.verify(got)
        with pytest.raises(SynthmillError, match="there is no release in"):
            catalog.verify(got / "data")


class TestLoad:
    def test_once_fetched_it_needs_neither_the_store_nor_the_working_directory(self, released, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("SYNTHMILL_ROOT")
        table = catalog.load(rw.NAME, repo=released.root)
        assert table["seed"].to_pylist() == list(range(500, 512))
        shutil.rmtree(released.home / ".synthmill")
        shutil.rmtree(released.root / ".dvc/cache")
        frame = catalog.load(rw.NAME, "v1.0.0", columns=["label_name", "id"], as_="pandas", repo=released.root)
        assert list(frame.columns) == ["label_name", "id"]
        assert frame["label_name"].value_counts().to_dict() == {"normal": 6, "pneumonia": 6}
        with pytest.raises(UsageError, match="no column 'labels'; there are: id, image, label, label_name, view, findings, seed, sha256"):
            catalog.load(rw.NAME, columns=["labels"], repo=released.root)

    def test_torch(self, reader):
        torch = pytest.importorskip("torch")
        images = catalog.load(TAG, as_="torch")
        assert isinstance(images, torch.utils.data.Dataset)
        assert len(images) == 12
        for number in (0, 5, -1):
            image, label = images[number]
            assert image.dtype == torch.float32
            np.testing.assert_array_equal(image.numpy(), rw.pixels(number % 12).transpose(2, 0, 1).astype(np.float32) / 255)
            assert label == number % 2
        with pytest.raises(IndexError):
            images[12]
        batch, labels = next(iter(torch.utils.data.DataLoader(images, batch_size=4)))
        assert batch.shape == (4, 1, 16, 16)
        assert labels.tolist() == [0, 1, 0, 1]

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"as_": "numpy"}, "one of arrow, pandas, torch, datasets, batches"),
            ({"as_": "torch", "columns": ["id"]}, "columns goes"),
            ({"name": TAG, "version": "^1"}, r"both name a version: give one of them"),
            ({"split": "test"}, r"no split 'test'; there are: train, each whole or in percent, as in 'train\[:80%\]'"),
            ({"split": "train[80%:20%]"}, r"'train\[80%:20%\]' is not a part of train"),
        ],
    )
    def test_impossible_options(self, reader, options, words):
        with pytest.raises(UsageError, match=words):
            catalog.load(**{"name": rw.NAME} | options)


def test_importing_the_catalog_is_light():
    code = "import sys, catalog, catalog.publish; print(*{name.partition('.')[0] for name in sys.modules})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=rw.CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert {"pyarrow", "pandas", "torch", "dvc", "PIL", "prefect", "mlflow"}.isdisjoint(printed.split())
