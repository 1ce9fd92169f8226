"""The report: both editions, on a small workspace made with the contract's own functions."""

import base64
import html
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import tasks.gates
from schema import plugins
from schema.digest import sha256_json, sha256_pixels, write_json
from schema.errors import IntegrityError, SynthmillError
from schema.record import REAL, encode_png, synthetic_schema
from schema.verdict import Null, Status, Subject, Verdict
from tasks import report
from tasks.reporting.evidence import without_paths
from tasks.reporting.facts import decision
from tasks.reporting.gather import read
from tasks.reporting.nearest import Closest, Nearest, nearest, summary
from tasks.reporting.render import look_up, shown
from tasks.shards import write_table

LABELS = ["normal", "pneumonia"]
HOSTILE = '<script>alert("x")</script> & "Co"'
PANEL = {"mia": 0.05, "utility": 0.95, "fd-domain": 0.5, "odd-one": 1.0}
GATE = """
from schema.params import GateConfig
from tasks.gates import Gate
class Plugin(Gate):
    kind = {kind!r}
    Config = GateConfig
    direction = "at_most"
    method = "A test's own."
"""

EVIDENCE = {
    "mia": {
        "auc": 0.5123456,
        "auc_interval": [0.48, 0.5432109],
        "tpr_at_1_fpr": 0.0123,
        "tpr_at_1_fpr_interval": [0.004, 0.031],
        "roc": [[i / 200, min(1, (i / 200) ** 0.95)] for i in range(201)],
        "null_roc": [[i / 200, i / 200] for i in range(201)],
        "timesteps": [50, 200, 600],
        "auc_by_timestep": {"50": 0.51, "200": 0.5087, "600": 0.497},
        "worst_class": {"label": "normal", "auc": 0.527, "interval": [0.46, 0.594]},
    },
    "utility": {
        "seeds": [0, 1, 2, 3, 4],
        "real": {"accuracy": [0.94, 0.93, 0.95, 0.94, 0.945], "auroc": [0.98, 0.981, 0.979, 0.983, 0.98]},
        "synthetic": {"accuracy": [0.93, 0.92, 0.94, 0.93, 0.925], "auroc": [0.97, 0.971, 0.969, 0.973, 0.97]},
        "real_again": {"accuracy": [0.938, 0.932, 0.948, 0.94, 0.944], "auroc": [0.98, 0.98, 0.98, 0.981, 0.98]},
        "n_train": 1000,
        "n_test": 524,
    },
    "fd-domain": {"distance": 12.75, "null_distance": 10.125, "relative": 0.259259, "features": 64, "network": "a small classifier"},
    # A plug-in that nobody has seen: scalars of its own, and a number an image under a name of its own.
    "odd-one": {"spread": 0.731, "site": "ward-seven", "scores": [i / 977 for i in range(300)], "roc": "not a curve"},
}
VALUES = {"mia": (0.0123, (-0.02, 0.0432)), "utility": (0.987, (0.97, 1.004)), "fd-domain": (0.259, (0.2, 0.32)), "odd-one": (None, None)}


def draw(rng: np.random.Generator, n: int, size: int = 16) -> np.ndarray:
    return rng.integers(0, 256, (n, size, size, 1), dtype=np.uint8)


