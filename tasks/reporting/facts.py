"""The graph of facts behind both editions: report.json. Every number of a page is looked up in it."""

from typing import Any

import numpy as np

from schema.verdict import Verdict
from tasks.reporting import evidence, power
from tasks.reporting.decision import decision, sign_off, waived
from tasks.reporting.gather import Workspace
from tasks.reporting.left_open import limits, not_measured
from tasks.reporting.nearest import Closest, Nearest, summary
from tasks.reporting.scrub import finite, without_paths
from tasks.reporting.shapes import number
from tasks.reporting.wording import question

FORMAT = "synthmill-report/2"
NOT_LOOKED = "nobody has looked into the history of params.yaml"


def collect(workspace: Workspace, closest: Closest) -> dict[str, Any]:
    """Everything that is known about one dataset, for the internal edition. JSON values only, none of them NaN."""
    facts = {
        "format": FORMAT,
        "edition": "internal",
        "dataset": {
            "name": workspace.name,
            **workspace.params.card.model_dump(mode="json"),
            "images": len(workspace.synthetic),
            "image": workspace.ingest["image"],
            "labels": workspace.ingest["labels"],
        },
        "decision": decision(workspace),
        "sign_off": sign_off(workspace),
        "gates": [gate(workspace, name) for name in workspace.verdicts],
        "power": power.summary(workspace.power_table, list(workspace.verdicts)),
        "nearest": {
            **summary(closest),
            "pairs": pairs(workspace, closest, "synthetic"),
            "null_pairs": pairs(workspace, closest, "holdout"),
        },
        "data": data(workspace),
        "provenance": provenance(workspace),
    }
    facts["not_measured"] = not_measured(facts["gates"], facts["provenance"]["model"]["init"])
    facts["limits"] = limits(facts)
    return finite(without_paths(facts))


def gate(workspace: Workspace, name: str) -> dict[str, Any]:
    """A verdict with what the page adds to it. A verdict that was never written has status None."""
    verdict = workspace.verdicts[name]
    config = workspace.configs[name]
    since = workspace.history.get(name, {**dict.fromkeys(("commit", "date", "author")), "why": NOT_LOOKED})
    if verdict is None:
        return {
            **dict.fromkeys(("status", "measured", "value", "interval", "direction", "null", "unit", "method"), None),
            "gate": name,
            "group": question(name).group,
            "threshold": config["threshold"],
            "required": config["required"],
            "reason": "No verdict was written: this gate has not measured these images.",
            "n": {},
            "needs": [],
            "evidence": {},
            "means": {},
            "config": config,
            "subject": None,
            "stands": False,
            "digest": None,
            "waived": False,
            "set": since,
        }
    return {
        **verdict.model_dump(mode="json"),
        "group": question(name).group,
        "measured": measured(verdict),
        "means": evidence.means(verdict.evidence),
        "stands": verdict.subject == workspace.subject and verdict.config == config and verdict.gate == name,
        "digest": verdict.digest,
        "waived": waived(workspace, name),
        "set": since,
    }


def measured(verdict: Verdict) -> float | None:
    """The number that the null was taken from: as the evidence has it, or its claim that was judged; else null and excess together."""
    if verdict.value is None or verdict.null is None:
        return None
    own = number(verdict.evidence.get("measured"))
    judged = (verdict.value, verdict.null.value)
    claims = evidence.known(verdict.evidence).get("claims", [])
    said = [own, *(claim["measured"] for claim in claims if (claim["value"], claim["null"]) == judged)]
    return next((value for value in said if value is not None), verdict.null.value + verdict.value)


def pairs(workspace: Workspace, closest: Closest, which: str) -> list[dict[str, Any]]:
    """The closest images with their nearest training images, closest first."""
    images = getattr(workspace, which)
    found: Nearest = getattr(closest, which)
    train = workspace.train
    return [
        {
            "id": images.ids[i],
            "label": images.classes[images.labels[i]],
            "train_id": train.ids[found.index[i]],
            "train_label": train.classes[train.labels[found.index[i]]],
            "distance": float(found.distance[i]),
            "mirrored": bool(found.mirrored[i]),
        }
        for i in closest.order(which)[: workspace.params.report.pairs]
    ]


def data(workspace: Workspace) -> dict[str, Any]:
    """Counts and prevalence by class, of each real split and of the synthetic images."""
    columns = {split: part["labels"] for split, part in workspace.ingest["splits"].items()}
    columns["synthetic"] = workspace.samples["labels"]
    return {
        "columns": {
            name: {
                "images": sum(counts.values()),
                "patients": workspace.ingest["splits"][name]["patients"] if name in workspace.ingest["splits"] else None,
                "counts": counts,
                "shares": shares(counts),
            }
            for name, counts in columns.items()
        },
        "rounded": False,
    }


def shares(counts: dict[str, int]) -> dict[str, float]:
    total = max(sum(counts.values()), 1)
    return {label: count / total for label, count in counts.items()}


def provenance(workspace: Workspace) -> dict[str, Any]:
    ingest, samples, model = workspace.ingest, workspace.samples, workspace.model
    source, files = ingest["source"], ingest["source"].get("files")
    loss = number(model.get("loss"))
    return {
        "real": {
            "digest": ingest["digest"],
            "source_kind": source.get("kind"),
            "source_digest": source.get("digest"),
            "approval": ingest["approval"],
            # Names of files can name people: only how many there are.
            "source_files": len(files) if isinstance(files, list | dict) else files,
            # How many were withdrawn is nobody's business: the report begins with those who are still there.
            "records_in": ingest["counts"]["in"] - ingest["counts"].get("withdrawn", 0),
            "records_out": ingest["counts"]["out"],
            "quarantined": ingest["counts"]["quarantined"],
            "copies": ingest["copies"],
            "dropped": ingest["dropped"],
            "checks": {"evaluated": ingest["checks"]["evaluated"], "failed": len(ingest["checks"]["failed"])},
            "source_params": workspace.params.ingest.source.options(),
            "split_params": workspace.params.ingest.split.model_dump(mode="json", exclude={"salt"}),
        },
        "model": {
            "digest": model["digest"],
            "kind": model["kind"],
            "parameters": model["parameters"],
            "loss": loss,
            "canaries": planted(model),
            "init": started(model),
            "params": model["params"],
        },
        "synthetic": {
            "digest": samples["digest"],
            "distinct_images": len(np.unique(workspace.synthetic.pixels.reshape(len(workspace.synthetic), -1), axis=0)),
            "params": samples["params"],
        },
    }


def started(model: dict[str, Any]) -> dict[str, Any] | None:
    """The digest of the model that training started from, and whether it had seen public images alone; None for random weights."""
    said = model.get("init")
    return {field: said[field] for field in ("digest", "public")} if said else None


def planted(model: dict[str, Any]) -> dict[str, int] | None:
    """How many canaries were drawn for this training, and how many of them it saw; None where none were."""
    said = model.get("canaries")
    return {field: said[field] for field in ("n", "included")} if said else None
