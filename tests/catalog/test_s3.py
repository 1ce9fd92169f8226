"""Releases on S3: moto's server, which speaks it over HTTP, behind a door that can be slammed."""

import hashlib
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator

import boto3
import pytest
import release_workspace as rw
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

import catalog
from app import doctor
from catalog import ledger, publish, sums
from schema.errors import IntegrityError, SynthmillError
from tests.catalog.conftest import copy

PAGE = (rw.CHECKOUT / "docs/how-to/release-to-s3.md").read_text(encoding="utf-8")
TAG = f"{rw.NAME}@v1.0.0"
OBJECTS = "releases/files/md5/"
DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class S3:
    """`left`: how many objects more it takes; what comes then is refused, or with `cuts` the connection ends without an answer."""

    def __init__(self) -> None:
        self.left, self.cuts = 10**6, False
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.client = boto3.client("s3", endpoint_url=self.address)
        self.client.create_bucket(Bucket="bucket")

    def answer(self, environ: dict, start: Callable) -> object:
        if environ["REQUEST_METHOD"] == "PUT" and OBJECTS in environ["PATH_INFO"]:
            self.left -= 1
            if self.left < 0 and self.cuts:
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return []
            if self.left < 0:
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [DENIED]
        return self.app(environ, start)

    def objects(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket="bucket").get("Contents", [])
        return {each["Key"]: self.client.get_object(Bucket="bucket", Key=each["Key"])["Body"].read() for each in found}

    def put(self, objects: dict[str, bytes]) -> None:
        """Makes these what the bucket holds."""
        for key in self.objects().keys() - objects.keys():
            self.delete(key)
        for key, content in objects.items():
            self.client.put_object(Bucket="bucket", Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket="bucket", Key=key)

    def garble(self, key: str) -> None:
        content = bytearray(self.objects()[key])
        content[len(content) // 2] ^= 1
        self.client.put_object(Bucket="bucket", Key=key, Body=bytes(content))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """The server, and credentials for it where DVC looks for them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        served = S3()
        yield served
        served.server.shutdown()


@pytest.fixture(scope="module")
def built(template, s3, tmp_path_factory) -> rw.Workspace:
    """The template with a default remote on S3 in its committed settings, as the how-to page sets it up. Copied, never used."""
    workspace = copy(template, tmp_path_factory.mktemp("built"))
    page = PAGE.replace("s3://synthmill-releases", "s3://bucket/releases").replace("https://s3.example.org", s3.address)
    for line in re.search(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1].splitlines():
        program, *words = shlex.split(line.removeprefix("./mill "), comments=True)
        {"dvc": workspace.dvc, "git": workspace.git}[program](*words)
    workspace.dvc("repro", "--quiet", "--force", "--single-item", f"release@{rw.NAME}")
    return workspace


@pytest.fixture(scope="module")
def there(built, s3, tmp_path_factory) -> tuple[rw.Workspace, dict[str, bytes]]:
    """Published: the workspace, to be copied, and what the bucket held then."""
    workspace = copy(built, tmp_path_factory.mktemp("there"))
    s3.put({})
    assert workspace.publish() == 0
    return workspace, s3.objects()


@pytest.fixture
def workspace(built, s3, tmp_path, monkeypatch) -> rw.Workspace:
    """A copy of the built workspace that this process works in, and an empty bucket. Not asked again whether it is up to date."""
    s3.put({})
    monkeypatch.setattr(publish, "check_graph", lambda dataset: None)
    return copy(built, tmp_path).adopt(monkeypatch)


@pytest.fixture
def released(there, s3, tmp_path, monkeypatch) -> rw.Workspace:
    """A copy of the published workspace that this process works in, and the bucket as it was left."""
    s3.put(there[1])
    return copy(there[0], tmp_path).adopt(monkeypatch)


def refs(workspace: rw.Workspace) -> list[str]:
    return workspace.git("for-each-ref", "--format=%(refname)").split()


def key_of(workspace: rw.Workspace, path: str) -> str:
    """The object that a file of the release is."""
    digest = hashlib.md5((workspace.release / path).read_bytes()).hexdigest()
    return f"{OBJECTS}{digest[:2]}/{digest[2:]}"


def nothing_is_released(workspace: rw.Workspace) -> bool:
    return refs(workspace) == ["refs/heads/main"] and not ledger.rows() and not list(workspace.root.rglob("pending/*"))


def test_what_was_released_comes_from_the_git_address_alone_by_us_and_by_plain_dvc(released, s3, tmp_path, monkeypatch):
    """The remote's address and endpoint come out of the release's own commit."""
    stored = {key.removeprefix(OBJECTS).replace("/", "").removesuffix(".dir"): content for key, content in s3.objects().items()}
    assert len(stored) == 8
    assert all(hashlib.md5(content).hexdigest() == name for name, content in stored.items())
    bare = tmp_path / "served.git"
    released.git("clone", "--quiet", "--bare", str(released.root), str(bare))
    for name in ("checkout", "home"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    elsewhere = rw.Workspace(tmp_path / "elsewhere/checkout", tmp_path / "elsewhere/home").adopt(monkeypatch)
    assert catalog.load(TAG, repo=f"file://{bare}")["seed"].to_pylist() == list(range(500, 512))
    elsewhere.dvc("get", f"file://{bare}", f"data/releases/{rw.NAME}", "--rev", TAG, "--out", "got")
    assert sums.check(elsewhere.root / "got") == sums.read(released.release)
    s3.garble(key_of(released, "README.md"))
    with pytest.raises(IntegrityError, match=r"the DVC remote 'store' holds of pneumonia@v1\.0\.0 .*\(changed: README\.md\)"):
        catalog.get(TAG, elsewhere.home / "got", f"file://{bare}")
    assert not (elsewhere.home / "got").exists()


def test_a_remote_that_refuses_half_way_or_goes_away_leaves_no_release_and_the_next_run_finishes_it(workspace, s3, monkeypatch):
    for s3.left, s3.cuts, words in ((3, False, "Access Denied"), (2, True, "")):
        with pytest.raises(SynthmillError, match=rf"dvc push .* failed: .*{words}.* files failed to upload"):
            publish.publish(rw.NAME)
        assert nothing_is_released(workspace)
    assert len(s3.objects()) == 5
    assert not [key for key in s3.objects() if key.endswith(".dir")], "the list of the files goes last"
    s3.left = 10**6
    assert publish.publish(rw.NAME).tag == TAG
    assert len(s3.objects()) == 8
    assert refs(workspace) == ["refs/heads/main", f"refs/heads/releases/{rw.NAME}", f"refs/tags/{TAG}"]
    assert [row.tag for row in ledger.rows()] == [TAG]


def harmed_after_the_push(monkeypatch: pytest.MonkeyPatch, harm: Callable[[], None]) -> None:
    pushed = publish.push
    monkeypatch.setattr(publish, "push", lambda dataset: (pushed(dataset), harm()))


def test_what_a_remote_lost_after_the_push_is_sent_again_to_a_remote_of_the_local_settings(workspace, s3, monkeypatch):
    mirror = f"['remote \"mirror\"']\n    url = s3://bucket/mirror\n    endpointurl = {s3.address}\n"
    (workspace.root / ".dvc/config.local").write_text(mirror)
    monkeypatch.setenv("SYNTHMILL_REMOTE", "mirror")
    lost = key_of(workspace, "README.md").replace("releases", "mirror")
    harmed_after_the_push(monkeypatch, lambda: s3.delete(lost))
    assert publish.publish(rw.NAME).tag == TAG
    assert s3.objects()[lost] == (workspace.release / "README.md").read_bytes()
    assert {key.split("/")[0] for key in s3.objects()} == {"mirror"}


def test_what_a_remote_garbled_after_the_push_is_named_and_not_tagged(workspace, s3, monkeypatch):
    harmed_after_the_push(monkeypatch, lambda: s3.garble(key_of(workspace, "README.md")))
    with pytest.raises(
        IntegrityError, match=rf"changed: README\.md\): .* delete s3://bucket/{key_of(workspace, 'README.md')} and run"
    ) as found:
        publish.publish(rw.NAME)
    assert found.value.exit_code == 5
    assert nothing_is_released(workspace)


def test_what_a_remote_lost_or_garbled_of_a_release_is_named_and_what_it_lost_is_sent_again(released, there, s3):
    """DVC takes the list of the files, which is still there, as proof that they are."""
    card, shard = (key_of(released, path) for path in ("README.md", "data/train-00000-of-00001.parquet"))
    s3.garble(card)
    with pytest.raises(IntegrityError, match=rf"changed: README\.md\): .* delete s3://bucket/{card} and run `\./mill run {rw.NAME}`"):
        catalog.verify(TAG)
    s3.delete(card)
    s3.delete(shard)
    with pytest.raises(SynthmillError, match=r"remote store \(s3://bucket/releases; .* not there: README\.md, data/train-00000"):
        catalog.verify(TAG)
    assert publish.publish(rw.NAME).tag == TAG
    assert s3.objects() == there[1]


def test_the_doctor_asks_whether_it_answers(workspace, s3):
    [fresh] = doctor.remote()
    assert (fresh.status, fresh.detail) == ("ok", "store at s3://bucket/releases answers; nothing is there yet")
    config = workspace.root / ".dvc/config"
    config.write_text(config.read_text().replace("//bucket/", "//another/"))
    [none] = doctor.remote()
    assert (none.status, "The specified bucket does not exist" in none.detail) == ("fail", True)
    with socket.socket() as deaf:  # bound and not listening: whoever connects is refused
        deaf.bind(("127.0.0.1", 0))
        config.write_text(config.read_text().replace(s3.address, f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        [away] = doctor.remote()
    assert (away.status, 'Could not connect to the endpoint URL: "http://127.0.0.1:' in away.detail) == ("fail", True)
