"""A claim of differential privacy stands only on the run that gives it; anything else is refused, and none claimed is said."""

import math
from typing import ClassVar

import numpy as np
import pytest
from opacus.accountants import PRVAccountant, RDPAccountant

from models.generators import Shape
from models.generators.ddpm import Config as Training
from schema.digest import read_json, write_json
from schema.errors import IntegrityError
from schema.images import Images, RealImages
from schema.privacy import Privacy, PrivacyAccount
from schema.verdict import Status
from tasks import weights
from tasks.gates.dp_claim import Config, Plugin, contradictions

ACCOUNTANTS = {"rdp": RDPAccountant, "prv": PRVAccountant}
IMAGES, PATIENTS, STEPS, BATCH, NOISE, DELTA = 240, 80, 100, 24, 3.0, 1e-4


class Trained:
    """A generator without weights: all that the gate reads is what training recorded of itself."""

    kind = "ddpm"
    shape = Shape(16, 16, 1, 2)
    labels: ClassVar = ["a", "b"]
    conditions: ClassVar = []

    def __init__(self, config):
        self.config = config

    def components(self):
        return {}

    def pipeline(self):
        return None


@pytest.fixture(scope="module")
def real() -> RealImages:
    """240 training images, three of each patient."""
    ids, patients = [str(k) for k in range(IMAGES)], [str(k // 3) for k in range(IMAGES)]
    images = Images(np.zeros((IMAGES, 16, 16, 1), np.uint8), np.arange(IMAGES) % 2, ids, patients, ["a", "b"])
    return RealImages(train=images, holdout=images, test=images)


def claim(accountant: str = "prv", units: int = IMAGES, steps: int = STEPS, **changes) -> PrivacyAccount:
    """What opacus itself says of the run, stepped as training steps it."""
    counted = ACCOUNTANTS[accountant]()
    for _ in range(steps):
        counted.step(noise_multiplier=NOISE, sample_rate=BATCH / units)
    said = {
        "mechanism": "dp-sgd",
        "unit": "image",
        "adjacency": "add-remove",
        "scope": "the weights; not the choice of their hyperparameters",
        "epsilon": float(counted.get_epsilon(delta=DELTA)),
        "delta": DELTA,
        "accountant": accountant,
        "noise_multiplier": NOISE,
        "max_grad_norm": 1.0,
        "sampling": "poisson",
        "sample_rate": BATCH / units,
        "steps": steps,
        "examples": units,
    }
    return PrivacyAccount(**said | changes)


def measured(
    folder,
    real,
    account: PrivacyAccount | None,
    threshold: float = 8.0,
    unit: str = "image",
    canaries: dict | None = None,
    asked: dict | None = None,
    **params,
):
    """What the gate finds of an account, in a model whose params asked for it in all but what `asked` and `params` change."""
    if account:
        same = {name: getattr(account, name) for name in ("unit", "delta", "accountant")}
        params["privacy"] = Privacy(**{"epsilon": 30.0, **same, **(asked or {})})
    trained = Trained(Training(**{"steps": STEPS, "batch_size": BATCH, **params}))
    weights.save(trained, folder, "digest", 0.1, canaries=canaries, privacy=account)
    gate = Plugin(Config(threshold=threshold, unit=unit), folder)
    finding = gate.measure(real, real.train)
    return finding, gate.status(finding)


@pytest.mark.parametrize("accountant", sorted(ACCOUNTANTS))
def test_a_claim_that_the_run_gives_stands(tmp_path, real, accountant):
    account = claim(accountant)
    found, status = measured(tmp_path, real, account)
    assert status is Status.PASS
    assert found.value == pytest.approx(account.epsilon, rel=1e-9)
    low, high = found.interval
    assert high == found.value
    assert low == 0 if accountant == "rdp" else 0 < high - low < 0.03
    for word in (f"{account.epsilon:.4g}", "0.0001", "for each image", "add-remove", "100 steps", accountant.upper(), "the weights"):
        assert word in found.reason
    assert "image" in found.unit


def test_a_claim_that_is_true_and_too_large_fails(tmp_path, real):
    found, status = measured(tmp_path, real, claim(), threshold=1.0)
    assert found.value > 1
    assert status is Status.FAIL


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epsilon": 0.5}, "more than the 0.5 claimed"),
        ({"noise_multiplier": 2.9}, "the run gives epsilon"),
        ({"noise_multiplier": 0}, "no noise was added"),
        ({"max_grad_norm": None}, "not clipped"),
        ({"max_grad_norm": 0}, "not clipped"),
        ({"max_grad_norm": math.inf}, "not clipped"),
        ({"steps": 50}, "trained with 100"),
        ({"steps": 101}, "trained with 100"),
        ({"sample_rate": 0.05}, "the model's is 24 / 240"),
        ({"examples": 2400}, "it counts 2400 images, and training had 240"),
        ({"sampling": "shuffled"}, "Poisson sampling only"),
        ({"delta": 1 / IMAGES}, "not below 1 / 240"),
        ({"unit": "patient", "units": PATIENTS}, "it is for each patient, and gates.dp-claim.unit asks for each image"),
        ({"adjacency": "replace-one"}, "the run gives epsilon"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_account_of_another_run_is_refused(tmp_path, real, changes, words):
    found, status = measured(tmp_path, real, claim(**changes))
    assert status is Status.FAIL
    assert words in found.reason
    assert len(found.evidence["objections"]) == 1


def test_patients_are_counted_as_patients_and_planted_canaries_with_them(tmp_path, real):
    account = claim(unit="patient", units=PATIENTS)
    assert measured(tmp_path / "a", real, account, 30.0, unit="patient")[1] is Status.PASS
    planted = {"n": 100, "seed": 0, "included": 48, "digest": "d"}
    found, status = measured(tmp_path / "b", real, account, 30.0, unit="patient", canaries=planted)
    assert status is Status.FAIL
    assert "it counts 80 patients, and training had 128" in found.reason
    assert "24 / 128" in found.reason


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_grad_norm": 2.0}, "it counts max_grad_norm 1.0, and the model was trained with 2.0"),
        ({"delta": 1e-5}, "it counts delta 0.0001, and the model was trained with 1e-05"),
        ({"unit": "patient"}, "it counts unit image, and the model was trained with patient"),
        ({"accountant": "rdp"}, "it counts accountant prv, and the model was trained with rdp"),
        ({"noise_multiplier": 2.0}, "it counts noise_multiplier 3.0, and the model was trained with 2.0"),
        ({"epsilon": 1.0}, "training was to spend 1 at most"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_account_of_other_params_is_refused(tmp_path, real, asked, words):
    found, status = measured(tmp_path, real, claim(), asked=asked)
    assert status is Status.FAIL
    assert words in found.reason
    assert len(found.evidence["objections"]) == 1


def test_fewer_steps_than_asked_are_those_that_the_budget_was_enough_for(tmp_path, real):
    account, after = claim(steps=60), claim(steps=61)
    budget = (account.epsilon + after.epsilon) / 2
    given = {"noise_multiplier": NOISE, "epsilon": budget}
    assert measured(tmp_path / "a", real, account, asked=given)[1] is Status.PASS
    found, status = measured(tmp_path / "b", real, claim(steps=50), asked=given)
    assert status is Status.FAIL
    assert f"one more would have kept to the budget of epsilon {budget:g}" in found.reason
    found, status = measured(tmp_path / "c", real, after, asked=given)
    assert status is Status.FAIL
    assert "training was to spend" in found.reason


@pytest.mark.parametrize(("public", "status"), [(True, Status.PASS), (False, Status.FAIL)])
def test_a_model_that_began_with_other_private_images_is_refused(tmp_path, real, monkeypatch, public, status):
    account = claim()
    measured(tmp_path, real, account)
    said = read_json(tmp_path / "model.json")
    init = {"reference": "lungs@v1.0.0", "digest": "d", "public": public}
    monkeypatch.setattr(weights, "read_model", lambda folder: {**said, "init": init})
    gate = Plugin(Config(threshold=8.0, unit="image"), tmp_path)
    found = gate.measure(real, real.train)
    assert gate.status(found) is status
    assert ("lungs@v1.0.0" in found.reason) is not public


def test_a_claim_without_private_training_is_refused(real):
    account = claim()
    params = Training(steps=STEPS, batch_size=BATCH).model_dump(mode="json")
    assert contradictions(account, params, None, real.train, planted=0) == [
        "the model's params ask for no privacy, so its gradients were not clipped and noised for each unit"
    ]


def test_where_nothing_is_claimed_it_says_so_and_that_sampling_noise_is_no_such_thing(tmp_path, real):
    found, status = measured(tmp_path, real, None)
    assert status is Status.INSUFFICIENT
    assert found.value is None
    assert found.reason.startswith("No differential privacy is claimed.")
    assert "gives none" in found.reason


def test_an_account_edited_afterwards_is_another_model(tmp_path, real):
    measured(tmp_path, real, claim())
    said = read_json(tmp_path / "model.json")
    said["privacy"]["epsilon"] = 100.0
    write_json(tmp_path / "model.json", said)
    with pytest.raises(IntegrityError, match=r"model\.json"):
        Plugin(Config(threshold=8.0), tmp_path).measure(real, real.train)
    said["privacy"] = None
    write_json(tmp_path / "model.json", said)
    with pytest.raises(IntegrityError):
        Plugin(Config(threshold=8.0), tmp_path).measure(real, real.train)


def test_batches_balanced_by_class_are_no_poisson_sampling(real, tmp_path):
    found, status = measured(tmp_path, real, claim(), class_balance=True)
    assert status is Status.FAIL
    assert "balanced by class" in found.reason
