"""Ingest accounts for every record, splits by patient for good, reads only what is new, and lets no word of the source through."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.reading import located
from schema.errors import SynthmillError, UsageError
from schema.marking import is_marked
from schema.params import load
from schema.record import SPLITS, decode_png
from schema.withdrawn import Withdrawn
from tasks import ingest, scan
from tasks.ingesting import gathering, keys
from tests.conftest import CHECKOUT
from tests.ingest_workspace import Workspace
from tests.planted import found, plant


@pytest.fixture
def work(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("SYNTHMILL_ROOT", str(tmp_path))
    monkeypatch.setenv("SYNTHMILL_READERS", "1")
    return Workspace(tmp_path)


@pytest.fixture
def filled(work) -> Workspace:
    """60 images of 30 patients, two classes."""
    for k in range(60):
        work.add(f"scan-{k:03d}.png", k, label="ab"[k % 2], patient=f"person-{k // 2}")
    return work


def test_every_record_is_accounted_for_and_no_word_of_the_source_is_in_any_output(filled):
    (filled.images / "scan-000.png").write_bytes((filled.images / "scan-000.png").read_bytes()[:300])
    filled.add("scan-blank.png")
    Image.new("L", (40, 30), 7).save(filled.images / "scan-blank.png")
    filled.add("scan-white.png")
    white = np.full((40, 30), 255, np.uint8)
    white[0, :8] = 0
    Image.fromarray(white).save(filled.images / "scan-white.png")
    filled.add("scan-tiny.png", 5, size=(8, 40))
    filled.add("scan-gone.png")
    said = filled.run(max_rejected=0.1)
    expected = {"truncated image": 1, "blank": 1, "saturated": 1, "too small": 1, "missing file": 1}
    assert said["counts"] == {"in": 64, "out": 59, "quarantined": expected, "withdrawn": 0}
    with (filled.out / "quarantine.csv").open() as stream:
        assert Counter(row["reason"] for row in csv.DictReader(stream)) == expected
    assert sum(split["images"] for split in said["splits"].values()) == len(filled.table()) == 59
    assert said["checks"]["success"]
    for path, text in filled.said().items():
        assert not [word for word in ("scan-", "person-", "archive") if word in text], path


def test_the_data_docs_show_each_check_and_ask_nothing_of_the_network(filled):
    filled.run(prevalence={"a": [0.4, 0.6]})
    docs = filled.folder / "reports" / "scans" / "data-docs"
    pages = {page: page.read_text() for page in docs.rglob("*.html")}
    assert len(pages) == 5, "the first page, and two for each of two suites"
    for page, text in pages.items():
        assert not re.search(r"<(?:link|script|img)[^>]+https?://", text), page
    first = pages[docs / "index.html"]
    assert first.count("✓ yes") == json.loads((filled.out / "manifest.json").read_text())["checks"]["evaluated"] + 2
    assert all((docs / link).is_file() for link in re.findall(r'href="([^"]+)"', first))


def test_faults_are_refused_by_reason_and_keyed_id_or_set_aside_within_a_share(filled, capsys):
    for name in ("scan-000.png", "scan-002.png", "scan-003.png"):
        (filled.images / name).write_bytes(b"" if name == "scan-000.png" else b"no image")
    with pytest.raises(SynthmillError) as caught:
        filled.run(max_rejected=0.049)
    message = str(caught.value)
    assert re.search(
        r"^3 of 60 images of scans cannot be used: not a readable image 2 \([0-9a-f]{16}, [0-9a-f]{16}\), zero-byte file 1 \(", message
    )
    assert "raise datasets.scans.ingest.max_rejected (now 0.049)" in message
    assert "./mill locate scans ID" in message
    assert "scan-0" not in message
    assert not filled.out.exists()
    assert filled.run(max_rejected=0.05)["counts"]["out"] == 57
    assert "set aside 3 of 60: not a readable image 2" in capsys.readouterr().err
    found = located("scans", re.findall(r"[0-9a-f]{16}", message))
    assert sorted(Path(each["where"]).name for each in found) == ["scan-000.png", "scan-002.png", "scan-003.png"]
    patient = filled.table()[0]["patient"]
    assert {each["what"] for each in located("scans", [patient])} == {"patient"}
    with pytest.raises(UsageError, match="no record or patient of scans has the id 0000000000000000"):
        located("scans", ["0000000000000000"])


def test_what_params_do_not_declare_is_dropped_and_counted(filled):
    for k, row in enumerate(filled.rows):
        row.update({"Patient Sex": "FM"[k % 2], "Patient Age": 20 + k, "Findings": "Mass|Edema" if k % 3 else "No Finding"})
        row.update({"Exam": f"exam-{k // 4}", "Day": f"2021-03-{1 + k % 28:02d}", "Comment": "Jane Doe was here"})
    said = filled.run(
        attributes={
            "sex": {"kind": "class", "from": "Patient Sex", "values": {"F": "female", "M": "male"}},
            "age": {"kind": "number", "from": "Patient Age", "min": 0, "max": 120},
            "findings": {"kind": "multi-label", "from": "Findings", "values": ["Edema", "Mass"], "none": "No Finding"},
            "exam": {"kind": "id", "from": "Exam"},
            "day": {"kind": "date", "from": "Day"},
        },
        split={"stratify": ["label", "sex"]},
        dates="shift",
    )
    assert said["dropped"]["attributes"] == {"Comment": 60, "label": 60}, "the column of labels is kept as the label alone"
    rows = filled.table()
    assert {row["sex"] for row in rows} == {"female", "male"}
    assert {tuple(row["findings"]) for row in rows} == {(), ("Edema", "Mass")}
    assert {row["age"] for row in rows} == set(range(20, 80))
    assert len({row["exam"] for row in rows}) == 15
    # Images 2k and 2k + 1 are of one patient and one day apart but for the turn of the month; nobody's day is the real one.
    days = {row["age"]: row["day"] for row in rows}
    assert days[21.0] - days[20.0] == timedelta(days=1)
    assert not any(date(2021, 3, 1) <= day <= date(2021, 3, 28) and day.day == 1 + (int(age) - 20) % 28 for age, day in days.items())
    assert not [path for path, text in filled.said().items() if "Jane" in text or "exam-1" in text]


def test_values_that_cannot_be_are_set_aside_or_left_empty_and_never_written(filled):
    for k, row in enumerate(filled.rows):
        row["age"] = "Doe, Jane" if k == 7 else 412 if k == 8 else ""
    attributes = {"age": {"kind": "number", "min": 0, "max": 120}}
    with pytest.raises(SynthmillError, match=r"attribute age: not a number 1 \([0-9a-f]{16}\), attribute age: out of its range 1"):
        filled.run(attributes=attributes)
    said = filled.run(attributes=attributes, implausible="blank")
    assert said["counts"]["out"] == 60
    assert said["dropped"]["implausible"] == {"age": 2}
    assert {row["age"] for row in filled.table()} == {None}
    assert not [path for path, text in filled.said().items() if "Jane" in text]


def test_only_what_is_new_is_read_and_the_shards_are_those_of_a_full_run(filled, monkeypatch):
    filled.run()
    old = {row["id"]: row["split"] for row in filled.table()}
    for k in range(60, 72):
        filled.add(f"scan-{k:03d}.png", k, label="ab"[k % 2], patient=f"person-{k // 2 if k > 61 else 3}")
    read: list[str] = []
    answers = gathering.answers
    monkeypatch.setattr(gathering, "answers", lambda units, *rest: answers(read.extend(unit.key for unit in units) or units, *rest))
    filled.run()
    assert sorted(read) == [f"scan-{k:03d}.png" for k in range(60, 72)]
    assert {row["id"]: row["split"] for row in filled.table()}.items() > old.items(), "a patient changed sides"
    grown = filled.bytes()
    for path in (filled.folder / "data" / "scratch").rglob("*"):
        if path.is_file():
            path.unlink()
    filled.run()
    assert len(read) == 12 + 72
    assert filled.bytes() == grown
    filled.rows = [row for row in filled.rows if row["patient"] != "person-5"]
    said = filled.run()
    assert said["counts"]["quarantined"] == {"not in the csv": 2}
    assert len(read) == 12 + 72 + 2


def test_a_killed_run_goes_on_where_it_was(filled):
    filled.params()
    scan.run("scans")
    slow = (
        "import time; from tasks.ingesting import gathering, rows; put = rows.Rows.put; rows.COMMIT_EVERY = 4\n"
        "def late(self, *a): time.sleep(0.05); put(self, *a)\n"
        "rows.Rows.put = late; from tasks import ingest\n"
        "if __name__ == '__main__': ingest.run('scans')"
    )
    script = filled.folder / "slow.py"
    script.write_text(slow)
    process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, stderr=subprocess.DEVNULL)
    store = filled.folder / "data" / "scratch" / "rows" / "scans.sqlite-wal"
    until = time.monotonic() + 60
    while not (store.is_file() and store.stat().st_size > 60_000) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not filled.out.exists()
    from tasks.ingesting.rows import Rows, rows_file

    kept = Rows(rows_file("scans"))
    assert 0 < kept._base.execute("SELECT count(*) FROM units").fetchone()[0] < 60
    kept.close()
    assert filled.run()["counts"]["out"] == 60


def test_a_flipped_byte_among_what_was_read_costs_another_reading_and_nothing_else(filled, capsys):
    filled.run()
    whole = filled.bytes()
    store = filled.folder / "data" / "scratch" / "rows" / "scans.sqlite"
    data = bytearray(store.read_bytes())
    for at in range(len(data) // 2, len(data), 4096):
        data[at] ^= 1
    store.write_bytes(data)
    filled.run()
    assert filled.bytes() == whole
    assert "read from the source again" in capsys.readouterr().err


def test_copies_under_two_patients_are_kept_once_and_of_one_patient_share_a_split(filled):
    for copy, original, patient in (("copy-1.png", 4, "person-2"), ("copy-2.png", 9, "somebody-else")):
        pixels = np.asarray(Image.open(filled.images / f"scan-{original:03d}.png"))
        filled.add(copy, patient=patient)
        Image.fromarray(np.clip(pixels.astype(int) + 1, 0, 255).astype(np.uint8)).save(filled.images / copy)
    said = filled.run()
    assert said["copies"] == {"sets_within_a_patient": 1, "sets_across_patients": 1, "images": 4, "sets_with_different_labels": 1}
    assert said["counts"]["quarantined"] == {"copy of another patient's image": 1}
    with pytest.raises(SynthmillError, match="1 sets of copies in scans stand under several patients"):
        filled.run(duplicates={"across": "refuse"})
    assert filled.run(duplicates={"within": "quarantine"})["counts"]["out"] == 60


def test_a_patient_written_in_two_ways_is_one(filled):
    filled.rows[0]["patient"] = "Person-0 "
    filled.rows[2]["patient"] = "PERSON-1"
    said = filled.run()
    assert said["patients_spelled_differently"] == 2
    assert sum(split["patients"] for split in said["splits"].values()) == 30


def test_an_expired_approval_stops_the_build_and_says_which(filled):
    approval = {"reference": "IRB 2019-7", "purpose": "research on synthetic images", "expires": str(date.today() - timedelta(days=1))}
    with pytest.raises(SynthmillError, match="the approval 'IRB 2019-7' of scans expired on") as caught:
        filled.run(approval=approval)
    assert caught.value.exit_code == 1
    said = filled.run(approval={**approval, "expires": str(date.today())})
    assert said["approval"]["reference"] == "IRB 2019-7"


def test_a_source_that_changes_while_it_is_read_is_refused_and_what_was_read_is_kept(filled, monkeypatch):
    filled.params()
    scan.run("scans")
    Image.new("L", (40, 30), 9).save(filled.images / "scan-007.png")
    with pytest.raises(SynthmillError, match="changed while it was read"):
        ingest.run("scans")
    assert not filled.out.exists()
    filled.run()


def test_an_image_that_came_after_the_scan_waits_for_the_next_run(filled, capsys):
    filled.params()
    scan.run("scans")
    filled.add("late.png", 99)
    filled.params()
    ingest.run("scans")
    assert "1 files came after the source was looked at" in capsys.readouterr().err
    assert filled.run()["counts"]["out"] == 61


def test_another_key_finds_nobody_again_and_is_refused(filled, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ID_KEY", "one")
    filled.run()
    monkeypatch.setenv("SYNTHMILL_ID_KEY", "two")
    with pytest.raises(SynthmillError, match="SYNTHMILL_ID_KEY is not the key"):
        filled.run()
    filled.run(split={"salt": "another deal"})


def test_a_class_of_implausible_prevalence_fails_the_checks(filled):
    assert filled.run(prevalence={"a": [0.4, 0.6]})["checks"]["success"]
    with pytest.raises(SynthmillError, match=r"fails expect_column_mean_to_be_between\(is a\)"):
        filled.run(prevalence={"a": [0.6, 0.9]})


@pytest.mark.parametrize(
    ("change", "keys", "error", "words"),
    [
        ({"label": "c"}, {}, UsageError, "lacks 1 of the labels"),
        ({"part": "later"}, {"split": {"by": "source"}}, SynthmillError, "not a split"),
        ({"part": "test"}, {"split": {"by": "source"}}, SynthmillError, "put one patient into two splits"),
        ({}, {"split": {"by": "source"}}, SynthmillError, "without one of the splits"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(filled, change, keys, error, words):
    if "part" in change:
        filled.ingest["source"]["split"] = "part"
        for row in filled.rows:
            row["part"] = "train"
    filled.rows[1].update(change)
    with pytest.raises(error, match=words):
        filled.run(**keys)
    assert not filled.out.exists()


def test_phantoms_keep_their_truth_and_every_row_its_pixels(work):
    work.ingest["source"] = {"kind": "phantom", "n": 60, "seed": 1}
    said = work.run(labels=["normal", "opacity"])
    assert said["counts"] == {"in": 60, "out": 60, "quarantined": {}, "withdrawn": 0}
    truths = [json.loads(line) for line in (work.out / "truth.jsonl").read_text().splitlines()]
    rows = {row["id"]: row for row in work.table()}
    assert {truth["id"] for truth in truths} == rows.keys()
    assert all(bool(truth["opacities"]) == (rows[truth["id"]]["label"] == "opacity") for truth in truths)
    assert decode_png(work.table()[0]["image"]["bytes"]).shape == (16, 16, 1)
    assert not any(is_marked(row["image"]["bytes"]) for row in rows.values()), "what is ingested is not marked as synthetic"
    assert b"image-0000" not in b"".join(work.bytes().values()), "an id of the source is in an output"
    before = work.bytes()
    work.run(labels=["normal", "opacity"])
    assert work.bytes() == before


@pytest.mark.parametrize("archive", ["dicom_pydicom_test_files", "dicom_t1_studyforrest"])
def test_nothing_that_went_in_with_a_name_comes_out_with_it(work, data_root, archive, capfd):
    """DICOM files with a value of their own in every element that can hold one, and in the names of files; many are broken on purpose."""
    planted = plant(data_root / archive, work.images)
    assert len(planted) > 100
    work.rows = [{"image": "none", "label": "none", "patient": "none"}]
    work.ingest["source"] = {"kind": "dicom", "folder": str(work.images), "label": "a", "no_patient": "study", "other": "ignore"}
    work.ingest["source"] |= {"retain": ["patient-characteristics"], "dates": "shift"}
    named = ["PatientName", "InstitutionName", "StudyDescription", "BodyPartExamined", "Manufacturer", "SeriesDescription", "ImageComments"]
    attributes = {word.lower(): {"kind": "class", "from": word, "values": ["HEAD", "CHEST"]} for word in named}
    attributes |= {"study": {"kind": "id", "from": "StudyInstanceUID"}}
    attributes |= {"age": {"kind": "number", "from": "PatientAge", "min": 0, "max": 120}}
    said = work.run(labels=["a"], attributes=attributes, implausible="blank", max_rejected=1.0, burned_in={"action": "keep"})
    assert said["counts"]["in"] == said["counts"]["out"] + sum(said["counts"]["quarantined"].values())
    assert said["counts"]["out"] > 10
    printed = "".join(capfd.readouterr())
    for path, text in {**work.said(), Path("what was printed"): printed}.items():
        assert not found(planted, text), path


def test_who_was_withdrawn_is_in_no_output_and_is_counted(filled, monkeypatch):
    monkeypatch.setenv("SYNTHMILL_ID_KEY", "key")
    filled.add("scan-900.png", 6, label="a", patient="person-90")
    before = filled.run()
    with (filled.out / "persons.csv").open() as stream:
        people = {row["patient"]: row for row in csv.DictReader(stream)}
    patient = keys.keyed("scans", "patient", "person-3")
    assert people[patient]["person"] == keys.person(keys.population_of(load().dataset("scans").ingest), "PERSON-3 ")
    ids = {row["id"] for row in filled.table() if row["patient"] == patient} | set(people[patient].values()) - set(SPLITS)
    copy = keys.keyed("scans", "record", "scan-900.png")
    assert [row["id"] for row in filled.table() if row["id"] in (copy, keys.keyed("scans", "record", "scan-006.png"))]
    ids |= {keys.keyed("scans", "record", f"scan-00{number}.png") for number in (6, 7)}
    digest = json.loads(scan.scan_file("scans").read_text())["digest"]
    Withdrawn(key=keys.key_mark(), patients={patient: people[patient]["split"]}).save("scans")
    said = filled.run()
    assert said["counts"] == {"in": 61, "out": 58, "quarantined": {"copy of another patient's image": 1}, "withdrawn": 2}
    assert not [row for row in filled.table() if row["id"] == copy], "their image stays out under another's name as well"
    assert said["digest"] != before["digest"]
    assert json.loads(scan.scan_file("scans").read_text())["digest"] != digest
    made = [path for path in filled.folder.joinpath("data").rglob("*") if path.is_file() and path.parent.name != "withdrawn"]
    texts = {path: text for path, text in filled.said().items() if path in made}
    assert not [path for path, text in texts.items() if any(one in text for one in ids)]
    assert filled.bytes() == (filled.run(), filled.bytes())[1], "once more gives the same"
    monkeypatch.setenv("SYNTHMILL_ID_KEY", "another")
    with pytest.raises(SynthmillError, match="not the key under which patients were withdrawn"):
        ingest.run("scans")
