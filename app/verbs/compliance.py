"""Verbs of those who answer for privacy."""

from pathlib import Path
from typing import Annotated

import typer

from app.verbs import BUILT_IN, DatasetName, Json, dataset_names, verb
from app.words import next_step, print_json, say

Name = Annotated[str, typer.Option("--by", metavar="NAME", help="who decides")]
Role = Annotated[str, typer.Option("--role", help="as what, such as one of policy.roles")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; stays inside")]
Digest = Annotated[str | None, typer.Option(metavar="SHA256", help="the beginning of the digest that was read; others are refused")]


@verb("report pneumonia --open", "report pneumonia --documents FOLDER --public", "report --compare pneumonia@v1.0.0 pneumonia@v2.0.0")
def report(
    dataset: DatasetName = BUILT_IN,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RELEASE RELEASE", help="two releases, gate by gate, in its place")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="the edition that goes into the release")] = False,
    documents: Annotated[Path | None, typer.Option(metavar="FOLDER", help="every document from the record, HTML and PDF, into it")] = None,
    paper: Annotated[str, typer.Option(help="A4 or Letter, for --documents")] = "A4",
    open_it: Annotated[bool, typer.Option("--open", help="open it in the web browser")] = False,
    as_json: Json = False,
) -> None:
    """Print where the report is. The internal one shows real images: keep it inside."""
    if documents:
        from app.reading import write_documents

        written = write_documents(dataset, documents, public, paper)
        if as_json:
            return print_json({"dataset": dataset, "edition": "public" if public else "internal", "files": list(map(str, written))})
        print(documents / "index.html")
        return next_step(f"approve {dataset} --by NAME --role ROLE --reason TEXT", "or `refuse`")
    if compare:
        from app.comparing import show_diff

        return show_diff(*compare, as_json)
    from app.reading import report_file

    path = report_file(dataset, public)
    if as_json:
        print_json({"dataset": dataset, "edition": "public" if public else "internal", "path": str(path)})
    else:
        print(path)
    if open_it and typer.launch(path.as_uri()) != 0:
        say("no web browser could be started here: open that file yourself")
    if not open_it and not as_json:
        next_step(f"report {dataset}{' --public' if public else ''} --open")


@verb('approve pneumonia --by "Ada Byron" --role privacy-officer --reason "read the report of 12 May"')
def approve(dataset: DatasetName, by: Name, reason: Reason, role: Role = "", digest: Digest = None, as_json: Json = False) -> None:
    """Approve the release that was built, by the digest of its bytes. It expires (policy.days), and is for no other bytes."""
    from app.signing_off import print_sign_off, sign_off

    said = sign_off(dataset, "approved", by, role, reason, digest)
    return print_json(said) if as_json else print_sign_off(said)


@verb('refuse pneumonia --by "Ada Byron" --reason "two pairs show the same person"')
def refuse(dataset: DatasetName, by: Name, reason: Reason, role: Role = "", digest: Digest = None, as_json: Json = False) -> None:
    """Refuse the release that was built: those bytes are not published while it stands, whoever approves them."""
    from app.signing_off import print_sign_off, sign_off

    said = sign_off(dataset, "refused", by, role, reason, digest)
    return print_json(said) if as_json else print_sign_off(said)


@verb("ledger", "ledger --json")
def ledger(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="first enter tags that have no row, from their releases' files")] = False,
    as_json: Json = False,
) -> None:
    """Show what was ever released and what its patients have spent of their privacy over all of it."""
    from app.recalling import print_ledger, spent

    said = spent(rebuild)
    if as_json:
        return print_json(said)
    print_ledger(said)


@verb(
    "recall --patient 4711 --by 'A. Meier' --reason 'consent withdrawn' --dry-run", "recall --record 3f9a1c0b7d2e4f68 --dataset pneumonia"
)
def recall(
    patient: Annotated[str | None, typer.Option(metavar="ID", help="the source's own id of a patient, or a keyed one")] = None,
    record: Annotated[str | None, typer.Option(metavar="ID", help="the id of a record of theirs instead")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="DATASET", help="only there; else in all", autocompletion=dataset_names)] = None,
    by: Annotated[str, typer.Option(metavar="NAME", help="who recalls; becomes public")] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="why; becomes public, so name nobody")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what depends on the patient")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: Json = False,
) -> None:
    """Withdraw a patient: recall what was trained on them, and leave them out of the next build. Says first which models, images and
    releases depend on them, from what was written down; nothing is trained. A recall that was cut short is finished by the same command."""
    from app.recalling import withdraw

    withdraw(patient, record, dataset, by, reason, dry_run, yes, as_json)
