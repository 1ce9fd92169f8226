"""What changed from one release to another: by the command line and by `catalog.compare`."""

import json

import pytest
import release_workspace as rw

import catalog
from app import cli
from catalog import cache, folder
from catalog.compare import gate_change
from schema.digest import read_json

BEFORE, AFTER = f"{rw.NAME}@v1.0.0", f"{rw.NAME}@v1.1.0"


@pytest.fixture
def two(extended, monkeypatch) -> rw.Workspace:
    return extended.adopt(monkeypatch)


@pytest.fixture
def said(two, monkeypatch, capsys):
    """Runs the command line in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["synthmill", *words])
        monkeypatch.setattr("sys.excepthook", None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_a_dataset_that_was_extended_is_a_minor_version_that_has_every_earlier_record(two):
    known = catalog.releases(rw.NAME)
    assert [release.tag for release in known] == [BEFORE, AFTER]
    earlier, later = (folder.record_digests(cache.cached(release, two.root)) for release in known)
    assert (len(earlier), len(later)) == (12, 14)
    assert (later.contains(earlier), earlier.contains(later)) == (True, False)
    assert catalog.load(AFTER).slice(0, 12).equals(catalog.load(BEFORE))


def test_what_changed_is_said_and_nothing_else(two):
    found = catalog.compare(BEFORE, f"{rw.NAME}@prod")
    assert (found["from"], found["to"]) == (BEFORE, AFTER)
    assert found["images"] == {"from": 12, "to": 14}
    assert found["labels"] == {"normal": {"from": 6, "to": 7}, "pneumonia": {"from": 6, "to": 7}}
    assert found["params"] == {"sample.n": {"from": 12, "to": 14}, "gates.fid.threshold": {"from": 20.0, "to": 25.0}}
    assert set(found["made_from"]) == {"samples"}, "the same source, model and code"
    assert set(found["digests"]) == {"records", "files", "sums"}
    attack, fid = found["gates"]
    assert attack["value"] == {"from": 0.01, "to": 0.02}
    assert attack["margin"]["to"] == pytest.approx(0.05 - 0.02)
    assert attack["words"] == "worse, within the intervals of both: 0.01 to 0.02, at most 0.05 (0.03 to spare)"
    assert (fid["verdict"], fid["threshold"]) == ("same", {"from": 20.0, "to": 25.0})
    assert fid["words"].endswith("no two numbers to compare; its threshold was loosened from 20 to 25")
    assert catalog.compare(AFTER, AFTER)["params"] == catalog.compare(AFTER, AFTER)["digests"] == {}


def gate(value: float | None, threshold: float = 0.8, direction: str = "at_least", status: str = "PASS", **more) -> dict:
    return {
        "gate": "g",
        "status": status,
        "value": value,
        "interval": None,
        "threshold": threshold,
        "direction": direction,
        "unit": "u",
    } | more


@pytest.mark.parametrize(
    ("old", "new", "verdict", "words"),
    [
        (gate(0.85), gate(0.9), "better", "better: 0.85 to 0.9, at least 0.8 (0.1 to spare)"),
        (gate(0.85), gate(0.7, status="FAIL"), "worse", "worse: 0.85 to 0.7, at least 0.8 (short by 0.1); PASS before, FAIL now"),
        (gate(0.1, 0.2, "at_most"), gate(0.3, 0.4, "at_most"), "worse", "(0.1 to spare); its threshold was loosened from 0.2 to 0.4"),
        (gate(0.85), gate(0.85, 0.7), "same", "its threshold was loosened from 0.8 to 0.7"),
        (gate(0.85), gate(0.85, 0.84), "same", "its threshold was tightened from 0.8 to 0.84"),
        (gate(0.85), gate(None, status="INSUFFICIENT"), "other measure", "PASS before, INSUFFICIENT now"),
        (gate(0.85), gate(0.9, unit="v"), "other measure", "measures v now, and u before"),
        (None, gate(0.9), "new", "was not in the panel before; PASS (0.9, at least 0.8)"),
        (gate(0.9), None, "gone", "is in the panel no more; PASS (0.9, at least 0.8)"),
    ],
)
def test_better_and_worse_go_by_the_side_that_is_good(old, new, verdict, words):
    found = gate_change(old, new)
    assert found["verdict"] == verdict
    assert words in found["words"]


def test_diff_and_report_compare_print_the_same_and_json(said):
    code, shown, _ = said("diff", BEFORE, "prod")
    assert code == 0
    assert "gates: 1 worse, 1 same" in shown
    assert "0.01 to 0.02, at most 0.05 (0.03 to spare)" in shown
    assert "sample.n" in shown
    assert said("report", "--compare", BEFORE, AFTER)[1] == shown
    assert json.loads(said("diff", BEFORE, AFTER, "--json")[1]) == catalog.compare(BEFORE, AFTER)
    code, _, words = said("diff", BEFORE, "v7.0.0")
    assert (code, "has no v7.0.0; there are: v1.0.0, v1.1.0" in words) == (2, True)


def test_list_all_and_promote_on_the_command_line(said, two):
    rows = json.loads(said("list", "--all", "--json")[1])
    assert [(row["version"], row["stages"]) for row in rows] == [("v1.0.0", []), ("v1.1.0", ["prod"])]
    code, shown, words = said("promote", AFTER, "prod")
    assert (code, shown) == (0, f"{AFTER} is prod ({rw.NAME}#prod#1)\n")
    assert "not pushed" in words
    assert json.loads(said("promote", f"{rw.NAME}@^1", "prod", "--json")[1])["release"] == AFTER
    assert said("promote", f"{rw.NAME}@v3.0.0", "prod")[0] == 2
    assert said("list", "--all")[1].splitlines()[-1].split()[:2] == [AFTER, "prod"]


def test_get_by_stage_on_the_command_line(said, tmp_path):
    assert json.loads(said("get", f"{rw.NAME}@prod", "--to", str(tmp_path / "got"), "--json")[1])["release"] == AFTER
    assert read_json(tmp_path / "got/provenance.json")["version"] == "v1.1.0"
