"""Exit codes, errors, and what goes where."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app import words
from app.reading import flatten
from schema import errors
from tasks import check

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("kind", "code"),
    [("SynthmillError", 1), ("UsageError", 2), ("GateFailed", 3), ("ApprovalNeeded", 4), ("IntegrityError", 5)],
)
def test_each_kind_of_error_has_its_exit_code_and_is_one_message(inside, monkeypatch, kind, code):
    def refuse(dataset):
        raise getattr(errors, kind)("params.yaml: [say] what to do")

    monkeypatch.setattr(check, "check", refuse)
    assert inside("run") == (code, "", "error: params.yaml: [say] what to do\n")


def test_a_name_that_climbs_out_is_a_usage_error(synthmill, workspace):
    done = synthmill("run", "../pneumonia")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: '../pneumonia' is not a dataset name")
    assert sorted(path.name for path in workspace.iterdir()) == [".dvc", "params.yaml"]


def test_an_unknown_dataset_is_answered_with_the_nearest(inside):
    code, _, err = inside("plan", "pneumonai")
    assert code == 2
    assert "did you mean 'pneumonia'?" in err


def test_an_unknown_stage_is_answered_with_the_nearest(inside):
    code, _, err = inside("run", "--force-stage", "gate mia-white-bx", scenario="current")
    assert code == 2
    assert "did you mean 'gate mia-white-box'?" in err


def test_an_unknown_verb_is_a_usage_error(inside):
    code, out, err = inside("rnu")
    assert (code, out) == (2, "")
    assert "Did you mean 'run'" in err


def test_a_fault_of_ours_shows_where_its_traceback_is_instead_of_it(workspace, environment):
    program = "from app import cli; from tasks import check; check.check = lambda dataset: 1 / 0; cli.main()"
    command = [sys.executable, "-c", program, "run"]
    quiet = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert quiet.returncode == 1
    assert quiet.stderr.startswith("error: ZeroDivisionError: division by zero\n")
    assert "Traceback (" not in quiet.stderr
    (written,) = (workspace / "data" / "logs").glob("crash-*.txt")
    assert str(written) in quiet.stderr
    assert "check.check = lambda" in written.read_text() or "ZeroDivisionError" in written.read_text()


def test_a_workspace_that_is_no_dvc_repository_is_refused_before_a_build(inside, workspace):
    (workspace / ".dvc").rmdir()
    code, _, err = inside("run", scenario="released")
    assert code == 1
    assert "dvc init" in err
    assert not (workspace / "data").exists()


def test_plan_is_json_alone_on_stdout(inside, monkeypatch):
    monkeypatch.setattr("app.reading.changes", lambda names: {"train@phantom-cxr": ["params.yaml: datasets.phantom-cxr.train modified"]})
    code, out, _ = inside("plan", "--json", scenario="released")
    assert code == 0
    stages = json.loads(out)
    panel = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["panel"]
    assert [each["stage"] for each in stages if each["stage"].startswith("gate ")] == [f"gate {gate}" for gate in panel]
    assert next(each["why"] for each in stages if each["stage"] == "train") == ["params.yaml: datasets.phantom-cxr.train modified"]


def test_a_dry_run_names_the_forced_stage_and_starts_nothing(inside, workspace):
    code, out, _ = inside("run", "--dry-run", "--force-stage", "gate mia-white-box", scenario="current")
    assert code == 0
    assert out.split("gate mia-white-box")[1].split() == ["asked", "for"]
    assert not (workspace / "data").exists()


def test_status_remembers_how_the_last_run_ended(inside):
    assert inside("status", scenario="current")[1].splitlines()[1] == "no run has been made here yet"
    inside("run", scenario="refused")
    code, out, _ = inside("status", "--json", scenario="current")
    assert code == 0
    said = json.loads(out)
    assert (said["stale"], said["last"]["status"]) == ([], "refused")


def test_check_tells_every_fault_and_exits_as_the_first(inside, workspace):
    params = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(params.replace("lr: 0.002", "lr: -1"))
    code, out, _ = inside("check", "--json")
    found = {each["check"]: each for each in json.loads(out)}
    assert code == 2
    assert "datasets.phantom-cxr.train.lr" in found["params, source, space"]["detail"]
    assert found["git, store"]["status"] == "fail"


def test_the_report_is_found_or_the_way_to_it_named(inside, workspace):
    code, _, err = inside("report")
    assert code == 1
    assert "run phantom-cxr` makes it" in err
    page = workspace / "reports" / "phantom-cxr" / "report" / "public" / "report.html"
    page.parent.mkdir(parents=True)
    page.touch()
    code, out, _ = inside("report", "--public")
    assert (code, out) == (0, f"{page}\n")


def test_a_folder_that_is_not_what_its_sums_say_exits_with_5(inside, workspace):
    folder = workspace / "copy"
    folder.mkdir()
    (folder / "README.md").write_text("changed")
    said = {"dataset": "pneumonia", "version": "v1.0.0", "images": 1, "labels": {}, "digests": {"records": "", "files": ""}, "gates": []}
    (folder / "provenance.json").write_text(json.dumps(said))
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  README.md\n{'0' * 64}  provenance.json\n")
    code, _, err = inside("verify", str(folder))
    assert code == 5
    assert "changed: README.md, provenance.json" in err


def test_deploy_changes_no_server_unasked(inside, workspace):
    (workspace / "prefect.yaml").write_text((CHECKOUT / "prefect.yaml").read_text())
    code, out, err = inside("deploy", "--dry-run")
    assert code == 0
    assert "pneumonia-nightly" in out
    code, _, err = inside("deploy")
    assert code == 2
    assert "--yes" in err


def test_the_reference_is_what_the_help_texts_make(environment):
    command = [sys.executable, "-m", "app.reference"]
    made = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert (CHECKOUT / "docs" / "cli.md").read_text() == made, "run ./mill python -m app.reference > docs/cli.md"


def test_help_comes_without_the_heavy_libraries(environment):
    program = "import sys; sys.argv[1:] = ['--help']\ntry:\n    from app import cli; cli.main()\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "app.cli" in loaded
    assert not {"pydantic", "numpy", "pyarrow", "pandas", "prefect", "dvc", "torch", "mlflow"} & loaded


def test_dvc_s_reasons_become_sentences():
    said = [{"changed deps": {"params.yaml": {"a.lr": "modified", "a.seed": "new"}, "data/x": "deleted"}}, "always changed"]
    assert list(flatten(said)) == ["params.yaml: a.lr modified, a.seed new", "data/x deleted", "its source changed"]


@pytest.mark.parametrize(("seconds", "text"), [(7.6, "8 s"), (65, "1:05"), (3723, "1:02:03")])
def test_durations_read_as_clocks(seconds, text):
    assert words.duration(seconds) == text
