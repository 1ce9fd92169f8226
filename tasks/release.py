"""Lets a dataset out, or refuses: gathers what the gates said, and only if none objects writes data/releases/<dataset>.

    python -m tasks.release pneumonia

Ends with exit code 3 and writes nothing when a required gate did not pass, or anything of the real data would leave.
"""

import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

import tasks.gates
from catalog import folder as release_folder
from catalog import store, sums, versions
from schema import binning, params
from schema.conditions import Condition
from schema.digest import Digests, read_json, sha256_file, write_bytes, write_json
from schema.errors import GateFailed, IntegrityError, SynthmillError
from schema.plugins import named
from schema.policy import Waiver
from schema.release import Release, ReleaseDigests, Version, files_digest, next_version
from schema.settings import root
from schema.threads import each
from schema.verdict import Status, Subject, Verdict, objections
from tasks import cards, provenance, watermarks
from tasks.configs import gate_config, generator_config
from tasks.exports import Draft
from tasks.exports.parquet import Plugin as ParquetExport
from tasks.gate import subject
from tasks.leaks import RealData
from tasks.progress import ticking
from tasks.shards import manifest
from tasks.stage import ingest_folder, main, model_folder, reports_folder, samples_folder, verdict_file

PUBLIC_REPORT = ("report.html", "report.json")
"""What goes out of the report's public edition; nothing else that may lie beside them does."""


@dataclass(frozen=True)
class Samples:
    """The synthetic images, checked: their records' digests, and the pixels' digests of those that are real images."""

    draft: Draft
    records: Digests
    copies: set[str]


def run(dataset: str) -> None:
    """Raises GateFailed with every objection, IntegrityError for bytes that are not what a manifest or a verdict names."""
    everything = params.load()
    section = everything.dataset(dataset)
    out = root() / store.released_path(dataset)
    half_made = out.with_name(f".{dataset}.part")
    # What lies there was let out by other verdicts than these, or was left by a run that was killed.
    for folder in (out, half_made):
        if folder.exists():
            shutil.rmtree(folder)
    about = subject(dataset)
    gates = weigh(dataset, everything, about)
    said = {"ingest": manifest(ingest_folder(dataset)), "samples": manifest(samples_folder(dataset))}
    said |= {"model": read_json(model_folder(dataset) / "model.json"), "report": public_report(dataset, about)}
    check_params(dataset, section, said)
    real = RealData(ingest_folder(dataset), said["ingest"])
    samples = check_samples(dataset, said, real)
    said["watermark"] = watermarks.check(dataset, samples.draft, section.sample.watermark)
    real.refuse_copies(dataset, samples.copies)
    half_made.mkdir(parents=True)
    try:
        assemble(half_made, dataset, section, said, gates, samples, real)
    except BaseException:
        shutil.rmtree(half_made)
        raise
    half_made.rename(out)


def check_params(dataset: str, section: params.Dataset, said: dict[str, Any]) -> None:
    """Raises IntegrityError where weights or samples were made under other params than the release would say."""
    planted, asked = said["model"]["canaries"], section.train.canaries
    for what, found, expected in (
        ("weights", said["model"]["params"], generator_config(dataset, section).model_dump(mode="json")),
        (
            "weights",
            {"canaries": (planted["n"], planted["seed"]) if planted else None},
            {"canaries": (asked.n, asked.seed) if asked.n else None},
        ),
        ("weights", {"init": (said["model"].get("init") or {}).get("reference")}, {"init": section.train.init}),
        ("samples", said["samples"]["params"], section.sample.model_dump(mode="json")),
    ):
        if found != expected:
            keys = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
            raise IntegrityError(
                f"the {what} of {dataset} were made under other params than params.yaml has now ({sums.some(keys)}): "
                f"run `./mill run {dataset}` again"
            )


