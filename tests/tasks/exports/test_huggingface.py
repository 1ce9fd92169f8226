"""Carrying a release to the Hugging Face hub: the client is the real one, the hub one of ours on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import export_workspace as ew
import pytest

from catalog import sums
from schema.errors import SynthmillError, UsageError
from tasks.exports.huggingface import Plugin

TOKEN = "hf_" + "x" * 20


class Hub(ThreadingHTTPServer):
    """What the hub's API does when a dataset is pushed, in memory; files come inline, as small ones do."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {".gitattributes": b"", "data/old.parquet": b"of another release"}
        self.tags: dict[str, str] = {}
        self.visibility = None
        self.commits = 0
        self.calls: list[str] = []
        self.broken = ""


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *words) -> None:
        pass

    def answer(self, value, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.handle_call(b"")

    def do_POST(self) -> None:
        self.handle_call(self.rfile.read(int(self.headers["Content-Length"])))

    def handle_call(self, body: bytes) -> None:
        hub, path = self.server, self.path.partition("?")[0]
        hub.calls.append(f"{self.command} {path}")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if hub.broken and hub.broken in path:
            return self.answer({"error": "out of order"}, 400)
        place = "/api/datasets/owner/name"
        if path == "/api/repos/create":
            code = 409 if hub.visibility else 200
            hub.visibility = hub.visibility or json.loads(body)["visibility"]
            return self.answer({"url": f"http://{self.headers['Host']}/datasets/owner/name"}, code)
        if path == place:
            return self.answer({"id": "owner/name", "private": hub.visibility != "public"})
        if path == f"{place}/refs":
            tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in hub.tags.items()]
            return self.answer({"branches": [], "converts": [], "tags": tags})
        if path == f"{place}/tree/main":
            return self.answer([{"type": "file", "path": name, "size": len(data), "oid": "0"} for name, data in hub.files.items()])
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path == f"{place}/preupload/main":
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer({"files": files})
        if path == f"{place}/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "deletedFile":
                    del hub.files[line["value"]["path"]]
                elif line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            hub.commits += 1
            return self.answer(
                {
                    "commitUrl": f"http://{self.headers['Host']}/datasets/owner/name/commit/{hub.commits:040x}",
                    "commitOid": f"{hub.commits:040x}",
                    "hookOutput": "",
                    "success": True,
                }
            )
        if path.startswith(f"{place}/tag/"):
            hub.tags[json.loads(body)["tag"]] = path.rpartition("/")[2]
            return self.answer({})
        raise AssertionError(f"the hub is asked for {path}")


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for place in ("huggingface_hub.constants.ENDPOINT", "huggingface_hub.hf_api.constants.ENDPOINT"):
        monkeypatch.setattr(place, address)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def release(tmp_path):
    return ew.release(tmp_path / "release")


def push(release, to: str = "owner/name", **given: str):
    return Plugin().push(release, to, Plugin().options(given))


def test_the_hub_holds_the_release_and_nothing_else_under_the_tag_of_its_version(hub, release):
    said = push(release)
    expected = {name: (release.path / name).read_bytes() for name in (*sums.files(release.path), sums.NAME)}
    assert {name: data for name, data in hub.files.items() if name != ".gitattributes"} == expected
    assert hub.tags == {ew.VERSION: said["commit"]} == {ew.VERSION: f"{1:040x}"}
    assert hub.visibility == "private"


def test_a_version_that_is_there_is_not_touched(hub, release):
    push(release, private="false")
    assert hub.visibility == "public"
    held = dict(hub.files)
    with pytest.raises(UsageError, match=rf"owner/name has {ew.VERSION} already, and a version never changes"):
        push(release, private="false")
    assert (hub.files, hub.commits, hub.visibility) == (held, 1, "public")


def test_a_public_repository_is_written_to_only_when_that_is_said(hub, release):
    hub.visibility = "public"
    with pytest.raises(UsageError, match="owner/name is public, so all the world would have it: say private=false"):
        push(release)
    assert hub.commits == 0


def test_a_push_that_broke_off_says_so_and_is_finished_by_the_same_call(hub, release):
    hub.broken = "/tag/"
    with pytest.raises(SynthmillError, match=r"(?s)is not whole at owner/name: .*out of order; .*run the same again"):
        push(release)
    assert hub.tags == {}
    hub.broken = ""
    said = push(release)
    assert hub.tags == {ew.VERSION: said["commit"]}


def test_a_plan_names_every_file_and_asks_nobody(hub, release):
    said = Plugin().plan(release, "owner/name", Plugin().options({}))
    assert said["files"] == {name: (release.path / name).stat().st_size for name in (*sums.files(release.path), sums.NAME)}
    assert said["bytes"] == sum(said["files"].values())
    assert (said["tag"], said["card"]["license"], said["private"]) == (ew.VERSION, "cc-by-4.0", True)
    assert hub.calls == []


def test_without_a_token_nothing_is_sent(hub, release, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UsageError, match="nothing was sent: there is no token"):
        push(release)
    assert hub.calls == []


def test_a_token_that_may_not_is_a_word_for_people(hub, release, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(SynthmillError, match=r"is not whole at owner/name: .*401"):
        push(release)
    assert hub.commits == 0


@pytest.mark.parametrize("to", ["name", "owner/name/more", "/tmp/folder", "owner/na me", ""])
def test_a_repository_is_named_by_owner_and_name(hub, release, to):
    with pytest.raises(UsageError, match=r"is not the id of a repository|says not whose repository"):
        push(release, to)
    assert hub.calls == []
