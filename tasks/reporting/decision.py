"""What is decided and what is still asked for: whether these bytes may leave, by which waivers, for what use, and who must sign."""

from typing import Any

from schema.policy import Waiver
from schema.verdict import Status, Verdict, objections
from tasks.reporting.gather import Workspace


def decision(workspace: Workspace) -> dict[str, Any]:
    """Whether these bytes may leave, by the rules of the release stage: a gate is required, none objects, and no image is a real one.

    An objection's `gate` is None where it is not a gate's.
    """
    required = [name for name, config in workspace.configs.items() if config["required"]]
    found = {name: _objection(workspace, name, waived=True) for name in workspace.verdicts}
    against = [{"gate": name, "words": words} for name, words in found.items() if words is not None]
    if not required:
        against.append({"gate": None, "words": "No gate of the panel is required for this dataset: nothing could hold it back."})
    if workspace.copies:
        words = f"Synthetic images that equal a real image, pixel for pixel: {workspace.copies}. The generator has memorised."
        against.append({"gate": None, "words": words})
    waivers = [_waiver(workspace, waiver) for waiver in workspace.params.policy.waivers]
    return {"releasable": not against, "copies": workspace.copies, "required": required, "objections": against, "waivers": waivers}


def sign_off(workspace: Workspace) -> dict[str, Any]:
    """What the policy asks of people before these bytes may be published, and where it will stand who they were."""
    asked = workspace.params.policy.model_dump(mode="json", include={"use", "approvals", "roles", "days", "signed"})
    return {**asked, "record": f"data/evidence/{workspace.name}.intoto.jsonl"}


def waived(workspace: Workspace, gate: str) -> bool:
    """Whether a waiver, and nothing but it, lets the gate's verdict pass."""
    return _objection(workspace, gate, waived=False) is not None and _objection(workspace, gate, waived=True) is None


def _objection(workspace: Workspace, gate: str, *, waived: bool) -> str | None:
    allowed = workspace.params.policy.waiver if waived else None
    return objections(workspace.verdicts[gate], gate, workspace.configs[gate], workspace.subject, allowed)


def _waiver(workspace: Workspace, waiver: Waiver) -> dict[str, Any]:
    why = _why_not(workspace, waiver, workspace.verdicts.get(waiver.gate))
    said = waiver.model_dump(mode="json", include={"gate", "verdict", "reason", "by", "until"})
    return {**said, "holds": why is None, "why_not": why}


def _why_not(workspace: Workspace, waiver: Waiver, verdict: Verdict | None) -> str | None:
    """Why the waiver lets nothing pass here; None where it does."""
    if verdict is None:
        return "this gate has written no verdict"
    if verdict.digest != waiver.verdict:
        return "it is for another verdict than the one that stands here"
    if verdict.status is Status.PASS:
        return "the gate passed, so there is nothing to waive"
    if not workspace.configs[waiver.gate]["required"]:
        return "the gate informs only, so there is nothing to waive"
    if workspace.params.policy.waiver(waiver.gate, waiver.verdict) is None:
        return "its last day is over"
    return None if waived(workspace, waiver.gate) else "the verdict is of other images, or of other parameters than are in force"
