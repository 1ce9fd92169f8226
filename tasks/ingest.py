"""Real images in, Parquet shards out: keyed ids, one size, a split by patient that is for good, and every record accounted for.

python -m tasks.ingest pneumonia

Reads what is new or changed since the last run and finds the rest where it left it; the shards are those of a run that reads everything.
"""

import csv
import io
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schema.digest import read_json, sha256_json, sha256_set, write_bytes, write_json
from schema.errors import SynthmillError
from schema.params import Ingest, load
from schema.record import SPLITS, real_schema
from schema.settings import id_key, root
from schema.withdrawn import Withdrawn, withdrawn_file
from tasks.ingesting.duplicates import Copies, find_copies
from tasks.ingesting.gathering import Gathered, gather
from tasks.ingesting.keys import key_mark
from tasks.ingesting.reader import check_source
from tasks.ingesting.rows import Damaged, Rows, rows_file
from tasks.ingesting.splits import deal, ledger, ledger_file, read_ledger
from tasks.progress import ticking
from tasks.shards import write_rows
from tasks.sources import Source
from tasks.stage import Scratch, ingest_folder, main, reports_folder

if TYPE_CHECKING:
    import pandas as pd

PLAIN = ("id", "patient", "label", "sha256")
"""What the rows of every dataset have as it was read."""


def run(dataset: str) -> None:
    """Ingests a dataset's source into data/ingest/<dataset>. Raises SynthmillError for what a person must put right."""
    params = load().dataset(dataset).ingest
    source = check_source(dataset, params)
    if not source.drawn and not id_key():
        print(
            "SYNTHMILL_ID_KEY is not set: whoever knows an id of the source can recognise its digest; set it for private data",
            file=sys.stderr,
        )
    path = rows_file(dataset)
    try:
        _ingest(dataset, params, source, path)
    except Damaged:
        print("what earlier runs had read is damaged on the disk: it is thrown away, and read from the source again", file=sys.stderr)
        for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
        _ingest(dataset, params, source, path)


def _ingest(dataset: str, params: Ingest, source: Source, path: Path) -> None:
    gone = _withdrawn(dataset)
    dealt = {patient: split for patient, split in read_ledger(dataset, params.split).items() if patient not in gone}
    scratch = Scratch("ingest", dataset, params=params.model_dump(mode="json"))
    scratch.keep_only()
    rows = Rows(path)
    try:
        gathered = gather(dataset, params, source, rows)
        _refuse_faults(dataset, params, gathered)
        copies = _set_copies_aside(dataset, params, gathered, gone)
        splits = _splits(dataset, params, gathered.facts, dealt)
        order = sorted(range(len(splits)), key=lambda index: gathered.facts[index]["id"])
        frame = _frame(params, gathered.facts, splits, order)
        checks = _check(dataset, params, frame)
        shards = _write_shards(scratch.folder, params, gathered, splits, order, rows)
        rows.forget(gathered.held)
    finally:
        rows.close()
    for name in params.attributes:
        if frame[name].isna().all():
            print(f"no record has the attribute {name}: is ingest.attributes.{name}.from the source's word for it?", file=sys.stderr)
    _write_lists(scratch.folder, source, frame, gathered, splits)
    write_json(scratch.folder / "manifest.json", _manifest(dataset, params, frame, gathered, splits, copies, checks, shards))
    write_json(ledger_file(dataset), ledger(dealt | dict(zip(frame["patient"], frame["split"], strict=True)), params.split))
    scratch.move_to(ingest_folder(dataset))


def _withdrawn(dataset: str) -> Container[str]:
    """The keyed patients who were withdrawn. Raises SynthmillError where another id key is set, under which nobody would be known again."""
    said = Withdrawn.of(dataset)
    if said.patients and said.key != key_mark():
        raise SynthmillError(
            f"SYNTHMILL_ID_KEY is not the key under which patients were withdrawn from {dataset}: export that key; under another, "
            f"{withdrawn_file(dataset)} would name nobody, and they would come back"
        )
    return said.patients.keys()


