"""What the reading verbs find out: plans, checks, releases, reports."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from app.outcome import OUTCOME, Outcome, last_outcome
from app.progress import RUNNING, Board, Events
from app.words import COMMAND, VERDICT_COLUMNS, print_table, verdict_rows
from schema.errors import SynthmillError, UsageError
from schema.release import Release, Tombstone
from schema.settings import root


def planned(dataset: str, force: str | None = None) -> list[dict[str, Any]]:
    """The stages that a run would do again, in order, as {"stage", "why"}. Raises SynthmillError where a run would not start."""
    from schema.params import load
    from tasks import check, graph

    refuse_while_running()
    source = check.check(dataset)
    params = load()
    stale = graph.stale(dataset, params, source)
    reasons = changes(stale)
    names = graph.stages(dataset, params)
    if force:
        name = full_name(force, dataset, names)
        reasons.setdefault(name, []).append("asked for")
        stale.append(name)
    return [
        {"stage": graph.title(name, dataset), "why": reasons.get(name) or ["what it reads, or a setting it lacked, is another"]}
        for name in names
        if name in stale
    ]


def located(dataset: str, ids: Iterable[str]) -> list[dict[str, str]]:
    """[{"id", "what", "where"}]: the files or units of the source that keyed ids are of. Raises UsageError for ids that none is of."""
    from schema.params import load
    from tasks.ingesting.locating import locate
    from tasks.ingesting.reader import open_source
    from tasks.ingesting.rows import Damaged

    params = load().dataset(dataset).ingest
    try:
        found = locate(dataset, params, open_source(dataset, params), set(ids))
    except Damaged:
        raise SynthmillError(
            f"what ingest read of {dataset} is damaged on the disk: `./mill dvc repro ingest@{dataset}` reads it again"
        ) from None
    unknown = sorted(set(ids) - {each["id"] for each in found})
    if unknown:
        raise UsageError(
            f"no record or patient of {dataset} has the id {', '.join(unknown)} under this SYNTHMILL_ID_KEY: "
            f"ids change with the key, and with what the source holds; run `./mill dvc repro ingest@{dataset}` first"
        )
    return found


def full_name(stage: str, dataset: str, names: list[str]) -> str:
    """The stage's name in dvc.yaml, given as people write it (`train`, `gate fid`) or in full. Raises UsageError otherwise."""
    from schema.params import nearest
    from tasks.graph import title

    titles = {title(name, dataset): name for name in names}
    if stage in names:
        return stage
    if stage not in titles:
        raise UsageError(f"{dataset} has no stage {stage!r}{nearest(stage, titles)}; it has: {', '.join(titles)}")
    return titles[stage]


def standing(dataset: str) -> tuple[dict[str, Any], Outcome | None]:
    """{"dataset", "stale", "error", "running"} and the last run's outcome. `stale` is None, and `error` says why, where it cannot be told
    now, as while a run goes on."""
    from schema.params import load

    load().dataset(dataset)
    under_way = running()
    try:
        stale, error = [stage["stage"] for stage in planned(dataset)], None
    except SynthmillError as fault:
        stale, error = None, str(fault) if under_way else f"whether it is up to date cannot be told: {fault}"
    return {"dataset": dataset, "stale": stale, "error": error, "running": under_way}, last_outcome(dataset)


def running() -> dict[str, Any] | None:
    """{"pid", "dataset", "stages": {stage: share}, "log"} of the run that holds this workspace now, None where there is none."""
    from tasks.lock import holder

    pid = holder()
    if pid is None:
        return None
    started = [path for path in (root() / "data" / "logs").glob("*/*/build.log") if not (path.parent / OUTCOME).is_file()]
    log = max(started, key=lambda path: path.stat().st_mtime, default=None)
    board = Board(log.parent.parent.name if log else "", ())
    for event in Events(log.parent / "events.jsonl").new() if log else ():
        board.apply(event)
    stages = {row.title: round(row.share, 3) for row in board.rows.values() if row.state == RUNNING}
    return {"pid": pid, "dataset": board.dataset, "stages": stages, "log": str(log) if log else None}


def refuse_while_running() -> None:
    """Raises SynthmillError while a run holds the workspace: what is stale is not known until it ends."""
    under_way = running()
    if under_way:
        stages = ", ".join(f"{title} {share:.0%}" for title, share in under_way["stages"].items()) or "starting"
        raise SynthmillError(
            f"a run of {under_way['dataset'] or 'a dataset'} goes on (pid {under_way['pid']}): {stages}; what there is to do is "
            f"known when it ends. Its log: {under_way['log']}"
        )


