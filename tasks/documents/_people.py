"""What documents say of decisions: what was built, who approved or refused it, until when, and what was waived."""

from tasks.documents import Evidence
from tasks.documents._blocks import NOTHING, Claim, Table
from tasks.documents._edition import Edition


def built(evidence: Evidence) -> Claim:
    """That the release stage built a version; it does so only where each required gate passed or is waived."""
    return evidence.fact(
        evidence.run("release"),
        "said.version",
        lambda version: f"{version} was built: the release stage refuses unless each required verdict of these bytes passes or is waived",
    )


def recalled(evidence: Evidence) -> list[tuple[str, Claim]]:
    """That the newest release was recalled, in every edition, as its tombstone says it in public; nothing where it was not."""
    gone = evidence.recall
    if gone is None:
        return []
    words = f"recalled on {gone.get('at')[:10]} by {gone.get('by')}: {gone.get('reason')}. It is not to be used"
    return [("Recall", Claim(words, (gone.digest,), status="RECALLED"))]


def decision(evidence: Evidence) -> Claim:
    """Where people's decisions about the newest release's bytes stand; whether an approval has expired is for the reader's calendar."""
    signed = evidence.signoffs
    if not signed:
        return NOTHING
    refused = [one for one in signed if one.decision == "refused"]
    if refused:
        return Claim(f"refused by {len(refused)}", tuple(one.evidence for one in refused), status="REFUSED")
    policy = (evidence.sheet.get("params.policy") if evidence.sheet else None) or {}
    wanted, given = policy.get("approvals", 0), {one.role.casefold() for one in signed}
    lacking = [f"nobody approved it as {role}" for role in policy.get("roles", []) if role.casefold() not in given]
    words = "; ".join([f"approved by {len(signed)}, and the policy asks for {wanted}", *lacking])
    status = "WAITING" if lacking or len(signed) < wanted else "APPROVED"
    return Claim(words, tuple(one.evidence for one in signed), status=status)


def until(evidence: Evidence) -> Claim:
    """When the first of the approvals expires."""
    dated = [one for one in evidence.signoffs if one.decision == "approved" and one.expires]
    if not dated:
        return NOTHING
    first = min(dated, key=lambda one: one.expires)
    return Claim(f"{first.expires[:10]}, when the first approval expires", (first.evidence,))


def signed(evidence: Evidence, edition: Edition) -> Table:
    """Every decision that counts. The public edition leaves reasons out, which are free words, and names of those who did not approve."""
    columns = ("Who", "Role", "Decision and day", "Holds until", *(("Reason",) if edition is Edition.INTERNAL else ()))
    rows = []
    for one in evidence.signoffs:
        who = "named inside" if edition is Edition.PUBLIC and one.decision != "approved" else one.by
        decided = Claim(f"{one.decision} on {one.at[:10]}", (one.evidence,))
        row = [who, one.role or "none given", decided, (one.expires or "no end")[:10]]
        rows.append((*row, *((one.reason,) if edition is Edition.INTERNAL else ())))
    if not rows:
        rows = [("Nobody yet", "", NOTHING, "", *(("",) if edition is Edition.INTERNAL else ()))]
    return Table("Decisions of people about the bytes of the newest release", columns, rows)


def waived(evidence: Evidence, edition: Edition) -> Table:
    """Verdicts that pass though they are none: they stand in every edition, with two names each."""
    sheet = evidence.sheet
    rows = [
        (
            one["gate"],
            Claim(f"the verdict {one['verdict']}", (sheet.digest,)),
            edition.words(one["reason"]),
            ", ".join(one["by"]),
            one["until"] or "no end",
        )
        for one in evidence.waivers()
    ]
    if not rows:
        none = Claim("no waiver stands in the policy", (sheet.digest,)) if sheet else NOTHING
        rows = [("None", none, "", "", "")]
    return Table("Waivers in the policy", ("Gate", "What is waived", "Why", "By", "Last day"), rows)
