"""The command line: `synthmill`, by way of ./mill. Each verb is one function here; what it does is elsewhere."""

import inspect
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from app.child import Stopped
from app.words import PROGRAM, examples, next_step, print_json, print_table, say, some
from schema.errors import SynthmillError, UsageError
from schema.settings import quieten, root

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help=examples("run                       build, gate and publish the built-in dataset", "run pneumonia --dry-run   say what would run")
    + "\n\nTurns private medical images into synthetic datasets that can be shared, and stands behind each one.\n\n"
    "Exit codes: 0 done, 1 error, 2 usage, 3 a gate failed, 4 approval needed, 5 integrity mismatch. "
    "Data goes to stdout, words to stderr. NO_COLOR is honoured; SYNTHMILL_TRACEBACK=1 shows where an error came from.",
)


def verb(*lines: str, name: str | None = None) -> Callable[[Callable], Callable]:
    """Makes a function a verb of the command line: examples first in its help, then its docstring."""

    def add(function: Callable) -> Callable:
        words = inspect.cleandoc(function.__doc__ or "")
        return app.command(name, help=f"{examples(*lines)}\n\n{words}", short_help=re.split(r"\.\s|\.$", words)[0].replace("\n", " "))(
            function
        )

    return add


def dataset_names(incomplete: str) -> list[str]:
    """For the shell's completion: the datasets of params.yaml."""
    from schema.params import load

    return [name for name in load().datasets if name.startswith(incomplete)]


DatasetName = Annotated[str, typer.Argument(metavar="DATASET", help="its name in params.yaml", autocompletion=dataset_names)]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout and nothing else there")]
ForceStage = Annotated[str | None, typer.Option(metavar="STAGE", help="run this stage even if nothing changed, such as 'gate replica'")]
ReleaseSpec = Annotated[
    str, typer.Argument(metavar="RELEASE", help="name@v1.0.0, a range (name@^1) or a stage (name@prod); the name alone for the latest")
]
BUILT_IN = "phantom-cxr"


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
    if last:
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


@verb("list", "list pneumonia --all --json", name="list")
def list_(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="only its releases", autocompletion=dataset_names)] = None,
    everything: Annotated[bool, typer.Option("--all", help="with the stages that each stands in, such as prod")] = False,
    as_json: Json = False,
) -> None:
    """List the releases, oldest first."""
    import catalog
    from app.reading import release_rows

    found = catalog.releases(dataset)
    if everything and found:
        from app.comparing import list_all

        return list_all(found, as_json)
    if as_json:
        gone = {tag: stone.model_dump(mode="json") for tag, stone in catalog.tombstones(dataset).items()}
        return print_json([release.model_dump(mode="json") | {"recalled": gone.get(release.tag)} for release in found])
    if not found:
        print("nothing has been released here yet")
        return next_step(f"run {dataset or BUILT_IN}")
    print_table(("release", "images", "labels", "gates", ""), release_rows(found, catalog.tombstones(dataset)))
    next_step(f"show {found[-1].tag}")


@verb('search "frontal chest x-rays with pneumonia, at least 500, FID under 20"', "search 'label:pneumonia>=500 fid<20' --json")
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="plain words, or the query language of docs/search.md")],
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="results at most")] = 20,
    images: Annotated[bool, typer.Option("--images", help="search the images of the releases that are found")] = False,
    after: Annotated[str | None, typer.Option("--after", metavar="PLACE", help="with --images: the `next` of the page before")] = None,
    as_json: Json = False,
) -> None:
    """Find releases, or images in them, by words, labels, numbers of images, gates' values, privacy, licence and more. Says what
    it understood, and what it did not."""
    from app.searching import print_images, print_releases

    (print_images if images else print_releases)(query, limit, after, as_json)


@verb("show pneumonia", "show pneumonia@v1.0.0 --json")
def show(spec: ReleaseSpec, as_json: Json = False) -> None:
    """Show what a release holds and each gate's verdict on it."""
    import catalog
    from app.reading import print_release

    release = catalog.find(spec)
    if as_json:
        return print_json(release.model_dump(mode="json"))
    print_release(release)
    next_step(f"get {release.tag} --to FOLDER")


@verb("get pneumonia@v1.0.0 --to ~/data/pneumonia", "get pneumonia@^1 --to FOLDER --repo GIT_ADDRESS --remote URL")
def get(
    spec: ReleaseSpec,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="a folder that is not there yet")],
    repo: Annotated[str | None, typer.Option(metavar="GIT_ADDRESS", help="the releases of that repository, not of this checkout")] = None,
    remote: Annotated[str | None, typer.Option(metavar="URL", help="where its DVC remote is from here; else SYNTHMILL_REMOTE")] = None,
    force: Annotated[bool, typer.Option("--force", help="a recalled release all the same: to look into it, not to work with it")] = False,
    as_json: Json = False,
) -> None:
    """Put the files of a release into a new folder, each checked against its digest. Interrupted, the same command goes on. A recalled
    release is refused."""
    import catalog

    if remote:
        os.environ["SYNTHMILL_REMOTE"] = remote
    release = catalog.get(spec, to, repo, force=force)
    folder = to.absolute()
    if as_json:
        return print_json({"release": release.tag, "folder": str(folder)})
    print(f"{release.tag} is in {folder}")
    next_step(f"verify {shlex.quote(str(folder))}")


