"""A workspace in which every stage before `release` has run: small, made by hand, with the layouts and digests of the real stages."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from schema import params
from schema.conditions import Condition
from schema.digest import read_json, sha256_file, sha256_json, sha256_pixels, sha256_set, write_json
from schema.record import REAL, SPLITS, encode_png, synthetic_schema
from schema.release import record_digest
from schema.verdict import Null, Subject, Verdict
from tasks.configs import gate_config, generator_config
from tasks.ingesting.keys import key_mark, keyed, one_spelling, person

CHECKOUT = Path(__file__).resolve().parent.parent
NAME = "pneumonia"
CLASSES = ["normal", "pneumonia"]
TOLD = [
    Condition(attribute="view", values=["PA", "AP"]),
    *(Condition(attribute="findings", label=label, values=["no", "yes"]) for label in ("Effusion", "Mass")),
]
"""What the generator was told besides the class: one word of two, and any of two."""

PARAMS = {
    "build": [NAME],
    "panel": ["mia-white-box", "fid"],
    "datasets": {
        NAME: {
            "card": {
                "title": "Synthetic test images",
                "description": "Noise, for tests.",
                "license": "CC-BY-4.0",
                "modality": "chest radiograph",
                "source_license": "CC-BY-4.0",
                "citation": "Somebody, 2023",
            },
            "ingest": {
                "source": {"kind": "medmnist", "file": "/home/somebody/patients.npz", "classes": {0: "normal", 1: "pneumonia"}},
                "image": {"height": 16, "width": 16, "channels": 1},
                "labels": CLASSES,
                "attributes": {
                    "view": {"kind": "class", "values": ["PA", "AP"]},
                    "findings": {"kind": "multi-label", "values": ["Effusion", "Mass"]},
                },
                "split": {"salt": "a-secret-salt"},
            },
            "train": {"kind": "ddpm", "steps": 10, "seed": 3, "conditions": {"view": {}, "findings": {}}},
            "sample": {"n": 12, "base_seed": 500, "batch_size": 4, "shard_size": 8},
            "gates": {"mia-white-box": {"threshold": 0.05}, "fid": {"required": False, "threshold": 20.0}},
        }
    },
}

GRAPH = """\
artifacts:
  pneumonia: {path: data/releases/pneumonia, type: dataset}
stages:
  release:
    foreach: ${datasets}
    do:
      cmd: python -m tasks.release ${key}
      params: ["datasets.${key}.card", "datasets.${key}.gates"]
      deps:
        - data/ingest/${key}
        - data/models/${key}
        - data/samples/${key}
        - reports/${key}/gates
        - reports/${key}/report
      outs:
        - data/releases/${key}: {persist: true}
"""


SETTINGS = """\
[core]
    analytics = false
    remote = store
['remote "store"']
    url = ~/.synthmill/store