def real_table(pixels: np.ndarray, split: str, labels: list[str]) -> pa.Table:
    ids = [sha256_json([split, i])[:16] for i in range(len(pixels))]
    rows = [
        {
            "id": name,
            "patient": sha256_json([name, "patient"])[:16],
            "split": split,
            "label": label,
            "image": {"bytes": encode_png(image), "path": f"{name}.png"},
            "sha256": sha256_pixels(image),
        }
        for name, image, label in zip(ids, pixels, labels, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=REAL)


def build(root: Path, real: dict[str, tuple[np.ndarray, list[str]]], synthetic: tuple[np.ndarray, list[str]], **card: str) -> None:
    """A workspace with the outs of ingest, train, sample and gate for the dataset `lungs`."""
    height, width, channels = synthetic[0].shape[1:]
    image = {"height": height, "width": width, "channels": channels}
    digests = {name: sha256_json(name) for name in ("real", "model", "synthetic")}
    folder = root / "data" / "ingest" / "lungs"
    splits, shards = {}, []
    for split, (pixels, labels) in real.items():
        digest = write_table(folder / f"{split}-00000.parquet", real_table(pixels, split, labels))
        shards.append({"file": f"{split}-00000.parquet", "split": split, "rows": len(pixels), "sha256": digest})
        splits[split] = {"images": len(pixels), "patients": len(pixels), "labels": {name: labels.count(name) for name in LABELS}}
    total = sum(len(pixels) for pixels, _ in real.values())
    manifest = {
        "dataset": "lungs",
        "source": {"kind": "phantom", "digest": sha256_json("source"), "files": ["/srv/hospital/mueller-anna.npz"]},
        "digest": digests["real"],
        "labels": LABELS,
        "image": image,
        "counts": {"in": total + 3, "out": total, "quarantined": {"the image cannot be read": 3}},
        "splits": splits,
        "checks": {"success": True, "evaluated": 13, "failed": []},
        "shards": shards,
    }
    write_json(folder / "manifest.json", manifest)
    training = {"kind": "ddpm", "channels": [16, 32], "lr": 0.001, "steps": 900, "init": "/srv/weights/init.pt"}
    drawing = {"n": len(synthetic[0]), "sampler": "dpm-solver++", "steps": 20, "base_seed": 1000}
    model = {
        "digest": digests["model"],
        "kind": "ddpm",
        "parameters": 690000,
        "params": training,
        "dataset_digest": digests["real"],
        "loss": 0.0421,
    }
    write_json(root / "data" / "models" / "lungs" / "model.json", model)
    folder = root / "data" / "samples" / "lungs"
    rows = [
        {
            "id": f"lungs-{i:08d}",
            "image": {"bytes": encode_png(pixels), "path": None},
            "label": LABELS.index(label),
            "label_name": label,
            "seed": 1000 + i,
            "sha256": sha256_pixels(pixels),
        }
        for i, (pixels, label) in enumerate(zip(*synthetic, strict=True))
    ]
    digest = write_table(folder / "shard-00000.parquet", pa.Table.from_pylist(rows, schema=synthetic_schema(LABELS)))
    manifest = {
        "dataset": "lungs",
        "digest": digests["synthetic"],
        "n": len(rows),
        "labels": {name: synthetic[1].count(name) for name in LABELS},
        "model": digests["model"],
        "params": drawing,
        "image": image,
        "shards": [{"file": "shard-00000.parquet", "rows": len(rows), "sha256": digest}],
    }
    write_json(folder / "manifest.json", manifest)
    words = {"title": "Lungs", "description": "Drawn.", "license": "CC0-1.0", "modality": "X-ray", "source_license": "CC0-1.0", **card}
    section = {
        "card": words,
        "ingest": {"source": {"kind": "phantom"}, "image": image, "labels": LABELS},
        "train": training,
        "sample": drawing,
        "gates": {name: {"threshold": bound, "required": name != "odd-one"} for name, bound in PANEL.items()},
    }
    text = yaml.safe_dump({"build": ["lungs"], "panel": list(PANEL), "datasets": {"lungs": section}})
    (root / "params.yaml").write_text(text, encoding="utf-8")
    for name in PANEL:
        verdict(name, Subject(**digests)).save(root / "reports" / "lungs" / "gates" / name / "verdict.json")


def verdict(name: str, subject: Subject) -> Verdict:
    value, interval = VALUES[name]
    return Verdict(
        gate=name,
        status=Status.PASS if value is not None else Status.INSUFFICIENT,
        value=value,
        interval=interval,
        threshold=PANEL[name],
        direction="at_least" if name == "utility" else "at_most",
        null=Null(value=0.5012, interval=(0.47, 0.53), what="holdout against holdout"),
        n={"members": 1234, "non_members": 300},
        unit="AUC minus null AUC" if name == "mia" else "ratio",
        method="Measured by a test, for a test.",
        reason="The attacker does no better than guessing." if name == "mia" else "A sentence.",
        evidence=EVIDENCE[name],
        needs=[] if value is not None else ["SYNTHMILL_SOMETHING"],
        required=name != "odd-one",
        config={"required": name != "odd-one", "threshold": PANEL[name]},
        subject=subject,
    )


@contextmanager
def made(folder: Path, planted: bool = False) -> Iterator[Path]:
    """The outs of the stages before, as random images; the panel's gates are files of their own, `odd-one` among them."""
    gates = folder / "gates"
    gates.mkdir()
    for name in PANEL:
        (gates / f"report_test_{name.replace('-', '_')}.py").write_text(GATE.format(kind=name))
    root = folder / "root"
    rng = np.random.default_rng(5)
    real = {split: (draw(rng, n), [LABELS[i % 2] for i in range(n)]) for split, n in (("train", 90), ("holdout", 60), ("test", 20))}
    synthetic = draw(rng, 80)
    if planted:
        synthetic[7] = real["train"][0][41]  # an exact copy
    synthetic[9] = real["train"][0][13][:, ::-1]  # a mirrored one, always
    build(root, real, (synthetic, [LABELS[i % 2] for i in range(80)]), title=HOSTILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.gates, "__path__", [str(gates)])
        patch.setenv("SYNTHMILL_ROOT", str(root))
        plugins.find.cache_clear()
        yield root
    plugins.find.cache_clear()


@pytest.fixture
def workspace(tmp_path) -> Iterator[Path]:
    with made(tmp_path) as root:
        yield root


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """One workspace with a planted copy, whose report has been written, to be read only; and the report's files."""
    with made(tmp_path_factory.mktemp("reported"), planted=True) as root:
        return root, written(root)


def outputs(root: Path) -> dict[str, bytes]:
    folder = root / "reports" / "lungs" / "report"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def written(root: Path) -> dict[str, str]:
    report.run("lungs")
    return {name: data.decode() for name, data in outputs(root).items()}


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


def set_verdict(root: Path, name: str, **changes) -> None:
    path = root / "reports" / "lungs" / "gates" / name / "verdict.json"
    Verdict.load(path).model_copy(update=changes).save(path)


def test_public_edition_holds_nothing_of_a_single_real_image(reported):
    workspace, pages = reported
    real = real_crops(workspace)
    shown_inside = {crop for picture in pictures(pages["internal.html"]) for crop in crops(picture, 16)}
    shown_outside = {crop for picture in pictures(pages["public/report.html"]) for crop in crops(picture, 16)}
    assert len(real & shown_inside) > 50  # the check does see real images where there are some
    assert not real & shown_outside  # the two planted copies are synthetic images, and would be on the sheet
    inside = json.loads(pages["report.json"])
    secrets = {pair[key] for pair in inside["nearest"]["pairs"] + inside["nearest"]["null_pairs"] for key in ("id", "train_id")}
    secrets |= {entry[key] for split in ("train", "holdout") for entry in rows_of(workspace, split) for key in ("id", "patient")}
    assert len(secrets) > 300
    public = pages["public/report.html"] + pages["public/report.json"]
    assert not [
        secret
        for secret in secrets | {"mueller", "/srv", "ward-seven", "0.731", "scores", "salt", "the image cannot be read"}
        if secret in public
    ]
    assert "ward-seven" in pages["internal.html"]
    assert "/srv" not in "".join(pages.values())
    distances = {pair["distance"] for pair in inside["nearest"]["pairs"] + inside["nearest"]["null_pairs"]} - {0.0}
    assert distances <= numbers_of(inside)
    assert not distances & numbers_of(json.loads(pages["public/report.json"]))
    assert len(json.loads(pages["public/report.json"])["gates"][0]["evidence"]["roc"]) == 21


def rows_of(root: Path, split: str) -> list[dict]:
    return pq.read_table(root / "data" / "ingest" / "lungs" / f"{split}-00000.parquet", columns=["id", "patient"]).to_pylist()


def test_pages_are_self_contained_and_escape_what_they_are_given(workspace):
    set_verdict(workspace, "mia", reason="<img src=x onerror=alert(1)>", evidence={"<b>bold</b>": "<i>", "auc": 0.5})
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
    for page, facts in (("internal.html", "report.json"), ("public/report.html", "public/report.json")):
        graph = json.loads(pages[facts])
        cited = re.findall(r'<data value="([^"]*)" data-at="([^"]*)" data-form="([^"]*)">([^<]*)</data>', pages[page])
        assert len(cited) > 100
        for value, at, form, text in cited:
            assert json.loads(value) == look_up(graph, html.unescape(at))
            assert text == shown(json.loads(value), form)
        texts = {at: text for _, at, _, text in cited}
        assert texts["/gates/0/value"] == "0.012"
        assert texts["/gates/0/interval/0"] == "−0.020"
        assert texts["/gates/0/threshold"] == "0.050"
        assert texts["/gates/1/means/accuracy/synthetic"] == "0.929"  # (0.93 + 0.92 + 0.94 + 0.93 + 0.925) / 5
        assert texts["/data/columns/train/shares/normal"] == "50.0\u202f%"
        assert texts["/nearest/copies/synthetic"] == "2"


def test_nearest_is_what_brute_force_finds_whatever_the_block():
    rng = np.random.default_rng(3)
    queries, references = draw(rng, 23, 6), draw(rng, 31, 6)
    references[30] = references[4]  # of two equally near, the first
    queries[8] = references[4][:, ::-1]
    apart = np.array(
        [[[np.sqrt(np.mean((q[:, ::step].astype(int) - r) ** 2)) for r in references] for step in (1, -1)] for q in queries.astype(int)]
    )
    for block_bytes in (1, 5 * 36 * 8, 2**20):
        found = nearest(queries, references, block_bytes=block_bytes)
        np.testing.assert_allclose(found.distance, apart.min(axis=(1, 2)), rtol=1e-12)
        np.testing.assert_array_equal(found.index, apart.min(axis=1).argmin(axis=1))
        np.testing.assert_array_equal(found.mirrored, apart.min(axis=2).argmin(axis=1) == 1)
    assert found.distance[8] == 0
    assert found.index[8] == 4


def test_a_planted_copy_is_shown_first_at_distance_zero(reported):
    workspace, pages = reported
    nearest_of = json.loads(pages["report.json"])["nearest"]
    first, second = nearest_of["pairs"][:2]
    train = rows_of(workspace, "train")
    assert (first["id"], first["train_id"], first["distance"], first["mirrored"]) == ("lungs-00000007", train[41]["id"], 0, False)
    assert (second["id"], second["train_id"], second["distance"], second["mirrored"]) == ("lungs-00000009", train[13]["id"], 0, True)
    assert nearest_of["copies"] == {"synthetic": 2, "holdout": 0}
    assert pages["internal.html"].count("<strong>an exact copy") == 2


def test_tails_are_counted_against_the_holdout():
    def at(distances) -> Nearest:
        return Nearest(np.zeros(len(distances), dtype=np.int64), np.array(distances, dtype=float), np.zeros(len(distances), dtype=bool))

    holdout = at(np.arange(1, 501))
    found = summary(Closest(at([6.0] * 100), holdout))
    assert [(tail["distance"], tail["holdout"], tail["synthetic"]) for tail in found["tails"]] == [(1, 1, 0), (5, 5, 0)]
    # Clopper and Pearson for none of n: from 0 to 1 - 0.025^(1/n)
    assert found["tails"][1]["synthetic_share_interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 100)])
    found = summary(Closest(at([0, 0, 1, 5, 5, 6, 600, 900]), holdout))
    assert [tail["synthetic"] for tail in found["tails"]] == [3, 5]
    assert found["copies"] == {"synthetic": 2, "holdout": 0}
    assert [row["synthetic"] for row in found["quantiles"]][-3:] == [5, 6, 900]  # the 4th, 6th and 8th of eight
    histogram = found["histogram"]
    assert sum(histogram["synthetic"]) == pytest.approx(1)
    assert len(histogram["edges"]) == len(histogram["holdout"]) + 1


def test_decision_is_the_release_rule(workspace):
    def decided() -> tuple[bool, list[str]]:
        found = decision(read("lungs"))
        return found["releasable"], [entry["gate"] for entry in found["objections"]]

    def shown_as(words: str) -> None:
        pages = written(workspace)
        assert all(f'class="verdict">{words}<' in pages[page] for page in ("internal.html", "public/report.html"))
        assert json.loads(pages["report.json"])["decision"] == json.loads(pages["public/report.json"])["decision"]

    shown_as("May be released")
    assert decided() == (True, [])  # odd-one is INSUFFICIENT, but only informs
    set_verdict(workspace, "mia", status=Status.FAIL, value=0.21, interval=(0.18, 0.24))
    assert decided() == (False, ["mia"])
    set_verdict(workspace, "utility", subject=Subject(real="a", synthetic="b", model="c"))
    assert decided() == (False, ["mia", "utility"])
    (workspace / "reports" / "lungs" / "gates" / "fd-domain" / "verdict.json").unlink()
    assert decided() == (False, ["mia", "utility", "fd-domain"])
    said = yaml.safe_load((workspace / "params.yaml").read_text())
    said["datasets"]["lungs"]["gates"]["odd-one"]["required"] = True  # after it measured
    (workspace / "params.yaml").write_text(yaml.safe_dump(said))
    assert decided() == (False, ["mia", "utility", "fd-domain", "odd-one"])
    shown_as("Refused")


def test_an_exact_copy_is_refused_whatever_the_gates_say(reported):
    found = json.loads(reported[1]["public/report.json"])["decision"]
    assert (found["releasable"], found["copies"], [entry["gate"] for entry in found["objections"]]) == (False, 1, [None])
    assert "equal a real image, pixel for pixel: 1." in reported[1]["internal.html"]


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {
            "auc": "high",
            "roc": [[0, 0]],
            "auc_by_timestep": [1, 2],
            "worst_class": {"label": 3},
            "real": [1],
            "synthetic": {"accuracy": "x"},
        },
        {
            "roc": [[0, 0], [0.5, 0.5], [1, 1]],
            "synthetic": {"accuracy": [0.9]},
            "distance": 3,
            "$\\bad{": 1,
            "a/b~c": 0.25,
            "auc_by_timestep": {"late": 0.5},
        },
    ],
)
def test_evidence_of_any_shape_makes_a_page(workspace, evidence):
    for name in PANEL:
        set_verdict(workspace, name, evidence=evidence)
    pages = written(workspace)
    assert json.loads(pages["report.json"])["gates"][0]["evidence"] == evidence
    assert ('data-at="/gates/0/evidence/a~1b~0c"' in pages["internal.html"]) == ("a/b~c" in evidence)
    assert "a/b~c" not in pages["public/report.json"]


