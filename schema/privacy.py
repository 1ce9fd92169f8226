"""What is asked of a differentially private training, and what it says of itself in model.json under `privacy`."""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Privacy(BaseModel):
    """What is asked of a differentially private training: `train.privacy` in params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mechanism: Literal["dp-sgd"]
    epsilon: float = Field(gt=0, le=100, allow_inf_nan=False, description="the budget: training stops before it is passed")
    delta: float = Field(gt=0, lt=1, description="below one over the number of patients or images, by far if it can be")
    max_grad_norm: float = Field(gt=0, allow_inf_nan=False, description="the norm that the gradient of each unit is clipped to")
    unit: Literal["patient", "image"] = Field(default="patient", description="whose presence is hidden: a patient's, or an image's")
    noise_multiplier: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="noise over max_grad_norm; unless given, the least that keeps the budget"
    )
    noise_multiplicity: int = Field(default=1, ge=1, le=256, description="noises and timesteps that each image is seen under in a step")
    images_per_unit: int = Field(default=16, ge=1, description="images of a patient that a step takes at most")
    accountant: Literal["rdp", "prv"] = Field(default="prv", description="prv is the tighter one")
    physical_batch: int = Field(default=64, ge=1, description="gradients of single images held at once: a matter of memory")
    public_init: bool = Field(default=False, description="your word that what train.init names was trained on public images alone")


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
    sample_rate: float = Field(gt=0, le=1, description="chance of a unit to be in a step: train.batch_size over all units")
    schedule: Literal["constant"] = Field(default="constant", description="noise and sampling rate are the same at all steps")
    steps: int = Field(ge=1, description="optimizer steps that ran")
    examples: int = Field(ge=1, description="units in the training set, planted canaries included")

    @field_validator("max_grad_norm", mode="before")
    @classmethod
    def _an_infinite_norm_clips_nothing(cls, value: Any) -> Any:
        return None if value == math.inf else value