"""


class Workspace:
    """`root`: the checkout; `home`: the user's home, whose DVC store it pushes to."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home

    @property
    def env(self) -> dict[str, str]:
        """A user with an empty home, no git identity and no settings of this machine."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_", "SYNTHMILL_"))}
        return {
            **clean,
            "HOME": str(self.home),
            "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_SITE_CACHE_DIR": str(self.home / "dvc-site"),
            "DVC_NO_ANALYTICS": "1",
            "SYNTHMILL_ROOT": str(self.root),
            "SYNTHMILL_CACHE": str(self.home / "cache"),
            "PYTHONPATH": str(CHECKOUT),
        }

    def adopt(self, monkeypatch) -> "Workspace":
        """Makes this process work in the workspace."""
        for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_", "SYNTHMILL_"))]:
            monkeypatch.delenv(name)
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        return self

    def git(self, *arguments: str) -> str:
        words = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@localhost", "-C", str(self.root), *arguments]
        return subprocess.run(words, env=self.env, capture_output=True, text=True, check=True).stdout.strip()

    def dvc(self, *words: str, cwd: Path | None = None) -> str:
        env = {**self.env, "PATH": f"{Path(sys.executable).parent}:{self.env['PATH']}"}
        command = [sys.executable, "-P", "-m", "dvc", *words]
        result = subprocess.run(command, cwd=cwd or self.root, env=env, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def publish(self, before: str = "") -> int:
        """Publishes in a process of its own, after running the code `before` in it; how the process ended."""
        code = f"import os, signal\nfrom catalog import git, publish, store\n{before}\npublish.publish({NAME!r})"
        return subprocess.run([sys.executable, "-c", code], cwd=self.root, env=self.env, check=False).returncode

    @property
    def release(self) -> Path:
        return self.root / "data" / "releases" / NAME

    def edit_params(self, change) -> None:
        value = yaml.safe_load((self.root / "params.yaml").read_text())
        change(value["datasets"][NAME])
        (self.root / "params.yaml").write_text(yaml.safe_dump(value, sort_keys=False))

    @property
    def subject(self) -> Subject:
        def digest(*path: str) -> str:
            return read_json(self.root.joinpath("data", *path))["digest"]

        return Subject(
            real=digest("ingest", NAME, "manifest.json"),
            synthetic=digest("samples", NAME, "manifest.json"),
            model=digest("models", NAME, "model.json"),
        )


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 1), dtype=np.uint8)


def build(root: Path, home: Path) -> Workspace:
    """Everything but the commit and what DVC runs."""
    home.mkdir(parents=True, exist_ok=True)
    root.mkdir(parents=True)
    workspace = Workspace(root, home)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    (root / "requirements.lock").write_text("torch==0\n")
    (root / ".gitignore").write_text("/data/*\n/reports/*\n__pycache__/\n")
    (root / "dvc.yaml").write_text(GRAPH)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text(SETTINGS)
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    write_ingest(root)
    said = {"digest": "d" * 64, "kind": "ddpm", "parameters": 7, "loss": 0.1, "canaries": None, "privacy": None}
    trained = generator_config(NAME, params.load(root / "params.yaml").dataset(NAME)).model_dump(mode="json")
    write_json(root / "data/models" / NAME / "model.json", {**said, "params": trained})
    write_samples(root, range(12))
    judge(workspace)
    return workspace


def commit(workspace: Workspace) -> None:
    workspace.git("init", "--quiet", "--initial-branch", "main")
    workspace.git("add", "--all")
    workspace.git("commit", "--quiet", "--message", "The code")


def write_ingest(root: Path) -> None:
    """Two real images in each split, drawn from seeds 9000 on."""
    folder = root / "data/ingest" / NAME
    folder.mkdir(parents=True)
    shards, digests = [], []
    for number, split in enumerate(SPLITS):
        rows = []
        for seed in (9000 + 2 * number, 9001 + 2 * number):
            image = pixels(seed)
            row = {"id": f"{seed:016x}", "patient": f"{seed:08x}ffffffff", "split": split, "label": CLASSES[seed % 2]}
            rows.append({**row, "image": {"bytes": encode_png(image), "path": f"{seed}.png"}, "sha256": sha256_pixels(image)})
            digests.append(sha256_json([*row.values(), sha256_pixels(image)]))
        name = f"{split}-00000.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=REAL), folder / name)
        shards.append({"file": name, "split": split, "rows": 2, "sha256": sha256_file(folder / name)})
    write_json(
        folder / "manifest.json",
        {
            "dataset": NAME,
            "source": {"kind": "medmnist", "digest": "5" * 64, "files": 1},
            "digest": sha256_set(digests),
            "labels": CLASSES,
            "image": {"height": 16, "width": 16, "channels": 1},
            "shards": shards,
        },
    )


def deal(root: Path, people: dict[str, str], population: str = "hospital") -> None:
    """{the source's own id of a patient: split}: the lists that ingest writes of them, a record each, under a digest of their own."""
    manifest = root / "data/ingest" / NAME / "manifest.json"
    write_json(manifest, {**read_json(manifest), "digest": sha256_json(people)})
    key = {name: (keyed(NAME, "record", name), keyed(NAME, "patient", one_spelling(name)), person(population, name)) for name in people}
    lists = {"splits.csv": ["id,patient,split,label"], "persons.csv": ["patient,person,split"]}
    lists["splits.csv"] += [f"{key[name][0]},{key[name][1]},{split},normal" for name, split in people.items()]
    lists["persons.csv"] += [f"{key[name][1]},{key[name][2]},{split}" for name, split in people.items()]
    for name, lines in lists.items():
        (root / "data/ingest" / NAME / name).write_text("\n".join([*lines, ""]))
    dealt = {key[name][1]: split for name, split in people.items()}
    write_json(root / "data/splits" / f"{NAME}.json", {"by": "patient", "salt": "", "key": key_mark(), "patients": dealt})


def train(workspace: "Workspace", digest: str, privacy: dict | None = None, seeds=range(12)) -> None:
    """Another model, and images drawn from it, judged and built by DVC up to the release."""
    path = workspace.root / "data/models" / NAME / "model.json"
    trained_on = read_json(workspace.root / "data/ingest" / NAME / "manifest.json")["digest"]
    write_json(path, {**read_json(path), "digest": digest, "privacy": privacy, "dataset_digest": trained_on})
    write_samples(workspace.root, seeds, model=digest)
    judge(workspace)
    workspace.dvc("repro", "--quiet")


def write_samples(root: Path, seeds, shard_size: int = 8, model: str = "d" * 64) -> None:
    """Images drawn from the seeds, labels in turn, as if by what params.yaml says, where there is one."""
    plan = root / "params.yaml"
    drawn = params.load(plan).dataset(NAME).sample.model_dump(mode="json") if plan.is_file() else {}
    folder = root / "data/samples" / NAME
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    rows = []
    for number, seed in enumerate(seeds):
        image, label, identity = pixels(seed), number % 2, f"{NAME}-{number:07d}"
        png = {"bytes": encode_png(image, synthetic=True), "path": f"{identity}.png"}
        said = {"view": TOLD[0].values[number // 2 % 2], "findings": ["Effusion", "Mass"][: number % 3]}
        row = {"id": identity, "image": png, "label": label, "label_name": CLASSES[label], **said, "seed": 500 + number}
        rows.append({**row, "sha256": sha256_pixels(image)})
    shards = []
    for start in range(0, len(rows), shard_size):
        name = f"shard-{start // shard_size:05d}.parquet"
        part = rows[start : start + shard_size]
        pq.write_table(pa.Table.from_pylist(part, schema=synthetic_schema(CLASSES, TOLD)), folder / name)
        shards.append({"file": name, "rows": len(part), "sha256": sha256_file(folder / name)})
    write_json(
        folder / "manifest.json",
        {
            "dataset": NAME,
            "digest": sha256_set(record_digest(row, row["sha256"]) for row in rows),
            "n": len(rows),
            "labels": {name: sum(row["label_name"] == name for row in rows) for name in CLASSES},
            "conditions": [condition.model_dump(mode="json") for condition in TOLD],
            "model": model,
            "params": drawn,
            "image": {"height": 16, "width": 16, "channels": 1},
            "shards": shards,
        },
    )


def judge(workspace: Workspace, **changes) -> None:
    """The required gate's verdict, which passes unless `changes` say otherwise, and the public report. The other gate writes none."""
    section = params.load(workspace.root / "params.yaml").dataset(NAME)
    config = gate_config(NAME, section, "mia-white-box")
    said = {
        "gate": "mia-white-box",
        "status": "PASS",
        "value": 0.01,
        "interval": (-0.01, 0.03),
        "threshold": config.threshold,
        "direction": "at_most",
        "null": Null(value=0.5, what="members against members"),
        "n": {"members": 2, "non-members": 2},
        "unit": "AUC minus null AUC",
        "method": "by hand",
        "reason": "The attack does no better than guessing.",
        "required": config.required,
        "config": config.model_dump(mode="json"),
        "subject": workspace.subject,
    }
    Verdict(**said | changes).save(workspace.root / "reports" / NAME / "gates/mia-white-box/verdict.json")
    subject = workspace.subject
    public = workspace.root / "reports" / NAME / "report/public"
    write_json(
        public / "report.json",
        {
            "dataset": section.card.model_dump(mode="json"),
            "provenance": {part: {"digest": getattr(subject, part)} for part in ("real", "synthetic", "model")},
            "not_measured": [{"what": "Differential privacy", "why": "No gate shows it."}],
            "limits": ["A passed gate bounds what its own attack can find."],
        },
    )
    (public / "report.html").write_text("<p>The report</p>\n")
