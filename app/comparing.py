"""Releases side by side: lists with their stages, what changed between two, and promotions."""

from collections.abc import Mapping
from typing import Any

from app.reading import release_rows
from app.words import next_step, print_json, print_table, say
from schema.release import Release

VERDICTS = ("better", "worse", "same", "other measure", "new", "gone")


def list_all(found: list[Release], as_json: bool) -> None:
    """Every release with the stages that it stands in, and whether it was recalled."""
    import catalog

    gone = catalog.tombstones()
    stands = {dataset: stages_of(dataset) for dataset in {release.dataset for release in found}}
    named = [stands[release.dataset].get(release.version, []) for release in found]
    if as_json:
        stones = [stone.model_dump(mode="json") if (stone := gone.get(release.tag)) else None for release in found]
        return print_json(
            [
                release.model_dump(mode="json") | {"stages": each, "recalled": stone}
                for release, each, stone in zip(found, named, stones, strict=True)
            ]
        )
    rows = [(row[0], ", ".join(each) or "-", *row[1:]) for row, each in zip(release_rows(found, gone), named, strict=True)]
    print_table(("release", "stages", "images", "labels", "gates"), rows)
    if found:
        next_step(f"promote {found[-1].tag} prod")


def stages_of(dataset: str) -> dict[str, list[str]]:
    """{version: the stages that it stands in now}."""
    from catalog import stages

    found: dict[str, list[str]] = {}
    for stage, version in stages.standing(dataset).items():
        found.setdefault(version, []).append(stage)
    return found


def show_diff(a: str, b: str, as_json: bool) -> None:
    """Prints what changed from release `a` to `b`, a version alone standing for one of the same dataset."""
    import catalog

    found = catalog.compare(a, b if "@" in b else f"{a.partition('@')[0]}@{b}")
    if as_json:
        return print_json(found)
    print_comparison(found)
    next_step(f"show {found['to']}")


def print_comparison(found: Mapping[str, Any]) -> None:
    print(f"{found['from']} to {found['to']}: {verdict_of(found)}")
    print()
    counts = {"images": found["images"], **found["labels"]}
    print_table(("", "before", "now"), [(name, str(each["from"]), str(each["to"])) for name, each in counts.items()])
    print()
    print_table(("gate", "against before", "in words"), [(gate["gate"], gate["verdict"], gate["words"]) for gate in found["gates"]])
    print()
    for title, part in (("made from", "made_from"), ("digests", "digests"), ("params", "params")):
        if found[part]:
            rows = [(name, short(each["from"]), short(each["to"])) for name, each in found[part].items()]
            print_table((title, "before", "now"), rows)
            print()
    same = [word for word, part in (("what it was made from", "made_from"), ("params", "params")) if not found[part]]
    if same:
        say(f"unchanged: {', '.join(same)}")


def verdict_of(found: Mapping[str, Any]) -> str:
    """One line on the gates: how many are better, worse, and which no longer pass."""
    said = [gate["verdict"] for gate in found["gates"]]
    lost = [gate["gate"] for gate in found["gates"] if gate["status"]["from"] == "PASS" and gate["status"]["to"] not in ("PASS", None)]
    counts = ", ".join(f"{said.count(word)} {word}" for word in VERDICTS if said.count(word))
    return f"gates: {counts or 'none'}" + (f"; no longer passed: {', '.join(lost)}" if lost else "")


def short(value: Any) -> str:
    """A digest by its head; a value that was not there as a dash."""
    text = "-" if value is None else str(value)
    return f"{text[:12]}…" if len(text) in (40, 64) and set(text) <= set("0123456789abcdef") else text


def promoted(spec: str, stage: str, as_json: bool) -> None:
    from catalog import stages

    done = stages.promote(spec, stage)
    if as_json:
        return print_json(done.as_json())
    before = "" if done.before in (None, done.release) else f", in place of {done.before}"
    print(f"{done.release} is {done.stage} ({done.tag}){before}")
    dataset = done.release.partition("@")[0]
    say(
        f"pushed to {done.pushed}"
        if done.pushed
        else f"not pushed, as SYNTHMILL_GIT_REMOTE is not set: `git push REMOTE '{done.tag}'` shares it"
    )
    next_step(f"get {dataset}@{stage} --to FOLDER")