def test_what_nobody_measured_is_listed(reported):
    said = {entry["what"]: entry["why"] for entry in json.loads(reported[1]["public/report.json"])["not_measured"]}
    assert "SYNTHMILL_SOMETHING" in said["odd-one (odd-one)"]
    assert {"Differential privacy", "Attribute inference", "Reading by clinicians", "Stronger membership attackers"} <= set(said)


def test_a_panel_without_a_kind_of_gate_says_so(workspace):
    said = yaml.safe_load((workspace / "params.yaml").read_text())
    said["panel"] = ["odd-one"]
    said["datasets"]["lungs"]["gates"] = {"odd-one": {"threshold": PANEL["odd-one"], "required": False}}
    (workspace / "params.yaml").write_text(yaml.safe_dump(said))
    found = json.loads(written(workspace)["public/report.json"])
    absent = {entry["what"]: entry["why"] for entry in found["not_measured"]}
    for what in ("Membership inference", "Usefulness", "Realism"):
        assert absent[what].startswith("No gate of this panel measures it")
    assert "Stronger membership attackers" not in absent
    assert not [limit for limit in found["limits"] if "Usefulness was measured" in limit or "Membership attacks" in limit]
    assert (found["decision"]["releasable"], found["decision"]["required"]) == (False, []), "nothing could hold it back"


