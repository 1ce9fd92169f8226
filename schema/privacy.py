"""Differential privacy of a training: what is asked of it in params.yaml, and what it says of itself in model.json under `privacy`."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schema.params import Section


class Privacy(Section):
    """`train.privacy`: train with DP-SGD (Abadi et al. 2016, arXiv:1607.00133, algorithm 1). With it, `train.batch_size` counts units."""

    mechanism: Literal["dp-sgd"] = "dp-sgd"
    epsilon: float = Field(gt=0, le=100, description="the budget: what training may spend at most")
    delta: float = Field(gt=0, lt=1, description="must be less than 1 over the number of units; a tenth of that is usual")
    max_grad_norm: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="the norm that the gradient of each unit is clipped to"
    )
    unit: Literal["patient", "image"] = Field(
        default="patient", description="whose presence is hidden: all images of a patient, or one image"
    )
    noise_multiplier: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="standard deviation of the noise over max_grad_norm; none: the least that train.steps can be taken with; "
        "given: training stops at the last step within the budget",
    )
    noise_multiplicity: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="draws of noise and timestep for each image in a step; more make a better gradient at the same epsilon, "
        "and take so many times as long (Dockhorn et al. 2023, arXiv:2210.09929)",
    )
    images_per_unit: int = Field(default=4, ge=1, description="at most so many images of a patient in a step, chosen at random each time")
    accountant: Literal["prv", "rdp"] = Field(default="prv", description="what adds up the steps; prv is the tighter")
    public_init: bool = Field(
        default=False, description="your word that the model which training starts from was trained on public images alone"
    )
    physical_batch: int = Field(
        default=64, ge=1, description="images whose gradients are in memory at once; changes the result by rounding only"
    )


class PrivacyAccount(BaseModel):
    """The claim of a training run with DP-SGD (Abadi et al. 2016, arXiv:1607.00133), and the run that it stands on.

    Written by the training itself, of the steps that it took; the gate `dp-claim` computes the epsilon again from it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    mechanism: Literal["dp-sgd"]
    unit: Literal["patient", "image"] = Field(description="whose presence the guarantee hides: all images of a patient, or one image")
    adjacency: Literal["add-remove", "replace-one"] = Field(description="how two neighbouring data sets differ in one unit")
    scope: str = Field(min_length=1, max_length=200, description="what the guarantee covers and what it does not, in words")
    epsilon: float = Field(gt=0, allow_inf_nan=False, description="claimed")
    delta: float = Field(gt=0, lt=1, description="claimed")
    accountant: Literal["rdp", "prv"] = Field(description="opacus' accountant that the claim was computed with")
    noise_multiplier: float = Field(
        ge=0, allow_inf_nan=False, description="standard deviation of the noise on the sum of gradients, over max_grad_norm"
    )
    max_grad_norm: float | None = Field(
        default=None, ge=0, description="the norm that the gradient of each unit was clipped to; None: it was not clipped"
    )
    sampling: Literal["poisson", "shuffled", "fixed-size"] = Field(
        description="poisson: a step takes each unit by a coin of its own, which is what the accountants assume"
    )
    sample_rate: float = Field(gt=0, le=1, description="chance of a unit to be in a step: train.batch_size over the units in training")
    schedule: Literal["constant"] = Field(default="constant", description="noise and sampling rate are the same at all steps")
    steps: int = Field(ge=1, description="optimizer steps that ran: train.steps, or fewer where the budget ended before")
    examples: int = Field(ge=1, description="units in the training set, planted canaries included")

    @field_validator("max_grad_norm", mode="before")
    @classmethod
    def _an_infinite_norm_clips_nothing(cls, value: Any) -> Any:
        return None if value == math.inf else value
