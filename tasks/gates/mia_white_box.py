"""`mia-white-box`: can someone who holds the model's weights tell who was in its training set?"""

from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt

from models.generators import Material
from models.membership import distances, halves, lira, standardised
from models.stats import group_index
from schema.errors import IntegrityError, UsageError
from schema.settings import root
from tasks.gates._attack import AttackConfig, AttackGate, Candidates


class Config(AttackConfig):
    kind: Literal["mia-white-box"] = "mia-white-box"
    timesteps: list[NonNegativeInt] = Field(
        default=[20, 50, 100, 150, 200, 300, 400, 600], min_length=1, description="where the loss is taken"
    )
    proximal_timesteps: list[PositiveInt] = Field(
        default=[100, 200], min_length=1, description="where the proximal attack (PIA) looks; one evaluation each and one more"
    )
    reference: str = Field(
        default="", description="folder of a model trained on other people's images, from the workspace's top: its loss calibrates"
    )
    reference_digest: str = Field(default="", description="digest of that model, as its model.json says")
    shadows: int = Field(default=0, ge=0, multiple_of=2, description="shadow models for LiRA: each is a training of its own; 0 is none")
    shadow_steps: PositiveInt | None = Field(
        default=None, description="training steps of a shadow model; as many as the model's unless set"
    )


class Plugin(AttackGate):
    kind = "mia-white-box"
    Config = Config
    attacker = "Whoever holds the weights"
    method = (
        "White-box membership inference. Loss: the training loss of each image at several timesteps, each standardised, averaged (Yeom et "
        "al. 2018, arXiv:1709.01604; for diffusion models Matsumoto et al. 2023, arXiv:2302.03262). PIA: proximal initialisation (Kong et "
        "al. 2024, arXiv:2305.18355). Of an autoencoder that learned from the members: how well it gives an image back. "
        "Where asked for: the loss less that of a reference model (Watson et al. 2022, arXiv:2111.08440), and "
        "LiRA with shadow models (Carlini et al. 2022, arXiv:2112.03570). Members: training images; non-members: holdout images of other "
        "patients. Judged: the best attack. Null: the best attack on members against members, over random splits. "
        "Interval: 95 % bootstrap by patient, corrected for its bias. Beside it: what is told without the model."
    )

    def scores(self, candidates, real, synthetic):
        from tasks.weights import open_model

        config = self.config
        generator, said = open_model(self.model)
        if config.shadows and said.get("init"):
            raise UsageError("gates.mia-white-box.shadows train from random weights, and this model started from another: set them to 0")
        losses = self._losses(generator, candidates, "the model's losses")
        proximal = generator.proximal_errors(candidates.images.pixels, candidates.images.conditions, config.proximal_timesteps)
        overall = standardised(losses).mean(axis=1)
        found = {"loss": -overall, "PIA": -standardised(proximal).mean(axis=1)}
        given_back = generator.given_back(candidates.images.pixels)
        if given_back is not None:
            far = np.stack(distances(given_back, candidates.images.pixels), axis=1)
            found["autoencoder"] = -standardised(far).mean(axis=1)
        if config.reference:
            calibration = self._losses(self._reference(generator), candidates, "the reference model's losses")
            found["calibrated loss"] = -standardised(losses - calibration).mean(axis=1)
        if config.shadows:
            shadow_losses, included = self._shadow_losses(generator, candidates)
            # Each timestep is a scale of its own; what is compared are means of losses on the attacked model's scale.
            mean, spread = losses.mean(axis=0), losses.std(axis=0)
            averaged = ((shadow_losses - mean) / spread).mean(axis=2)
            found["LiRA"] = lira(overall, averaged, included)
        return found

    def _losses(self, generator, candidates: Candidates, what: str) -> np.ndarray:
        """Losses N x timesteps. Members and others lie end to end under one stream of noise, so that it tells nothing of them."""
        from tasks.progress import ticking

        columns = []
        with ticking("gate mia-white-box", what, len(self.config.timesteps), "timestep") as ticker:
            for timestep in self.config.timesteps:
                losses = generator.losses(candidates.images.pixels, candidates.images.conditions, [timestep], self.config.seed)
                columns.append(losses[:, 0])
                ticker.update()
        return np.stack(columns, axis=1)

    def _reference(self, attacked):
        from tasks.weights import open_model

        generator, said = open_model(root() / self.config.reference)
        if said["digest"] != self.config.reference_digest:
            raise IntegrityError(
                f"gates.mia-white-box.reference_digest is {self.config.reference_digest!r}, and the model in {self.config.reference} has "
                f"{said['digest']}: give its digest, or the model that was meant"
            )
        if generator.shape != attacked.shape:
            raise UsageError(
                f"the reference model draws {generator.shape}, the one that is attacked {attacked.shape}: give one of its shape"
            )
        return generator

    def _shadow_losses(self, attacked, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
        """Losses shadows x N x timesteps under models trained on random halves of the candidates, and who was in which half."""
        from tasks.progress import ticking
        from tasks.weights import equipped

        config, images = self.config, candidates.images
        included = halves(group_index(images.patients), len(images), config.shadows, config.seed)
        steps = config.shadow_steps or attacked.config.steps
        losses = []
        for number, inside in enumerate(included):
            changed = {"steps": steps, "seed": attacked.config.seed + 1 + number}
            shadow = equipped(attacked.sibling(attacked.config.model_copy(update=changed)))
            material = Material.of(images.take(np.flatnonzero(inside)))
            with ticking("gate mia-white-box", f"shadow model {number + 1} of {config.shadows}", shadow.total_steps, "step") as ticker:
                shadow.fit(material, None, lambda _: None, lambda *_, tick=ticker: tick.update())
            losses.append(self._losses(shadow, candidates, f"losses under shadow model {number + 1}"))
        return np.stack(losses), included