def _refuse_faults(dataset: str, params: Ingest, gathered: Gathered) -> None:
    """Raises SynthmillError if more of the source is at fault than `max_rejected` allows; says on stderr what is set aside within it."""
    identities = Counter([facts["id"] for facts in gathered.facts])
    twice = [identity for identity, count in identities.items() if count > 1]
    if twice:
        raise SynthmillError(f"the source of {dataset} has two records of one id ({twice[0]}): ids must be unique. {_whose(dataset)}")
    if not gathered.facts:
        reasons = Counter(entry["reason"] for entry in gathered.quarantined)
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        raise SynthmillError(f"nothing of {dataset} can be used: {told or 'its source is empty'}. {_whose(dataset)}")
    faulty = sum(map(len, gathered.faults.values()))
    if not faulty:
        return
    limit = params.max_rejected
    if faulty / gathered.total > limit:
        raise SynthmillError(
            f"{faulty} of {gathered.total} images of {dataset} cannot be used: {_reasons(gathered)}; mend or remove them in the source, "
            f"or raise datasets.{dataset}.ingest.max_rejected (now {limit:g}) to set up to that share of them aside. {_whose(dataset)}"
        )
    print(f"set aside {faulty} of {gathered.total}: {_reasons(gathered)}. {_whose(dataset)}", file=sys.stderr)


def _whose(dataset: str) -> str:
    return f"`./mill locate {dataset} ID` says which file an id is of"


def _reasons(gathered: Gathered, most: int = 5) -> str:
    parts = []
    for reason, ids in sorted(gathered.faults.items()):
        more = f" and {len(ids) - most} more" if len(ids) > most else ""
        parts.append(f"{reason} {len(ids)} ({', '.join(sorted(ids)[:most])}{more})")
    return ", ".join(parts)


def _set_copies_aside(dataset: str, params: Ingest, gathered: Gathered, gone: Container[str]) -> Copies:
    """Leaves one image of each set of copies, and none of who was withdrawn, under whatever patient it stands."""
    with ticking("ingest", "looking for copies", 1, "set") as ticker:
        copies = find_copies(gathered.facts, gathered.thumbnails, params.duplicates, gone)
        ticker.update()
    if copies.across and params.duplicates.across == "refuse":
        raise SynthmillError(
            f"{copies.across} sets of copies in {dataset} stand under several patients: mend the source, or set "
            f"datasets.{dataset}.ingest.duplicates.across to quarantine, which keeps one image of each set"
        )
    gathered.remove(copies.aside, gone)
    if not gathered.facts:
        raise SynthmillError(
            f"every patient of {dataset} was withdrawn or set aside ({gathered.withdrawn} records withdrawn): nothing is left"
        )
    return copies


def _splits(dataset: str, params: Ingest, facts: list[dict[str, Any]], dealt: dict[str, str]) -> list[str]:
    """The split of each record: the source's own, or its patient's."""
    if params.split.by == "patient":
        tags: dict[str, set[str]] = defaultdict(set)
        for row in facts:
            tags[row["patient"]].update(_strata(params, row))
        splits = deal(tags, dealt, params.split)
        return [splits[row["patient"]] for row in facts]
    first: dict[str, str] = {}
    for row in facts:
        if row["split"] not in SPLITS:
            raise SynthmillError(
                f"record {row['id']} comes without one of the splits {', '.join(SPLITS)}: set datasets.{dataset}.ingest.split.by to patient"
            )
        if first.setdefault(row["patient"], row["split"]) != row["split"]:
            raise SynthmillError(
                f"the patient of record {row['id']} is in two splits ({first[row['patient']]} and {row['split']}): "
                f"mend the source's split, or set datasets.{dataset}.ingest.split.by to patient"
            )
    return [row["split"] for row in facts]


def _strata(params: Ingest, row: dict[str, Any]) -> Iterator[str]:
    for name in params.split.stratify:
        values = [row["label"]] if name == "label" else params.attributes[name].tags(row["attributes"][name])
        yield from (f"{name}={value}" for value in values)


def _frame(params: Ingest, facts: list[dict[str, Any]], splits: list[str], order: list[int]) -> "pd.DataFrame":
    """What is written down of the records, a row each, in the order of their keyed ids."""
    import pandas as pd

    columns: dict[str, list] = {name: [facts[index][name] for index in order] for name in (*PLAIN, "height", "width")}
    columns["split"] = [splits[index] for index in order]
    return pd.DataFrame(columns | {name: [facts[index]["attributes"][name] for index in order] for name in params.attributes})


def _check(dataset: str, params: Ingest, frame: "pd.DataFrame") -> dict:
    """What Great Expectations finds. Raises SynthmillError naming what does not hold."""
    from tasks.checks import check_manifest

    docs = reports_folder(dataset) / "data-docs"
    with ticking("ingest", "checking rows", 1, "suite") as ticker:
        checks = check_manifest(frame, dataset, params, docs)
        ticker.update()
    if not checks["success"]:
        raise SynthmillError(f"the manifest of {dataset} fails {', '.join(checks['failed'])}: see {docs}/index.html")
    return checks