def changes(names: list[str]) -> dict[str, list[str]]:
    """What DVC finds changed about each stage, in words: {"train@pneumonia": ["params.yaml: datasets.pneumonia.train.lr modified"]}."""
    from tasks.graph import environment

    if not names:
        return {}
    command = [sys.executable, "-m", "dvc", "-q", "status", "--json", *names]
    done = subprocess.run(command, cwd=root(), env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SynthmillError(f"dvc status failed: {(done.stderr or done.stdout).strip()}")
    return {name: list(flatten(found)) for name, found in json.loads(done.stdout or "{}").items()}


def flatten(found: Iterable[Any]) -> Iterable[str]:
    """DVC's nested answer as sentences: `[{"changed deps": {"data/x": "modified"}}]` gives `data/x modified`."""
    for change in found:
        if isinstance(change, str):
            yield "its source changed" if change == "always changed" else change
            continue
        for what in change.values():
            for path, how in what.items():
                yield f"{path} {how}" if isinstance(how, str) else f"{path}: {', '.join(f'{key} {state}' for key, state in how.items())}"


def checked(dataset: str) -> tuple[list[dict[str, str]], int]:
    """Each check of a run as {"check", "status", "detail"}, and the exit code: that of the first that failed."""
    from catalog.publish import preflight
    from tasks import check

    def params_source_and_space() -> str:
        files = check.check(dataset).files()
        return f"the source has {len(files)} files" if files else "the source draws its own images"

    def git_and_store() -> str:
        preflight(dataset)
        return "a release could be committed, pushed and tagged"

    findings, code = [], 0
    for name, look in (("params, source, space", params_source_and_space), ("git, store", git_and_store)):
        try:
            findings.append({"check": name, "status": "ok", "detail": look()})
        except SynthmillError as error:
            findings.append({"check": name, "status": "fail", "detail": str(error)})
            code = code or error.exit_code
    return findings, code


def release_rows(releases: Iterable[Release], recalled: Mapping[str, Tombstone]) -> list[tuple[str, ...]]:
    """Rows of `list`: release and whether it was recalled, images, labels, gates."""
    return [
        (f"{one.tag} (recalled)" if one.tag in recalled else one.tag, str(one.images), counts(one.labels), panel(one)) for one in releases
    ]


def panel(release: Release) -> str:
    return ", ".join(f"{gate['gate']} {gate['status']}" for gate in release.gates)


def counts(labels: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in labels.items())


def print_release(release: Release) -> None:
    from catalog import versions

    facts = {
        "release": release.tag,
        "images": f"{release.images} ({counts(release.labels)})",
        "records": release.digests.records,
        "files": release.digests.files,
        "code": release.code_commit,
        "by dvc": f"dvc get . data/releases/{release.dataset} --rev {release.tag}",
    }
    gone = versions.recalled(release)
    if gone:
        facts["recalled"] = f"{gone.at[:10]} by {gone.by}: {gone.reason}"
    for name, value in facts.items():
        print(f"  {name:8} {value}")
    print()
    print_table(VERDICT_COLUMNS, verdict_rows(release.gates))


def write_documents(dataset: str, to: Path, public: bool, paper: str) -> list[Path]:
    """Writes every document of the dataset's record, and the report as PDF, into an empty folder."""
    from tasks.packet import write
    from tasks.reporting.pdf import write_pdf

    place = to.expanduser().resolve()
    ignored = any(place.is_relative_to(root() / name) for name in ("data", "reports"))
    if not public and place.is_relative_to(root()) and not ignored:
        raise UsageError(
            f"{to} lies in the checkout, where the next commit would take real images and exact scores along: name a folder outside of it "
            "or under reports/, or ask for --public"
        )
    report = report_file(dataset, public)
    written = write(dataset, to, "public" if public else "internal", paper)
    write_pdf(report.read_text(encoding="utf-8"), to / "report.pdf", paper)
    return [*written, to / "report.pdf"]


def report_file(dataset: str, public: bool) -> Path:
    """The report of the last build. Raises UsageError for a dataset that is not in params.yaml, SynthmillError before its first report."""
    from schema.params import load
    from tasks.stage import reports_folder

    load().dataset(dataset)
    path = reports_folder(dataset) / "report" / ("public/report.html" if public else "internal.html")
    if not path.is_file():
        raise SynthmillError(f"{path} is not there yet: `{COMMAND} run {dataset}` makes it")
    return path
