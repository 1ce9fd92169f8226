"""A record of a dataset made by hand, as the stages would write it; every score in it can be told from any other number."""

from pathlib import Path
from typing import Any

from catalog import evidence
from schema.digest import sha256_json
from schema.evidence import SIGN_OFF, Statement, described, stage_run, test_result
from schema.release import ReleaseDigests

DATASET = "ward"
REAL, MODEL, SYNTHETIC = "a" * 64, "b" * 64, "c" * 64
RELEASE = ReleaseDigests(records="d" * 64, files="e" * 64)
PATIENT_ID = "0123456789abcdef"
SECRETS = ("Zebedee Quill", "/srv/wards/7/scan.dcm", PATIENT_ID, "Read the scores of patient")
"""A person's name, a path, an id and words of a sign-off: no public page may hold them."""
APPROVER, ROLE = "Ada Example", "data protection officer"

VALUE, LOW, HIGH = 0.0312345, -0.0123456, 0.0456789
SHARE_HIGH, AUC, EPSILON = 0.00237873, 0.5314631, 7.8765432
SCORES = (VALUE, LOW, HIGH, SHARE_HIGH, AUC, EPSILON)

CODE = {"commit": "f" * 40, "modified": [SECRETS[1]], "code_sha256": "1" * 64, "requirements_lock_sha256": "2" * 64}
RATES = ("AUC", "TPR at 1 % FPR", "TPR at 0.1 % FPR", "AUC per patient")
ATTACK = {
    "attacks": [{"attack": "nearest neighbour distance ratio", "auc": AUC}],
    "claims": [
        {"claim": name, "measured": AUC, "null": 0.5, "value": VALUE, "interval": [LOW, HIGH], "threshold": 0.1, "n": 781}
        | {"needed": 2995 if "0.1 %" in name else 20, "status": "PASS", "required": True}
        for name in RATES
    ],
    "worst_class": {"label": "normal", "auc": AUC},
}
OF_GATES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("mia-white-box", "mia-query", "mia-release"), ATTACK),
    "replica": {"copies": 0, "near_copies": 3, "share": 0.00123456, "share_interval": [0.0, SHARE_HIGH]},
    "canary": {"epsilon_lower_bound": 1.2345678, "largest_bound_possible": 3.0021902},
    "dp-claim": {"epsilon_recomputed": EPSILON},
    **{gate: {} for gate in ("split", "utility", "coverage", "fd-domain", "frd", "fid", "cmmd")},
}
PRIVACY = {
    **{"mechanism": "dp-sgd", "unit": "patient", "adjacency": "add-remove", "scope": "the weights", "epsilon": EPSILON, "delta": 0.0001},
    **{"accountant": "prv", "noise_multiplier": 0.8939, "max_grad_norm": 1.0, "sampling": "poisson", "steps": 60, "examples": 3715},
}
SHEET = {
    "card": {
        **{"title": "Ward images", "description": f"Made by {SECRETS[0]}.", "license": "CC-BY-4.0", "modality": "chest radiograph"},
        **{"source_license": "CC-BY-4.0", "citation": f"{SECRETS[0]}, 2020", "creator": SECRETS[0]},
    },
    "policy": {
        **{"use": "Research and teaching.", "approvals": 1, "roles": [ROLE], "days": 30, "signed": False, "waivers": []},
        "budget": {"epsilon": 10.0, "delta": 0.001},
    },
    "gates": {gate: {"threshold": 0.1} for gate in OF_GATES},
}


def verdict(gate: str, **other: Any) -> dict[str, Any]:
    """What a gate says, with the digest that its file has."""
    said = {
        **{"gate": gate, "status": "PASS", "value": VALUE, "interval": [LOW, HIGH], "threshold": 0.1, "direction": "at_most", "null": None},
        **{"n": {"synthetic": 1536}, "unit": "AUC in excess", "method": f"Distances, as kept at {SECRETS[1]}.", "required": True},
        "reason": f"It finds {VALUE} of them, most in {PATIENT_ID}.",
        "evidence": OF_GATES[gate],
        "needs": [],
        "config": {"required": True, "threshold": 0.1},
        "subject": {"real": REAL, "synthetic": SYNTHETIC, "model": MODEL},
    } | other
    return {**said, "sha256": sha256_json(said)}


