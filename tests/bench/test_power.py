"""The gates' own test in its faster form: on small images the defects are caught by the gates meant for them, and a good release passes.

The long form is `./mill bench gates`.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

import models.classifier
import models.membership
import models.neighbours
import models.radiomics
import tasks.gates
from bench import gates as bench
from bench import memo, power
from bench.scenarios import NOT_MEASURED, SCENARIOS
from bench.world import Sizes, World, deal
from schema.errors import SynthmillError
from schema.images import Images
from schema.plugins import find
from tests.contracts.test_gates import blobs

SEEDS = 2
SMALL = {
    "replica": {"threshold": 0.02},
    "split": {"threshold": 0.03},
    "coverage": {"threshold": 0.15, "steps": 60, "bootstrap": 100},
    "fd-domain": {"threshold": 0.4, "steps": 60, "bootstrap": 20},
    "utility": {"threshold": -0.15, "steps": 40, "ratios": [], "bootstrap": 100},
    "mia-release": {"threshold": 0.15, "bootstrap": 100, "claims": ["auc"]},
    "mia-white-box": {"threshold": 0.15, "timesteps": [5, 15, 25], "proximal_timesteps": [10, 20], "bootstrap": 100, "claims": ["auc"]},
    "mia-query": {"threshold": 0.15, "timesteps": [10, 25], "bootstrap": 100, "claims": ["auc"]},
}
SIZES = Sizes(
    train=300,
    holdout=160,
    test=160,
    release=300,
    members=40,
    outsiders=120,
    side=8,
    channels=[16, 32],
    steps=350,
    batch_size=40,
    lr=0.005,
    timesteps=50,
    samples=64,
)
RELEASES = {
    "real images of other patients": {"replica", "coverage", "fd-domain", "utility", "split", "mia-release"},
    "5% copied exactly": {"replica"},
    "50% copied nearly": {"replica"},
    "collapsed onto 32 images": {"coverage"},
    "one class missing": {"coverage"},
    "labels shuffled": {"utility"},
    "blurred": {"fd-domain"},
    "sixteen images": {"replica", "coverage", "fd-domain", "utility", "mia-release"},
    "a tenth of the split leaks": {"split"},
}
MODELS = {name: {"mia-white-box", "mia-query"} for name in ("overfitted model", "the same model, other people")}


@pytest.fixture(scope="module")
def remembering():
    """The bench's memory, taken out again for the tests that come after."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (models.classifier, "train_classifier"),
            (models.membership, "blind_scores"),
            (models.neighbours, "nearest"),
            (models.neighbours, "CopyFinder"),
            (models.radiomics, "radiomics"),
        ):
            patch.setattr(module, name, getattr(module, name))
        memo.install()
        yield
        memo.forget()


def small_blobs(n: int, seed: int) -> Images:
    """The middle 8 x 8 pixels, noise and all, which a network learns by heart in seconds."""
    images = blobs(n, seed)
    return replace(images, pixels=images.pixels[:, 4:12, 4:12])


@pytest.fixture(scope="module")
def table(remembering):
    """Releases over SEEDS seeds, models over one: they take longest."""

    def set_by(gate, _):
        return find(tasks.gates)[gate].Config(**SMALL[gate])

    def measured(names, images, seed):
        chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
        pairs = [(scenario, gate) for scenario in chosen for gate in scenario.gates if gate in names[scenario.name]]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bench, "archive", lambda _: images)
            patch.setattr(bench.Job, "pairs", lambda _: pairs)
            return bench.try_seed(bench.Job("blobs", (), (), SIZES), seed, set_by=set_by)

    releases = [measured(RELEASES, blobs(1000, 50 + seed), seed) for seed in range(SEEDS)]
    return power.rows(SCENARIOS, [*releases, measured(MODELS, small_blobs(1000, 60), 0)])


@pytest.mark.parametrize(("name", "gates"), (RELEASES | MODELS).items())
def test_bad_releases_are_caught_and_good_ones_pass(table, name, gates):
    rows = [row for row in table if row["scenario"] == name]
    assert {row["gate"] for row in rows} == gates
    for row in rows:
        assert row["of"] == (1 if name in MODELS else SEEDS)
        assert row["caught"] == (row["of"] if row["bad"] else 0), row


def test_what_is_plainly_bad_fails_and_what_is_too_few_does_not(table):
    failed = {(row["scenario"], row["gate"]): row["failed"] for row in table}
    assert failed["50% copied nearly", "replica"] == SEEDS
    assert failed["overfitted model", "mia-white-box"] == 1
    assert failed["sixteen images", "replica"] == 0


def test_every_gate_is_tried_or_says_why_not():
    tried = {gate for scenario in SCENARIOS for gate in scenario.gates}
    assert set(find(tasks.gates)) == tried | set(NOT_MEASURED)
    assert not tried & set(NOT_MEASURED)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert set(power.DEMANDED) <= {scenario.name for scenario in SCENARIOS}


