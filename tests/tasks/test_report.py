"""The report: both editions, on a small workspace made with the contract's own functions."""

import base64
import html
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from schema.digest import write_json
from schema.errors import IntegrityError, SynthmillError
from schema.verdict import Status, Subject
from tasks import report
from tasks.reporting.decision import decision
from tasks.reporting.gather import read
from tasks.reporting.render import look_up, shown
from tasks.reporting.scrub import without_names, without_paths
from tests.report_verdicts import LABELS, PANEL
from tests.report_workspace import HOSTILE, build, change_params, facts, made, outputs, real_rows, set_verdict, verdict_path, written

PLACE = {kind: place for place, kind in enumerate(PANEL)}


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    with made(tmp_path) as root:
        yield root


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """One workspace with a planted copy, whose report has been written, to be read only; and the report's files."""
    with made(tmp_path_factory.mktemp("reported"), planted=True) as root:
        pages = written(root)
    return root, pages


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


def crops(picture: np.ndarray, size: int) -> set[bytes]:
    """Every size x size crop of a grey picture."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size))
    return {window.tobytes() for row in windows for window in row}


def real_crops(root: Path) -> set[bytes]:
    images = [
        np.asarray(Image.open(io.BytesIO(image["bytes"])))
        for path in (root / "data" / "ingest" / "lungs").glob("*.parquet")
        for image in pq.read_table(path)["image"].to_pylist()
    ]
    assert len(images) == 170
    return {np.ascontiguousarray(image[:, ::step]).tobytes() for image in images for step in (1, -1)}


def numbers_of(value) -> set[float]:
    if isinstance(value, dict | list):
        return set().union(*map(numbers_of, value.values() if isinstance(value, dict) else value), set())
    return {value} if isinstance(value, float) else set()


def test_public_edition_holds_nothing_of_a_single_real_image(reported):
    workspace, pages = reported
    real = real_crops(workspace)
    shown_inside = {crop for picture in pictures(pages["internal.html"]) for crop in crops(picture, 16)}
    shown_outside = {crop for picture in pictures(pages["public/report.html"]) for crop in crops(picture, 16)}
    assert len(real & shown_inside) > 50  # the check does see real images where there are some
    assert not real & shown_outside  # the two planted copies are synthetic images, and would be on the sheet
    inside, public = json.loads(pages["report.json"]), json.loads(pages["public/report.json"])
    secrets = {pair[key] for pair in inside["nearest"]["pairs"] + inside["nearest"]["null_pairs"] for key in ("id", "train_id")}
    secrets |= {entry[key] for split in ("train", "holdout") for entry in real_rows(workspace, split) for key in ("id", "patient")}
    assert len(secrets) > 300
    # The letters of a picture are any letters.
    text = {name: re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", page) for name, page in pages.items()}
    out = text["public/report.html"] + text["public/report.json"]
    words = {"mueller", "/srv", "ward-seven", "0.731", "image_scores", "salt", "the image cannot be read"}
    assert not [secret for secret in secrets | words if secret in out]
    assert "ward-seven" in pages["internal.html"]
    assert "/srv" not in "".join(text.values())
    distances = {pair["distance"] for pair in inside["nearest"]["pairs"] + inside["nearest"]["null_pairs"]} - {0.0}
    distances |= {pair["distance"] for pair in inside["gates"][PLACE["replica"]]["evidence"]["pairs"]}
    assert distances <= numbers_of(inside)
    assert not distances & numbers_of(public)
    assert len(public["gates"][PLACE["mia-white-box"]]["evidence"]["roc"]) == 21


def test_pages_are_self_contained_and_escape_what_they_are_given(workspace):
    set_verdict(workspace, "mia-query", reason="<img src=x onerror=alert(1)>", evidence={"<b>bold</b>": "<i>", "auc": 0.5})
    pages = written(workspace)
    for name in ("internal.html", "public/report.html"):
        page = pages[name]
        assert "<script" not in page
        assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &#34;Co&#34;" in page
        assert "<img src=x" not in page
        assert "<b>bold" not in page
        assert set(re.findall(r"https?://[^\s\"'<)]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert all(target.startswith(("#", "data:image/png;base64,")) for target in re.findall(r'(?:src|href)="([^"]*)"', page))
        ids = re.findall(r'\bid="([^"]*)"', page)
        assert len(ids) == len(set(ids))
        assert {target[1:] for target in re.findall(r'href="(#[^"]*)"', page)} <= set(ids)
    assert json.loads(pages["report.json"])["dataset"]["title"] == HOSTILE


def test_same_inputs_give_the_same_bytes_wherever_they_are(workspace, tmp_path, monkeypatch):
    report.run("lungs")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(workspace, elsewhere, ignore=shutil.ignore_patterns("report"))
    monkeypatch.setenv("SYNTHMILL_ROOT", str(elsewhere))
    report.run("lungs")
    assert outputs(elsewhere) == outputs(workspace)
    assert sorted(outputs(workspace)) == ["internal.html", "public/report.html", "public/report.json", "report.json"]
    assert str(tmp_path).encode() not in b"".join(outputs(workspace).values())


def test_each_number_of_a_page_is_the_one_in_its_json(reported):
    pages = reported[1]
    for page, graph_of in (("internal.html", "report.json"), ("public/report.html", "public/report.json")):
        graph = json.loads(pages[graph_of])
        cited = re.findall(r'<data value="([^"]*)" data-at="([^"]*)" data-form="([^"]*)">([^<]*)</data>', pages[page])
        assert len(cited) > 500
        for value, at, form, text in cited:
            assert json.loads(value) == look_up(graph, html.unescape(at))
            assert text == shown(json.loads(value), form, graph["edition"] == "public")
        texts = {at: text for _, at, _, text in cited}
        utility = f"/gates/{PLACE['utility']}"
        # Measured is 0.5012 + 0.01, the mean (0.93 + 0.92 + 0.94 + 0.93 + 0.925) / 5; in public of two digits, intervals outwards.
        seen = [texts[f"{utility}/{at}"] for at in ("value", "measured", "null/value", "threshold", "means/accuracy/synthetic")]
        internal = page == "internal.html"
        assert seen == (["0.010", "0.511", "0.501", "−0.05", "0.929"] if internal else ["0.010", "0.51", "0.50", "−0.05", "0.93"])
        assert texts["/data/columns/train/shares/normal"] == ("50.0\u202f%" if internal else "50\u202f%")
        assert texts["/nearest/copies/synthetic"] == "2"


def test_a_planted_copy_is_shown_first_at_distance_zero(reported):
    workspace, pages = reported
    nearest_of = json.loads(pages["report.json"])["nearest"]
    first, second = nearest_of["pairs"][:2]
    train = real_rows(workspace, "train")
    assert (first["id"], first["train_id"], first["distance"], first["mirrored"]) == ("lungs-00000007", train[41]["id"], 0, False)
    assert (second["id"], second["train_id"], second["distance"], second["mirrored"]) == ("lungs-00000009", train[13]["id"], 0, True)
    assert nearest_of["copies"] == {"synthetic": 2, "holdout": 0}
    assert pages["internal.html"].count("<strong>an exact copy") == 2


def test_decision_is_the_release_rule(workspace):
    def decided() -> tuple[bool, list[str]]:
        found = decision(read("lungs"))
        return found["releasable"], [entry["gate"] for entry in found["objections"]]

    def shown_as(words: str) -> None:
        pages = written(workspace)
        assert all(f'class="verdict">{words}<' in pages[page] for page in ("internal.html", "public/report.html"))
        inside, public = (json.loads(pages[name])["decision"] for name in ("report.json", "public/report.json"))
        assert [entry["gate"] for entry in inside["objections"]] == [entry["gate"] for entry in public["objections"]]
        assert {**inside, "objections": []} == {**public, "objections": []}

    shown_as("May be released")
    assert decided() == (True, [])  # fid, cmmd, dp-claim and odd-one are INSUFFICIENT, but only inform
    set_verdict(workspace, "mia-query", status=Status.FAIL, value=0.21, interval=(0.18, 0.24))
    assert decided() == (False, ["mia-query"])
    set_verdict(workspace, "utility", subject=Subject(real="a", synthetic="b", model="c"))
    assert decided() == (False, ["mia-query", "utility"])
    verdict_path(workspace, "fd-domain").unlink()
    assert decided() == (False, ["mia-query", "utility", "fd-domain"])
    change_params(workspace, lambda said: said["datasets"]["lungs"]["gates"]["odd-one"].update(required=True))  # after it measured
    assert decided() == (False, ["mia-query", "utility", "fd-domain", "odd-one"])
    shown_as("Refused")


def test_an_exact_copy_is_refused_whatever_the_gates_say(reported):
    found = json.loads(reported[1]["public/report.json"])["decision"]
    assert (found["releasable"], found["copies"], [entry["gate"] for entry in found["objections"]]) == (False, 1, [None])
    assert "equal a real image, pixel for pixel: 1." in reported[1]["internal.html"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /srv/ward/mueller-anna.npz: set X", "cannot read (a local path): set X"),
        ("it is '/srv/Anna M/x.npz' here", "it is (a local path) here"),
        (r"from C:\Users\anna\x.npz, then", "from (a local path), then"),
        ("file=~/anna/x.pt", "file=(a local path)"),
        ("read:/srv/anna or ../anna/x", "read:(a local path) or (a local path)"),
        ("s3://ward-7/anna", "(a local path)"),
        ("run `./mill run` or ./mill.sh or ./anna/mill", "run `./mill run` or (a local path) or (a local path)"),
        ("and/or, 1/2, a / b, </b>, https://example.org/a", "and/or, 1/2, a / b, </b>, https://example.org/a"),
    ],
)
def test_paths_are_taken_out_of_any_text(text, left):
    assert without_paths({"words": [text]}) == {"words": [left]}


def test_a_text_that_holds_a_real_id_is_withheld_wherever_the_id_stands_in_it():
    name = "0123456789abcdef"
    given = {f"x{name}": [f"scan_{name}.png", "the rest", 3], "digest": "f" * 64}
    withheld = "(withheld: it named a real record)"
    assert without_names(given, {name}) == {withheld: [withheld, "the rest", 3], "digest": "f" * 64}
    assert without_names(given, set()) == given


def test_a_gates_own_words_bring_no_path_into_a_page(workspace):
    words = "The file /srv/hospital/mueller-anna.pt was not there."
    set_verdict(workspace, "mia-query", status=Status.INSUFFICIENT, reason=words, method=words)
    assert "mueller" not in "".join(written(workspace).values())


def test_classes_of_few_people_are_not_counted_in_public(workspace):
    path = workspace / "data" / "ingest" / "lungs" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["test"]["labels"] = {"normal": 17, "pneumonia": 3}
    write_json(path, manifest)
    inside, public = facts()
    assert inside["data"]["columns"]["test"]["counts"] == {"normal": 17, "pneumonia": 3}
    data = public["data"]
    assert data["columns"]["test"] == {
        "images": 20,
        "patients": 20,
        "counts": {"normal": 20, "pneumonia": 0},
        "shares": {"normal": 1, "pneumonia": 0},
    }
    assert data["columns"]["train"]["counts"] == {"normal": 45, "pneumonia": 45}


def test_large_colour_images_keep_the_page_under_two_megabytes(workspace):
    rng = np.random.default_rng(1)
    sizes = {"train": 24, "holdout": 6, "test": 2, "synthetic": 24}
    noise = {name: (rng.integers(0, 256, (n, 120, 120, 3), dtype=np.uint8), [LABELS[i % 2] for i in range(n)]) for name, n in sizes.items()}
    synthetic = noise.pop("synthetic")
    build(workspace, noise, synthetic)
    # All that the budget of pixels is for: noise does not compress.
    change_params(workspace, lambda said: said["datasets"]["lungs"].update(report={"pairs": 6}))
    pages = written(workspace)
    assert all(len(page) < 2_000_000 for page in pages.values())
    assert len(pictures(pages["internal.html"])) == 4 + 2 * 6 + 2 * 6 + 2 * 2


def test_outs_that_do_not_belong_together_are_refused(workspace):
    path = workspace / "data" / "samples" / "lungs" / "manifest.json"
    whole = path.read_text()
    write_json(path, {**json.loads(whole), "model": "0" * 64})
    with pytest.raises(IntegrityError, match=r"samples/lungs/manifest\.json.*another model"):
        report.run("lungs")
    path.write_text(whole)
    verdict_path(workspace, "mia-query").write_text('{"gate": "mia-query"}')
    with pytest.raises(SynthmillError, match=r"mia-query/verdict\.json is not a verdict \(status: Field required\)"):
        report.run("lungs")
    path.unlink()
    with pytest.raises(SynthmillError, match=r"manifest\.json is missing: run the stages before"):
        report.run("lungs")
