"""Sign-off: people approve or refuse a release by the digest of its bytes, and a policy says whose approval it takes."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog import evidence
from catalog import folder as release_folder
from catalog.store import released_path
from schema.errors import ApprovalNeeded, UsageError
from schema.evidence import SIGN_OFF, Statement, described, now
from schema.policy import Policy
from schema.release import ReleaseDigests
from schema.settings import root

FORMAT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class SignOff:
    """What one person decided about the bytes of one digest. `at`, `expires`: RFC 3339, UTC; a refusal does not expire."""

    decision: str
    by: str
    role: str
    reason: str
    at: str
    expires: str | None
    digest: str
    evidence: str

    def holds(self, when: datetime) -> bool:
        return self.expires is None or when < _moment(self.expires)

    @property
    def person(self) -> str:
        return " ".join(self.by.split()).casefold()


@dataclass(frozen=True)
class Standing:
    """Where the sign-off of some bytes stands. `state`: approved, refused, waiting, or unasked where the policy wants no approval and
    nobody refused. `lacking`: what is missing, in words. `counted`: the decisions that count, the last of each person.
    """

    state: str
    digest: str
    counted: list[SignOff]
    lacking: list[str]

    @property
    def until(self) -> str | None:
        """When the first of the approvals expires."""
        return min((one.expires for one in self.counted if one.expires), default=None)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "until": self.until}


def candidate(dataset: str) -> tuple[str, ReleaseDigests]:
    """Version and digests of the release as it was built. Raises SynthmillError where none was."""
    said = release_folder.described(root() / released_path(dataset))
    return said.version, said.digests


def decide(dataset: str, decision: str, by: str, role: str, reason: str, policy: Policy, digest: str | None = None) -> SignOff:
    """Records that a person approves or refuses the release that lies in data/releases/<dataset>. `digest`: the beginning of its digest,
    or of its images' as the report has it before the person.

    Raises UsageError for an empty name or reason, a role that the policy does not know, or bytes of another digest.
    """
    by, role, reason = (" ".join(word.split()) for word in (by, role, reason))
    if not by or not reason:
        raise UsageError("a sign-off needs a name and a reason: --by NAME --reason TEXT")
    if not all(map(str.isprintable, (by, role, reason))):
        raise UsageError("a sign-off's name, role and reason are of letters and signs alone: no control characters, no broken ones")
    if max(map(len, (by, role))) > 100 or len(reason) > 1000:
        raise UsageError("a sign-off's name and role have at most 100 characters, its reason at most 1000")
    known = {one.casefold(): one for one in policy.roles}
    if role and known and role.casefold() not in known:
        raise UsageError(f"the policy of {dataset} knows no role {role!r}; it knows: {', '.join(policy.roles)}")
    version, digests = candidate(dataset)
    if digest is not None:
        beginning = digest.removeprefix("sha256:").lower()
        if not re.fullmatch("[0-9a-f]{8,64}", beginning):
            raise UsageError(f"--digest {digest!r} is not the beginning of a digest: give at least 8 of its hexadecimal digits")
        # The report, which is part of the bytes, can only name that of the images.
        if not (digests.together.startswith(beginning) or digests.records.startswith(beginning)):
            raise UsageError(
                f"{dataset} {version}, as it lies here, has the digest {digests.together}, and its images {digests.records}, but "
                f"{digest} was read, which is of other bytes: read the report again (`report {dataset}`)"
            )
    at = now()
    expires = None if decision == "refused" else (_moment(at) + timedelta(days=policy.days)).strftime(FORMAT)
    said = {"decision": decision, "by": by, "role": known.get(role.casefold(), role), "reason": reason, "at": at, "expires": expires}
    subject = [described(f"{dataset}@{version}", digests.together)]
    statement = Statement(subject=subject, predicateType=SIGN_OFF, predicate={**said, "policy": policy.model_dump(mode="json")})
    [written] = evidence.append(evidence.record_file(dataset), statement)
    return SignOff(**said, digest=digests.together, evidence=written.digest)


def history(entries: list[evidence.Entry]) -> list[SignOff]:
    """Every sign-off of a record, oldest first."""
    return [
        SignOff(
            **{field: one.statement.predicate[field] for field in ("decision", "by", "role", "reason", "at", "expires")},
            digest=one.statement.subject[0]["digest"]["sha256"],
            evidence=one.digest,
        )
        for one in entries
        if one.statement.predicate_type == SIGN_OFF
    ]


def standing(dataset: str, digests: ReleaseDigests, policy: Policy, when: datetime | None = None) -> Standing:
    """Where the sign-off of these bytes stands. Raises IntegrityError where the record was tampered with."""
    when = when or datetime.now(UTC)
    said = history(evidence.read(evidence.record_file(dataset)))
    last = {one.person: one for one in said if one.digest == digests.together}
    refused = [one for one in last.values() if one.decision == "refused"]
    if refused:
        words = [f"{one.by} refused it on {one.at[:10]}: {one.reason}" for one in refused]
        return Standing("refused", digests.together, refused, words)
    approved = [one for one in last.values() if one.holds(when)]
    lacking = []
    if len(approved) < policy.approvals:
        lacking.append(f"{len(approved)} of {policy.approvals} approvals are there")
    roles = {one.role.casefold() for one in approved}
    lacking += [f"nobody approved it as {role}" for role in policy.roles if role.casefold() not in roles]
    if lacking:
        lacking += [f"the approval of {one.by} expired on {one.expires[:10]}" for one in last.values() if not one.holds(when)]
        elsewhere = [one for one in said if one.digest != digests.together and one.decision == "approved"]
        others = {one.person: one for one in elsewhere if one.person not in last}
        lacking += [f"the approval of {one.by} is for other bytes ({one.digest[:12]})" for one in others.values()]
    state = "waiting" if lacking else "approved" if approved else "unasked"
    return Standing(state, digests.together, approved, lacking)


def demand(dataset: str, digests: ReleaseDigests, policy: Policy) -> Standing:
    """Raises ApprovalNeeded unless the policy's approvals of these bytes are there and nobody refused them."""
    found = standing(dataset, digests, policy)
    if found.state in ("waiting", "refused"):
        head = "was refused" if found.state == "refused" else "waits for approval"
        way = "" if found.state == "refused" else f"; `approve {dataset} --by NAME --role ROLE --reason TEXT` gives one"
        raise ApprovalNeeded(f"{dataset} {head}, of the bytes {found.digest[:12]}: {'; '.join(found.lacking)}{way}")
    return found


def _moment(text: str) -> datetime:
    return datetime.strptime(text, FORMAT).replace(tzinfo=UTC)
