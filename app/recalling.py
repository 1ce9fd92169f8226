"""The verbs `recall` and `ledger`: what depends on a patient, withdrawing them, and what all releases have spent."""

import sys
from typing import Any

import typer

from app.words import next_step, number, print_json, print_table, say
from schema.errors import UsageError
from tasks.recall import Found, Place, carry_out, find


def withdraw(
    patient: str | None, record: str | None, dataset: str | None, by: str, reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Says what depends on a patient, asks, and withdraws them. Raises UsageError for an unknown id and where nobody can be asked."""
    found = find(patient, record, dataset)
    if not as_json:
        print_found(found)
    if dry_run:
        if as_json:
            return print_json(found.as_json())
        return next_step("recall ... --by NAME --reason TEXT", "without --dry-run: withdraws them")
    if not by.strip() or not reason.strip():
        raise UsageError("a recall needs a name and a reason, which become public: --by NAME --reason TEXT")
    if not yes:
        if not sys.stdin.isatty() or as_json:
            raise UsageError("recall withdraws releases for everybody: look with --dry-run, then say --yes")
        typer.confirm("Withdraw this patient and recall these releases?", abort=True, err=True)
    from tasks.lock import workspace_lock

    with workspace_lock(say):
        # A build that was waited for may have released something on this patient.
        found = find(patient, record, dataset)
        done = carry_out(found, reason, by)
    if as_json:
        return print_json(found.as_json() | done)
    print(f"withdrawn from {', '.join(done['withdrawn'])}; recalled: {', '.join(done['recalled']) or 'no release was trained on them'}")
    say("what was made before is still in DVC's cache and the registry: see docs/how-to/withdraw-a-patient.md")
    next_step(f"run {done['withdrawn'][0]}", "ingests and trains without them")


def print_found(found: Found) -> None:
    for place in found.places:
        print(f"{place.dataset}: {_where(place)}")
        rows = [
            (
                model.digest[:12],
                model.dataset,
                " and ".join([*(["current"] if model.current else []), *(["released"] if model.releases else [])]),
                "started from one that was" if model.by_start else "yes",
                str(model.drawn),
                str(model.released),
            )
            for model in place.models
        ]
        if rows:
            print_table(("model", "dataset", "is", "trained on them", "drawn", "released"), rows)
        for words, tags in (("trained on them", place.trained_on), ("judged with them", place.judged_with)):
            if tags:
                print(f"  releases {words}: {', '.join(f'{tag} (recalled)' if tag in place.recalled else tag for tag in tags)}")


def _where(place: Place) -> str:
    there = f"{place.records} records, split {place.split or 'unknown'}" if place.records else f"no longer ingested, was in {place.split}"
    return f"patient {place.patient}, {there}{', withdrawn' if place.withdrawn else ''}"


def spent(rebuild: bool) -> dict[str, Any]:
    """The ledger as `tasks.budget.table` gives it, with `rebuilt`: the tags that were entered just now."""
    from catalog.ledger import rebuild as enter_again
    from tasks.budget import table

    rebuilt = enter_again() if rebuild else []
    return table() | {"rebuilt": rebuilt}


def print_ledger(said: dict[str, Any]) -> None:
    if not said["releases"]:
        print("nothing stands in the ledger yet")
    recalled = {one["subject"] for one in said["recalls"]}
    rows = []
    for row in said["releases"]:
        group, account = row["group"], row["account"]
        own = f"{account['epsilon']:.4g} at {account['delta']:g}" if account else "not claimed"
        total = f"{number(group['epsilon'])} at {group['delta']:g}" if group["epsilon"] is not None else f"no bound: {group['why']}"
        patients = "not known" if row["patients"] is None else str(row["patients"])
        rows.append((f"{row['tag']}{' (recalled)' if row['tag'] in recalled else ''}", patients, own, str(len(group["releases"])), total))
    if rows:
        print_table(("release", "patients", "epsilon", "others that share some", "together"), rows)
    if said["missing"]:
        say(f"no row for {', '.join(said['missing'])}")
        return next_step("ledger --rebuild", "enters them from their releases' files")
    next_step("list")
