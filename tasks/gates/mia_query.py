"""`mia-query`: can someone who may only ask the model to finish a noised image tell who was in its training set?"""

from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt

from models.membership import distances, standardised
from tasks.gates._attack import AttackConfig, AttackGate


class Config(AttackConfig):
    kind: Literal["mia-query"] = "mia-query"
    timesteps: list[PositiveInt] = Field(
        default=[100, 300], min_length=1, description="how far the images are noised before the model is asked"
    )
    steps: int = Field(default=3, ge=1, description="evaluations of the model for each reconstruction")


class Plugin(AttackGate):
    kind = "mia-query"
    Config = Config
    attacker = "Whoever may query the model"
    method = (
        "Membership inference by reconstruction: each image is noised, the model denoises it, and the closer it comes back the more it is "
        "taken for a member (as Duan et al. 2023, arXiv:2302.01316, without access to the weights; distances in pixels and in their "
        "gradients). Members: training images; non-members: holdout images of other patients. Judged: the best attack. Null: the best "
        "attack on members against members, over random splits. Interval: 95 % bootstrap by patient, corrected for its "
        "bias. Beside it: what is told without the model."
    )

    def scores(self, candidates, real, synthetic):
        from tasks.progress import ticking
        from tasks.weights import open_model

        generator, _ = open_model(self.model)
        images = candidates.images
        pixels, edges = [], []
        with ticking("gate mia-query", "reconstructions", len(self.config.timesteps), "timestep") as ticker:
            for timestep in self.config.timesteps:
                again = generator.reconstruct(images.pixels, images.conditions, timestep, self.config.steps, self.config.seed)
                for found, kept in zip(distances(again, images.pixels), (pixels, edges), strict=True):
                    kept.append(found)
                ticker.update()
        return {
            "reconstruction in pixels": -standardised(np.stack(pixels, axis=1)).mean(axis=1),
            "reconstruction of edges": -standardised(np.stack(edges, axis=1)).mean(axis=1),
        }