@verb("export pneumonia@v1.0.0 --as webdataset --to ~/data/pneumonia-wds", "export pneumonia --as huggingface --to owner/name --dry-run")
def export(
    spec: ReleaseSpec,
    kind: Annotated[str, typer.Option("--as", metavar="KIND", help="dicom, huggingface, image-folder, medmnist or webdataset")],
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="a folder that is not there yet; of huggingface OWNER/NAME")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="a setting of the format, docs/exports.md")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be written or sent, and where")] = False,
    as_json: Json = False,
) -> None:
    """Write a release in the format that other code reads. Every image is in it once, marked as synthetic."""
    from app.exporting import export, print_export

    said = export(spec, kind, to, option or [], dry_run)
    return print_json(said) if as_json else print_export(said)


@verb("verify pneumonia", "verify pneumonia@v1.0.0", "verify ~/data/pneumonia")
def verify(
    what: Annotated[
        str, typer.Argument(metavar="DATASET|RELEASE|FOLDER", help="a dataset, a release as for `show`, or a folder, written with a /")
    ],
    as_json: Json = False,
) -> None:
    """Check a release against the digests that its tag vouches for, in the store or in a folder, and what its commit attests of it. For a
    dataset by its name also every verdict, report, shard and ledger row here against its record. Needs no network. Exit code 5 where
    something was changed, naming it."""
    from app.signing_off import print_verified, verified

    said = verified(what)
    return print_json(said) if as_json else print_verified(what, said)


Name = Annotated[str, typer.Option("--by", metavar="NAME", help="who decides")]
Role = Annotated[str, typer.Option("--role", help="as what, such as one of policy.roles")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="why; stays inside")]
Digest = Annotated[str | None, typer.Option(metavar="SHA256", help="the beginning of the digest that was read; others are refused")]


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


@verb("diff pneumonia@v1.0.0 pneumonia@v2.0.0", "diff pneumonia@prod latest --json")
def diff(
    a: ReleaseSpec,
    b: Annotated[str, typer.Argument(metavar="RELEASE", help="the later one; a version alone is one of the same dataset")],
    as_json: Json = False,
) -> None:
    """Say what changed from one release to another: images, gates, params, and what they were made from."""
    from app.comparing import show_diff

    show_diff(a, b, as_json)


@verb("promote pneumonia@v2.1.0 prod")
def promote(
    spec: ReleaseSpec,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="such as prod; `name@prod` then names this release")],
    as_json: Json = False,
) -> None:
    """Put a release into a stage, as a git tag of GTO's, and push it to SYNTHMILL_GIT_REMOTE if that is set."""
    from app.comparing import promoted

    promoted(spec, stage, as_json)


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


@verb("catalog rebuild", name="catalog")
def catalog_(
    what: Annotated[str, typer.Argument(metavar="rebuild", help="make the index anew from git's tags and the store")],
    as_json: Json = False,
) -> None:
    """Make the catalog's index anew, from git's tags and the store alone. Releases whose tags are not in this checkout leave it."""
    if what != "rebuild":
        raise UsageError(f"catalog knows `rebuild`, not {what!r}")
    from catalog.database import index

    held = index.rebuild()
    if as_json:
        return print_json({"releases": held})
    print(f"the index was made anew: {held} releases")
    next_step("search QUERY")


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


@verb("deploy", "deploy --dry-run")
def deploy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be registered, and where")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Register the nightly builds of prefect.yaml with the Prefect server that PREFECT_API_URL names."""
    from app.deploying import deployments, register

    address, found = deployments()
    print_table(("deployment", "dataset", "when"), found)
    say(f"server: {address or 'none: PREFECT_API_URL is not set'}")
    if dry_run:
        return next_step("deploy --yes")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("deploy changes what the server runs: say --yes")
        typer.confirm("Register them there?", abort=True, err=True)
    raise typer.Exit(register())


def unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a person sees of a fault of ours: one message, and where the traceback is."""
    words = "".join(traceback.format_exception(kind, error, trace))
    if os.environ.get("SYNTHMILL_TRACEBACK"):
        say(words)
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path = root() / "data" / "logs" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words, encoding="utf-8")
    except OSError:
        path = Path(tempfile.gettempdir()) / name
        path.write_text(words, encoding="utf-8")
    say(f"error: {kind.__name__}: {error}\nThis was not foreseen. The traceback is in {path}; SYNTHMILL_TRACEBACK=1 shows it here.")


def main() -> None:
    quieten()
    sys.excepthook = unexpected
    try:
        typer.main.get_command(app)(prog_name=Path(PROGRAM).name)
    except SynthmillError as error:
        if os.environ.get("SYNTHMILL_TRACEBACK"):
            traceback.print_exc()
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except Stopped as stopped:
        sys.exit(128 + stopped.signum)


if __name__ == "__main__":
    main()