def _write_shards(
    folder: Path, params: Ingest, gathered: Gathered, splits: list[str], order: list[int], rows: Rows
) -> list[dict[str, Any]]:
    """The shards of each split, their rows in the order of the keyed ids; memory holds a part of one shard at a time."""
    schema = real_schema(params.images, {name: attribute.arrow for name, attribute in params.attributes.items()})
    dates = [name for name, attribute in params.attributes.items() if attribute.kind == "date"]

    def row(index: int) -> dict[str, Any]:
        facts = gathered.facts[index]
        attributes = facts["attributes"] | {name: _day(facts["attributes"][name]) for name in dates}
        images = {name: {"bytes": data, "path": f"{facts['id']}.png"} for name, data in rows.images(*gathered.places[index]).items()}
        return {**{name: facts[name] for name in PLAIN}, "split": splits[index], **attributes, **images}

    shards = []
    with ticking("ingest", "writing shards", len(order), "image") as ticker:
        for split in SPLITS:
            mine = [index for index in order if splits[index] == split]
            for number, start in enumerate(range(0, len(mine), params.shard_size)):
                name, part = f"{split}-{number:05d}.parquet", mine[start : start + params.shard_size]
                digest = write_rows(folder / name, map(row, part), schema)
                shards.append({"file": name, "split": split, "rows": len(part), "sha256": digest})
                ticker.update(len(part))
    return shards


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _write_lists(folder: Path, source: Source, frame: "pd.DataFrame", gathered: Gathered, splits: list[str]) -> None:
    _write_csv(folder / "splits.csv", ["id", "patient", "split", "label"], frame.to_dict("records"))
    people = {(facts["patient"], facts["person"], split) for facts, split in zip(gathered.facts, splits, strict=True)}
    columns = ["patient", "person", "split"]
    _write_csv(folder / "persons.csv", columns, [dict(zip(columns, each, strict=True)) for each in sorted(people)])
    _write_csv(folder / "quarantine.csv", ["id", "reason"], sorted(gathered.quarantined, key=lambda entry: (entry["id"], entry["reason"])))
    if source.drawn:
        truths = sorted((facts["id"], facts["truth"]) for facts in gathered.facts)
        lines = (json.dumps({"id": identity, **truth}, ensure_ascii=False) + "\n" for identity, truth in truths)
        write_bytes(folder / "truth.jsonl", "".join(lines).encode())


def _manifest(
    dataset: str,
    params: Ingest,
    frame: "pd.DataFrame",
    gathered: Gathered,
    splits: list[str],
    copies: Copies,
    checks: dict,
    shards: list[dict],
) -> dict[str, Any]:
    reasons = Counter(entry["reason"] for entry in gathered.quarantined)
    shares = {}
    for split in SPLITS:
        part = frame[frame["split"] == split]
        counts = part["label"].value_counts()
        shares[split] = {
            "images": len(part),
            "patients": int(part["patient"].nunique()),
            "labels": {label: int(counts.get(label, 0)) for label in params.labels},
        }
    return {
        "dataset": dataset,
        "source": read_json(root() / "data" / "sources" / f"{dataset}.json"),
        "approval": params.approval.model_dump(mode="json") if params.approval else None,
        "digest": sha256_set(
            sha256_json([*(facts[name] for name in PLAIN), split, facts["further"], facts["attributes"]])
            for facts, split in zip(gathered.facts, splits, strict=True)
        ),
        "labels": params.labels,
        "image": params.image.model_dump(mode="json", include={"height", "width", "channels"}),
        "images": {name: form.model_dump(mode="json", exclude={"fit"}) for name, form in params.images.items()},
        "attributes": {name: attribute.declared() for name, attribute in params.attributes.items()},
        "counts": {"in": gathered.total, "out": len(frame), "quarantined": dict(sorted(reasons.items())), "withdrawn": gathered.withdrawn},
        "dropped": gathered.dropped(),
        "missing": {name: int(count) for name, count in frame[list(params.attributes)].isna().sum().items()},
        "copies": {
            "sets_within_a_patient": copies.within,
            "sets_across_patients": copies.across,
            "images": copies.images,
            "sets_with_different_labels": copies.labels_differ,
        },
        "patients_spelled_differently": gathered.spelled_differently(),
        "splits": shares,
        "checks": checks,
        "shards": shards,
    }


def _write_csv(path: Path, columns: list[str], rows: list[dict]) -> None:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, stream.getvalue().encode())


if __name__ == "__main__":
    main(run)