def of_gate(gate: str, **other: Any) -> Statement:
    said = verdict(gate, **other)
    about = [described(f"{DATASET}: {part}", digest) for part, digest in said["subject"].items()]
    config = [described(f"params.yaml: datasets.{DATASET}.gates.{gate}", sha256_json(said["config"]))]
    return test_result(gate, "PASSED", about, config, said)


def of_stage(stage: str, params: dict[str, Any], said: dict[str, Any] | None = None) -> Statement:
    made = [described(f"data/{stage}/{DATASET}/manifest.json", sha256_json([stage, said]))]
    return stage_run(stage, DATASET, made, [], params, CODE, "2026-01-02T03:04:05Z", "2026-01-02T03:05:06Z", said)


def sampled(digest: str = SYNTHETIC) -> Statement:
    labels = {"normal": 767, "opacity": 769}
    image = {"height": 32, "width": 32, "channels": 1}
    return of_stage("sample", {"n": 1536}, {"digest": digest, "n": 1536, "labels": labels, "image": image, "model": MODEL})


def checked() -> Statement:
    split = {"images": 3662, "patients": 3644, "labels": {"normal": 945, "opacity": 2717}}
    told = {
        **{
            "checks": {"success": True, "evaluated": 16, "failed": []},
            "counts": {"in": 5237, "out": 5232, "quarantined": {"unreadable": 5}},
        },
        **{"splits": {"train": split, "holdout": split, "test": split}, "copies": {"sets_within_a_patient": 24}},
        **{
            "dropped": {"attributes": {}, "letters_painted_over": 7},
            "missing": {},
            "approval": {"reference": "IRB 12-34", "purpose": "research"},
        },
        **{"source": {"kind": "dicom", "digest": "3" * 64, "files": 9, "keyed": True}, "digest": REAL},
    }
    return test_result("data-checks", "PASSED", [described("data/ingest/ward/manifest.json", "4" * 64)], [], told)


def signed(decision: str = "approved", by: str = APPROVER, role: str = ROLE, digest: str = RELEASE.together) -> Statement:
    said = {"decision": decision, "by": by, "role": role, "reason": f"{SECRETS[3]} {PATIENT_ID}.", "at": "2026-01-03T00:00:00Z"}
    expires = {"expires": "2026-02-02T00:00:00Z" if decision == "approved" else None}
    return Statement(subject=[described(f"{DATASET}@v1.0.0", digest)], predicateType=SIGN_OFF, predicate={**said, **expires, "policy": {}})


def statements() -> list[Statement]:
    """A whole run, from ingest to a release that one person approved."""
    ingest = {
        **{"image": {"height": 32, "width": 32, "channels": 1, "fit": "pad"}, "dates": "shift", "burned_in": {"action": "mask"}},
        "attributes": {"age": {"kind": "number", "max": 90.0}, "study_date": {"kind": "date"}},
        "source": {"kind": "dicom", "folder": SECRETS[1]},
    }
    trained = {
        **{"digest": MODEL, "kind": "ddpm", "parameters": 686961, "dataset_digest": REAL, "labels": ["normal", "opacity"]},
        **{"privacy": PRIVACY, "init": {"reference": "phantom@candidate", "digest": "5" * 64, "public": True}, "canaries": {"n": 128}},
    }
    released = {"version": "v1.0.0", "previous": None, "digests": RELEASE.model_dump(), "images": 1536}
    return [
        of_stage("ingest", ingest),
        checked(),
        of_stage("train", {"steps": 60, "lr": 0.0005, "batch_size": 512}, trained),
        sampled(),
        *map(of_gate, OF_GATES),
        of_stage("report", {**SHEET, "report": {}}),
        of_stage("release", SHEET, released),
        signed(),
    ]


def record(folder: Path, *more: Statement) -> list[evidence.Entry]:
    """The entries of that record, as a file under `folder` holds them, with what is added to it."""
    path = folder / "data" / "evidence" / f"{DATASET}.intoto.jsonl"
    evidence.append(path, *statements(), *more)
    return evidence.read(path)