def test_the_memory_gives_what_would_be_computed(remembering):
    fresh = models.neighbours.CopyFinder(blobs(120, 1).pixels, blobs(120, 1).patients)
    images = blobs(60, 2).pixels
    half, whole = fresh.match(images[:30]), fresh.match(images)
    again = type(fresh).match(fresh, images)
    for name, match in again.items():
        assert (whole[name].index == match.index).all()
        assert np.allclose(whole[name].isolation, match.isolation, atol=1e-4)
        assert whole[name].view == match.view
        assert (half[name].isolation == whole[name].isolation[:30]).all()
    trained = [models.classifier.train_classifier(images, blobs(60, 2).labels, 2, 3, 0, "cpu") for _ in range(2)]
    assert trained[0] is trained[1]
    assert models.classifier.train_classifier(images, blobs(60, 2).labels, 2, 3, 1, "cpu") is not trained[0]


def test_parts_are_of_whole_patients_and_of_the_sizes_asked_for():
    images = blobs(100, 1)
    pairs = Images(images.pixels, images.labels, images.ids, [f"p{k // 2}" for k in range(100)], images.classes)
    parts = deal(pairs, {"a": 40, "b": 20}, np.random.default_rng(0))
    assert [len(part) for part in parts.values()] == [40, 20]
    assert not set(parts["a"].patients) & set(parts["b"].patients)
    with pytest.raises(SynthmillError, match="100 images are fewer than the 101"):
        deal(pairs, {"a": 101}, np.random.default_rng(0))


def test_seeds_differ_and_a_seed_is_the_same_again(tmp_path):
    first, again, other = (World("blobs", blobs(1000, 1), seed, SIZES, tmp_path) for seed in (0, 0, 1))
    assert (first.release.pixels == again.release.pixels).all()
    assert first.release.ids != other.release.ids
    assert not set(first.release.patients) & {*first.real.train.patients, *first.real.holdout.patients, *first.real.test.patients}


def row(scenario: str, gate: str, caught: int, of: int = 20, bad: bool = True) -> dict:
    return {"scenario": scenario, "bad": bad, "gate": gate, "meant": True, "caught": caught, "failed": caught, "of": of}


def met() -> list[dict]:
    return [row(scenario, gate, 19) for scenario, gates in power.DEMANDED.items() for gate in gates]


def test_nineteen_of_twenty_are_demanded_and_one_false_alarm_allowed():
    good = "real images of other patients"
    assert power.unmet([*met(), row(good, "replica", 1, bad=False)]) == []
    assert power.unmet([*met(), row(good, "replica", 2, bad=False)]) == [
        "real images of other patients: replica raised 2 false alarms in 20, at most 1 in 20 being demanded"
    ]
    missing, *others = met()
    assert power.unmet(others) == [f"{missing['scenario']}: {missing['gate']} was not measured"]
    assert power.unmet([missing | {"caught": 18}, *others])[0].startswith("1% copied exactly: replica caught 18 of 20")


def test_intervals_are_clopper_and_pearson():
    # Rule of the zero events: 1 - 0.025^(1/20).
    assert power.interval(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1)
    assert power.interval(0, 20) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))


def test_the_page_says_what_is_not_met_and_not_caught():
    table = [*met(), row("blurred", "frd", 3)]
    said = power.document(table, 20, "drawn", "./mill bench gates", {"sizes": {"train": 3}})
    assert json.loads(json.dumps(said))["format"] == "synthmill-gate-power/1"
    page = power.page(said, SCENARIOS, {"fid": "needs weights"})
    assert "All of it is met." in page
    assert "- blurred: `frd`, which is meant to catch it, passes it in 17 of 20 seeds." in page
    assert "| 3 of 20 | 15% (3% to 38%) | 3 |" in page
    assert "- `fid`: needs weights" in page
    assert "**Not met:**" in power.page({**said, "rows": [row("blurred", "frd", 3)]}, SCENARIOS, {})


def test_bad_words_on_the_command_line_are_refused(monkeypatch, capsys):
    monkeypatch.delenv("SYNTHMILL_DATA", raising=False)
    for words, said in (("--seeds=0", "1 or more"), ("--data=pneumonia", "SYNTHMILL_DATA"), ("--data=mri", "invalid choice")):
        with pytest.raises(SystemExit) as ended:
            bench.arguments([words])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
    assert bench.arguments([]).data == "phantom"
    with pytest.raises(SynthmillError, match="nothing to try: scenarios are 'real images"):
        bench.job_of(bench.arguments(["--scenario", "unheard of"]))


def test_rows_of_one_gate_are_replaced_and_the_page_says_when():
    settings = {"sizes": {"train": 1}, "frd": {"images": 48}}
    rows = [
        {"scenario": "blurred", "bad": True, "gate": gate, "meant": True, "caught": 1, "failed": 1, "of": 2}
        for gate in ("frd", "fd-domain")
    ]
    before = power.document(rows, 2, "images", "./mill bench gates", settings)
    anew = power.document([{**rows[0], "caught": 2}], 2, "images", "-", {"sizes": {"train": 1}, "frd": {"images": 128}})
    said = power.updated(before, anew, "./mill bench gates --gate frd --update")
    assert [row["caught"] for row in said["rows"]] == [2, 1]
    assert said["settings"]["frd"] == {"images": 128}
    page = power.page(said, [scenario for scenario in SCENARIOS if scenario.name == "blurred"], {})
    assert "| blurred" in page
    assert "Since then by `./mill bench gates --gate frd --update` on" in page
    with pytest.raises(SynthmillError, match="seeds 2, not 3"):
        power.updated(before, {**anew, "seeds": 3}, "-")
    with pytest.raises(SynthmillError, match="other sizes"):
        power.updated(before, {**anew, "settings": {"sizes": {"train": 2}}}, "-")