def test_a_gate_in_the_panel_is_not_said_to_be_absent(reported):
    found = json.loads(reported[1]["public/report.json"])
    assert not {"Membership inference", "Usefulness", "Realism"} & {entry["what"] for entry in found["not_measured"]}
    assert [limit for limit in found["limits"] if "Usefulness was measured" in limit]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /srv/ward/mueller-anna.npz: set X", "cannot read (a local path): set X"),
        ("it is '/srv/Anna M/x.npz' here", "it is (a local path) here"),
        (r"from C:\Users\anna\x.npz, then", "from (a local path), then"),
        ("file=~/anna/x.pt", "file=(a local path)"),
        ("read:/srv/anna or ../anna/x", "read:(a local path) or (a local path)"),
        ("s3://ward-7/anna", "(a local path)"),
        ("and/or, 1/2, a / b, </b>, https://example.org/a", "and/or, 1/2, a / b, </b>, https://example.org/a"),
    ],
)
def test_paths_are_taken_out_of_any_text(text, left):
    assert without_paths({"words": [text]}) == {"words": [left]}


def test_a_gates_own_words_bring_no_path_into_a_page(workspace):
    words = "The file /srv/hospital/mueller-anna.pt was not there."
    set_verdict(workspace, "mia", status=Status.INSUFFICIENT, reason=words, method=words)
    assert "mueller" not in "".join(written(workspace).values())


