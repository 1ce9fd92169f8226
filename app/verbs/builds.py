"""Verbs of those who build datasets."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from app.verbs import BUILT_IN, DatasetName, ForceStage, Json, verb
from app.words import next_step, print_json, print_table, say, some
from schema.errors import UsageError


@verb("run", "run pneumonia", "run pneumonia --no-publish", "run pneumonia --force-stage train")
def run(
    dataset: DatasetName = BUILT_IN,
    publish: Annotated[bool, typer.Option("--publish/--no-publish", help="publish what passes, or leave it in data/releases")] = True,
    force_stage: ForceStage = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say which stages would run")] = False,
    as_json: Json = False,
) -> None:
    """Build, gate and publish a dataset. Only stages whose inputs changed run again; where nothing changed it is over in
    seconds. A gate that fails refuses the release: exit code 3, a report, nothing published."""
    if dry_run:
        return show_plan(dataset, force_stage, as_json)
    from app.building import build
    from app.outcome import print_summary

    outcome = build(dataset, publish, force_stage)
    if as_json:
        print_json(asdict(outcome))
    else:
        print_summary(outcome)
    raise typer.Exit(outcome.exit_code)


@verb("plan pneumonia")
def plan(dataset: DatasetName = BUILT_IN, as_json: Json = False) -> None:
    """Say which stages a run would do again, and why. Changes nothing."""
    show_plan(dataset, None, as_json)


def show_plan(dataset: str, force: str | None, as_json: bool) -> None:
    from app.reading import planned

    stages = planned(dataset, force)
    if as_json:
        return print_json(stages)
    if stages:
        print_table(("stage", "why"), [(stage["stage"], some(stage["why"])) for stage in stages])
    else:
        print(f"{dataset}: nothing changed, no stage would run")
    next_step(f"run {dataset}")


@verb("status pneumonia")
def status(dataset: DatasetName = BUILT_IN, as_json: Json = False) -> None:
    """Say how the last run ended and whether its result is still current."""
    from app.outcome import print_summary
    from app.reading import standing

    stands, last = standing(dataset)
    if as_json:
        return print_json(stands | {"last": asdict(last) if last else None})
    current = "up to date" if not stands["stale"] else f"to run again: {', '.join(stands['stale'])}"
    print(f"{dataset}: {stands['error'] or current}")
    if stands["running"]:
        return next_step(f"status {dataset}", "again, when it has ended")
    if last:
        import catalog

        gone = catalog.tombstones(dataset).get(last.tag or "")
        if gone:
            print(f"{last.tag} was recalled on {gone.at[:10]}: {gone.reason}")
            return next_step(f"run {dataset}", "builds it anew, without who was withdrawn")
        return print_summary(last)
    print("no run has been made here yet")
    next_step(f"run {dataset}")


@verb("check pneumonia")
def check(dataset: DatasetName = BUILT_IN, as_json: Json = False) -> None:
    """Look at all that can be known to be wrong before a run: params.yaml, the source's files, space, git and the store."""
    from app.reading import checked

    findings, code = checked(dataset)
    if as_json:
        print_json(findings)
    else:
        print_table(("check", "", "detail"), [(each["check"], each["status"], each["detail"]) for each in findings])
        next_step(f"check {dataset}" if code else f"run {dataset}", "after mending it" if code else "")
    raise typer.Exit(code)


@verb("locate pneumonia 3f9a1c0b7d2e4f68")
def locate(
    dataset: DatasetName,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="keyed ids of records or patients, as messages and quarantine.csv have them")
    ],
    as_json: Json = False,
) -> None:
    """Say which files of the source keyed ids are of. Needs the source and the id key; what it prints can name a patient."""
    from app.reading import located

    found = located(dataset, ids)
    if as_json:
        return print_json(found)
    print_table(("id", "is of", "in the source"), [(each["id"], each["what"], each["where"]) for each in found])
    next_step(f"check {dataset}")


@verb("doctor", "doctor --json")
def doctor(as_json: Json = False) -> None:
    """Look at the machine: versions, device, disk, settings, git, store, weights; each with a remedy."""
    from app.doctor import examine

    findings = examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(("", "check", "finding", "remedy"), [(each.status, each.name, each.detail, each.remedy) for each in findings])
        next_step("check", "a dataset's params, source and store")
    raise typer.Exit(1 if any(each.status == "fail" for each in findings) else 0)


@verb("deploy --yes", "deploy pneumonia --yes", "deploy --dry-run")
def deploy(
    dataset: Annotated[str | None, typer.Argument(metavar="[DATASET]", help="its builds alone; every deployment unless given")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be registered, and where")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Register the nightly builds of prefect.yaml with the Prefect server that PREFECT_API_URL names."""
    from app.deploying import deployments, register

    address, found = deployments(dataset)
    print_table(("deployment", "dataset", "when"), found)
    say(f"server: {address or 'none: PREFECT_API_URL is not set'}")
    if dry_run:
        return next_step(f"deploy {dataset} --yes" if dataset else "deploy --yes")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("deploy changes what the server runs: say --yes")
        typer.confirm("Register them there?", abort=True, err=True)
    raise typer.Exit(register([name for name, *_ in found]))