def weigh(dataset: str, everything: params.Params, about: Subject) -> list[dict[str, Any]]:
    """Each gate's verdict in short. Raises GateFailed listing every objection with its number and threshold, or if no gate is required."""
    section = everything.dataset(dataset)
    configs = {kind: gate_config(dataset, section, kind).model_dump(mode="json") for kind in everything.panel}
    if not any(config["required"] for config in configs.values()):
        raise GateFailed(
            f"{dataset} is not released: no gate of the panel is required, so nothing could hold it back; "
            f"set `required: true` in a section of datasets.{dataset}.gates"
        )
    summaries, against = [], []
    for kind, config in configs.items():
        verdict = read_verdict(verdict_file(dataset, kind))
        objection = objections(verdict, kind, config, about, section.policy.waiver)
        if objection is not None:
            against.append(objection + (f" ({in_numbers(verdict)})" if verdict else ""))
        stands = verdict is not None and verdict.subject == about and verdict.config == config
        direction = named(tasks.gates, kind, "panel").direction
        waiver = section.policy.waiver(kind, verdict.digest) if stands and verdict.status is not Status.PASS else None
        summaries.append(summary(kind, config, direction, verdict if stands else None, waiver))
    if against:
        page = reports_folder(dataset) / "report" / "internal.html"
        lines = "\n".join(f"  {line}" for line in against)
        raise GateFailed(
            f"{dataset} is not released: {len(against)} of {len(everything.panel)} gates object\n{lines}\nThe whole story: {page}"
        )
    return summaries


def read_verdict(path: Path) -> Verdict | None:
    """None where the gate wrote none. Raises SynthmillError for a file that is not a verdict."""
    if not path.is_file():
        return None
    try:
        return Verdict.load(path)
    except ValidationError as error:
        raise SynthmillError(f"{path} is not a verdict ({error.errors()[0]['msg']}): delete it and run again") from None


def in_numbers(verdict: Verdict) -> str:
    bound = f"must be {verdict.direction.replace('_', ' ')} {verdict.threshold:g}"
    if verdict.value is None:
        return f"no number; {bound}"
    interval = f", interval {verdict.interval[0]:.4g} to {verdict.interval[1]:.4g}" if verdict.interval else ""
    return f"{verdict.unit}: {verdict.value:.4g}{interval}; {bound}"


def summary(kind: str, config: dict[str, Any], direction: str, verdict: Verdict | None, waiver: Waiver | None = None) -> dict[str, Any]:
    """What the tag, the card and provenance.json say of a gate, its numbers binned as in the public report; MISSING for one that did not
    measure these bytes."""
    said = {"gate": kind, "required": config["required"], "threshold": config["threshold"], "direction": direction}
    if verdict is None:
        return said | {"status": "MISSING", "value": None, "interval": None, "unit": None}
    if waiver is not None:
        said["waived"] = {"by": waiver.by, "reason": waiver.reason, "until": waiver.until.isoformat() if waiver.until else None}
    finite = all(math.isfinite(number) for number in (verdict.value or 0.0, *(verdict.interval or ())))
    value, interval = binning.judged(verdict.value, verdict.interval, verdict.threshold, verdict.direction) if finite else (None, None)
    return said | {
        "status": str(verdict.status),
        "value": value,
        "interval": list(interval) if interval else None,
        "unit": verdict.unit,
    }


def public_report(dataset: str, about: Subject) -> dict[str, Any]:
    """The public edition of report.json. Raises SynthmillError where it is missing, IntegrityError if it speaks of other bytes."""
    folder = reports_folder(dataset) / "report" / "public"
    for name in PUBLIC_REPORT:
        if not (folder / name).is_file():
            raise SynthmillError(f"{folder / name} is missing: run the report stage first (`./mill run {dataset}` runs them all)")
    said = read_json(folder / "report.json")
    found = {part: said["provenance"][part]["digest"] for part in ("real", "synthetic", "model")}
    if Subject(**found) != about:
        raise IntegrityError(f"{folder / 'report.json'} is about other bytes than those being released: run the report stage again")
    return said


