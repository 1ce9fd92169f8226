"""What `approve`, `refuse` and `verify` say."""

from typing import Any

from app.words import next_step, say
from schema.errors import SynthmillError


def sign_off(dataset: str, decision: str, by: str, role: str, reason: str, digest: str | None) -> dict[str, Any]:
    """Records a decision; it and where the sign-off stands now, as JSON values."""
    from catalog import attestation, publish, signoff
    from schema.params import load

    policy = load().dataset(dataset).policy
    if policy.signed:
        attestation.demand_signed(dataset)
    made = signoff.decide(dataset, decision, by, role, reason, policy, digest)
    version, digests = signoff.candidate(dataset)
    there, standing = publish.released(dataset), signoff.standing(dataset, digests, policy)
    said = {"dataset": dataset, "version": version, "made": vars(made), "standing": standing.as_json()}
    return said | {"released": there.tag if there else None}


def print_sign_off(said: dict[str, Any]) -> None:
    made, standing = said["made"], said["standing"]
    role = f" ({made['role']})" if made["role"] else ""
    until = f", until {made['expires'][:10]}" if made["expires"] else ""
    print(f"{said['dataset']} {said['version']}: {made['decision']} by {made['by']}{role}{until}, for the bytes {made['digest'][:12]}")
    print(f"  evidence {made['evidence']}")
    if said["released"]:
        print(f"these bytes are released already, as {said['released']}: what is decided now is on record, and takes nothing back")
        return next_step("recall --patient ID --dry-run" if made["decision"] == "refused" else f"show {said['released']}")
    if standing["state"] == "refused":
        print("it will not be published: build it anew, or let who refused it approve it")
        return next_step(f"report {said['dataset']}")
    if standing["state"] == "waiting":
        print(f"still lacking: {'; '.join(standing['lacking'])}")
        return next_step(f"approve {said['dataset']} --by NAME --role ROLE --reason TEXT")
    next_step(f"run {said['dataset']}", "publishes it")


def verified(what: str, repo: str | None = None) -> dict[str, Any]:
    """{"release", "workspace"}: what was found whole of a release and, for a dataset by its name alone, of the workspace.

    Raises IntegrityError for the first thing that is not, SynthmillError where there is nothing to verify.
    """
    import catalog
    from catalog import workspace

    inside = None if repo or "@" in what or "/" in what or what in (".", "..") else workspace.check(what)
    if inside is not None and not catalog.releases(what):
        return {"release": None, "workspace": inside.as_json()}
    try:
        return {"release": catalog.verify(what, repo).as_json(), "workspace": inside.as_json() if inside else None}
    except SynthmillError:
        if inside is not None:
            say(f"the workspace of {what} is as its stages made it; its release is not:")
        raise


def print_verified(what: str, said: dict[str, Any]) -> None:
    inside, release = said["workspace"], said["release"]
    if inside:
        print(
            f"{what}: {inside['files']} files are as their stages made them, by a record of {inside['statements']} statements "
            f"({inside['signed']}); {inside['gone']} more are not here now; ledger: {inside['ledger']} rows"
        )
    if release is None:
        print(f"{what}: nothing was released yet")
        return next_step(f"status {what}")
    if not release["against"].startswith("tag "):
        say(
            f"{what} was held against its own words alone, for no tag of it is known here, and whoever changed both is not found out: "
            "say where its tags are with --repo GIT_ADDRESS"
        )
    named = release["release"] if what == release["release"] else f"{what} is {release['release']}, and"
    print(
        f"{named} is whole: {release['files']} files, {release['bytes']} bytes, {release['images']} images, "
        f"against {release['against']}; {release['statements']} statements, {release['signed']}"
    )
    if release["recalled"]:
        print(f"it was recalled: {release['recalled']}")
    next_step(f"show {release['release']}")
