"""`dp-claim`: is the differential privacy that training claims what its steps, noise, sampling and clipping give?"""

import math
from typing import Literal

from pydantic import Field

from models.accounting import LARGEST, Epsilon, recompute
from schema.images import Images
from schema.params import GateConfig
from schema.privacy import PrivacyAccount
from schema.verdict import Null, Status
from tasks.gates import Finding, Gate

NOTHING_CLAIMED = (
    "No differential privacy is claimed. The random noise of a diffusion model, in training and in sampling, gives none: only "
    "gradients that are clipped and noised for each unit in every step of training do."
)


class Config(GateConfig):
    kind: Literal["dp-claim"] = "dp-claim"
    threshold: float = Field(gt=0, le=LARGEST, description="largest epsilon allowed")
    unit: Literal["patient", "image"] = Field(default="patient", description="whose presence the claim must hide")


class Plugin(Gate):
    kind = "dp-claim"
    Config = Config
    direction = "at_most"
    method = (
        "Epsilon computed again by opacus' accountant of the name that the claim gives, from the steps, sampling rate and noise "
        "that training recorded of itself. Interval: the accountant's own error, no sampling being involved; PRV gives both ends, "
        "RDP an upper bound alone, whose other end is 0. The value is the upper end, which is proven. "
        "Null: a training that takes no step on private images, whose epsilon is 0 by definition."
    )

    def measure(self, real, synthetic):
        from tasks.weights import read_model

        said = read_model(self.model)
        if not said.get("privacy"):
            return Finding(
                value=None,
                interval=None,
                null=None,
                n={"members": len(real.train)},
                unit="epsilon",
                reason=NOTHING_CLAIMED,
                evidence={},
                status=Status.INSUFFICIENT,
            )
        account = PrivacyAccount.model_validate(said["privacy"])
        planted = said["canaries"]["included"] if said.get("canaries") else 0
        epsilon = recompute(account)
        faults = [*self._faults(account, epsilon), *contradictions(account, said["params"], said.get("init"), real.train, planted)]
        finite = math.isfinite(epsilon.value)
        return Finding(
            value=epsilon.value if finite else None,
            interval=(epsilon.low, epsilon.value) if finite else None,
            null=Null(value=0.0, interval=(0.0, 0.0), what="a training that takes no step on private images") if finite else None,
            n={account.unit + "s": account.examples},
            unit=f"epsilon at delta {account.delta:g} for each {account.unit}",
            reason=self._reason(account, epsilon, faults),
            evidence={
                **account.model_dump(mode="json", exclude={"epsilon", "unit"}),
                "epsilon_claimed": account.epsilon,
                "epsilon_recomputed": epsilon.value if finite else None,
                "recomputed_by": epsilon.accountant,
                "privacy_unit": account.unit,
                "objections": faults,
            },
            status=Status.FAIL if faults else None,
        )

    def _faults(self, account: PrivacyAccount, epsilon: Epsilon) -> list[str]:
        """What makes the claim void or too small, in words."""
        faults = []
        if not account.max_grad_norm:
            faults.append(f"the gradient of one {account.unit} was not clipped, so no noise hides it")
        if not account.noise_multiplier:
            faults.append("no noise was added to the gradients")
        if account.sampling != "poisson":
            faults.append(f"batches were drawn {account.sampling}, and the accountants hold for Poisson sampling only")
        if account.unit != self.config.unit:
            faults.append(f"it is for each {account.unit}, and gates.dp-claim.unit asks for each {self.config.unit}")
        if account.delta * account.examples >= 1:
            faults.append(f"delta {account.delta:g} is not below 1 / {account.examples}, the share of one {account.unit}")
        # A claim is rounded up, never down: only the last digits of a float may differ.
        if math.isfinite(epsilon.value) and account.epsilon < epsilon.value * (1 - 1e-9):
            faults.append(f"the run gives epsilon {epsilon.value:.4g}, more than the {account.epsilon:.4g} claimed")
        return faults

    def _reason(self, account: PrivacyAccount, epsilon: Epsilon, faults: list[str]) -> str:
        claim = f"epsilon {account.epsilon:.4g} at delta {account.delta:g} for each {account.unit} ({account.adjacency})"
        if faults:
            return f"The claim of {claim} is refused: {'; '.join(faults)}."
        return (
            f"Training claims {claim}, and its {account.steps} steps at sampling rate {account.sample_rate:.4g}, noise "
            f"{account.noise_multiplier:.4g} and clipping to {account.max_grad_norm:.4g} give {epsilon.value:.4g} by "
            f"{epsilon.accountant.upper()}, at most {self.config.threshold:g} being allowed. Scope: {account.scope}."
        )


def contradictions(account: PrivacyAccount, params: dict, init: dict | None, members: Images, planted: int) -> list[str]:
    """Where the account says another run than the model's own params and training images do, in words.

    `params` are the generator's, `init` the model that training started from, `planted` the canaries among its training images, each
    a patient of its own.
    """
    units = (len(members) if account.unit == "image" else len(set(members.patients))) + planted
    found = []
    if account.examples != units:
        found.append(f"it counts {account.examples} {account.unit}s, and training had {units}")
    found += _other_steps(account, params)
    asked = params.get("privacy")
    if not asked:
        found.append("the model's params ask for no privacy, so its gradients were not clipped and noised for each unit")
    else:
        for name in ("mechanism", "unit", "delta", "accountant", "max_grad_norm", "noise_multiplier"):
            said = getattr(account, name)
            # Where no noise multiplier was asked for, training chose its own: the budget judges it. Where nothing is said, `_faults` does.
            if asked[name] is not None and said and asked[name] != said:
                found.append(f"it counts {name} {said}, and the model was trained with {asked[name]}")
        if account.epsilon > asked["epsilon"]:
            found.append(f"it claims epsilon {account.epsilon:.4g}, and training was to spend {asked['epsilon']:g} at most")
    if params.get("class_balance"):
        found.append("batches were balanced by class, which is no Poisson sampling")
    if "batch_size" not in params:
        found.append("the model does not say its batch size")
    elif not math.isclose(account.sample_rate, min(1.0, params["batch_size"] / units), rel_tol=1e-9):
        found.append(f"it counts a sampling rate of {account.sample_rate:.4g}, and the model's is {params['batch_size']} / {units}")
    if init and init["public"] is not True:
        found.append(
            f"training started from {init['reference']}, whose own training images it does not cover: nothing says they are public"
        )
    return found


def _other_steps(account: PrivacyAccount, params: dict) -> list[str]:
    """What is wrong with the number of steps, in words: fewer than the params' only where one more would have broken the budget."""
    if "steps" not in params:
        return ["the model does not say its steps"]
    steps, asked = params["steps"], params.get("privacy")
    if account.steps == steps:
        return []
    if account.steps > steps or not (asked and asked["noise_multiplier"]):
        return [f"it counts {account.steps} steps, and the model was trained with {steps}"]
    more = recompute(account.model_copy(update={"steps": account.steps + 1}), low=False).value
    if more <= asked["epsilon"]:
        return [f"it counts {account.steps} steps of {steps}, and one more would have kept to the budget of epsilon {asked['epsilon']:g}"]
    return []