def check_samples(dataset: str, said: dict[str, Any], real: RealData) -> Samples:
    """Decodes every sample. Raises IntegrityError for a shard, a row or a manifest that is not what its digest names."""
    folder, samples = samples_folder(dataset), said["samples"]
    again = f"delete {folder} and run again"

    def look(of: tuple[Path, pa.RecordBatch]) -> tuple[bytes, set[str]]:
        path, batch = of
        return release_folder.digests_of(batch, path, again, marked=True), real.pixels.intersection(batch["sha256"].to_pylist())

    records, copies = Digests(), set()
    with ticking("release", "checking images", samples["n"], "image") as ticker:
        for raw, found in each(look, batches(folder, samples["shards"], again)):
            ticker.update(len(raw) // 32)
            records.add(raw)
            copies |= found
    if records.sha256() != samples["digest"]:
        raise IntegrityError(f"{folder / 'manifest.json'} names another digest than its shards have: {again}")
    told = [Condition(**condition) for condition in samples["conditions"]]
    draft = Draft(dataset, said["ingest"]["labels"], [folder / entry["file"] for entry in samples["shards"]], len(records), told)
    return Samples(draft, records, copies)


def batches(folder: Path, shards: list[dict[str, Any]], remedy: str) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """The rows of the shards that a manifest names, with the file that they are in."""
    for entry in shards:
        path = folder / entry["file"]
        if not path.is_file() or sha256_file(path) != entry["sha256"]:
            raise IntegrityError(f"{path} is missing or its bytes have changed since it was drawn: {remedy}")
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=256):
            yield path, batch


def assemble(out: Path, dataset: str, section: params.Dataset, said: dict, gates: list[dict], samples: Samples, real: RealData) -> None:
    """Writes the whole release into the empty folder `out`."""
    ParquetExport().write(samples.draft, out)
    (out / "privacy").mkdir()
    for name in PUBLIC_REPORT:
        path = reports_folder(dataset) / "report" / "public" / name
        real.refuse_report(path)
        shutil.copyfile(path, out / "privacy" / name)
    data = sums.found(out)
    digests = ReleaseDigests(records=samples.records.sha256(), files=files_digest(data))
    version, previous = decide(dataset, digests, said["samples"], samples.records)
    facts = provenance.describe(dataset, version, previous, digests, section, said, gates)
    write_json(out / release_folder.PROVENANCE, facts)
    date = provenance.date_published()
    write_bytes(out / "README.md", cards.readme(facts, section.card, said["report"]).encode())
    files = [(path, digest, (out / path).stat().st_size) for path, digest in data.items() if path.startswith("data/")]
    write_json(out / "croissant.json", cards.croissant(facts, section.card, said["report"], files, date))
    sums.write(out, data)


def decide(dataset: str, digests: ReleaseDigests, samples: dict[str, Any], records: Digests) -> tuple[str, str | None]:
    """The version of these bytes by `schema.release.next_version`, and the one before it."""
    known = versions.releases(dataset)
    last = known[-1] if known else None
    same_records = last is not None and last.digests.records == digests.records
    version = next_version(
        Version.parse(last.version) if last else None,
        same_files=same_records and last.digests.files == digests.files,
        same_records=same_records,
        contains_previous=last is not None and not same_records and contains(last, samples, records),
    )
    previous = versions.before(version, known)
    return str(version), previous.version if previous else None


def contains(last: Release, samples: dict[str, Any], records: Digests) -> bool:
    """Whether every record of the last release is among these. Its bytes are fetched only when the counts leave that open."""
    if any(samples["labels"].get(label, 0) < count for label, count in last.labels.items()):
        return False
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        earlier = store.fetch(root(), last, Path(scratch) / "release")
        return records.contains(release_folder.record_digests(earlier))


if __name__ == "__main__":
    main(run)