def test_classes_of_few_people_are_not_counted_in_public(workspace):
    path = workspace / "data" / "ingest" / "lungs" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["splits"]["test"]["labels"] = {"normal": 17, "pneumonia": 3}
    write_json(path, manifest)
    pages = written(workspace)
    assert json.loads(pages["report.json"])["data"]["columns"]["test"]["counts"] == {"normal": 17, "pneumonia": 3}
    data = json.loads(pages["public/report.json"])["data"]
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
    said = yaml.safe_load((workspace / "params.yaml").read_text())
    said["datasets"]["lungs"]["report"] = {"pairs": 6}  # all that the budget of pixels is for: noise does not compress
    (workspace / "params.yaml").write_text(yaml.safe_dump(said))
    pages = written(workspace)
    assert all(len(page) < 2_000_000 for page in pages.values())
    assert len(pictures(pages["internal.html"])) == 4 + 2 * 6 + 2 * 6


def test_outs_that_do_not_belong_together_are_refused(workspace):
    path = workspace / "data" / "samples" / "lungs" / "manifest.json"
    whole = path.read_text()
    write_json(path, {**json.loads(whole), "model": "0" * 64})
    with pytest.raises(IntegrityError, match=r"samples/lungs/manifest\.json.*another model"):
        report.run("lungs")
    path.write_text(whole)
    (workspace / "reports" / "lungs" / "gates" / "mia" / "verdict.json").write_text('{"gate": "mia"}')
    with pytest.raises(SynthmillError, match=r"mia/verdict\.json is not a verdict \(status: Field required\)"):
        report.run("lungs")
    path.unlink()
    with pytest.raises(SynthmillError, match=r"manifest\.json is missing: run the stages before"):
        report.run("lungs")
