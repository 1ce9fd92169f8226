"""`mia`: can someone who holds the model tell who was in its training set, by the diffusion loss?"""

from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from models.stats import auc, bootstrap_two, group_index, percentile_interval, roc, tpr_at_fpr
from schema.params import GateConfig
from schema.verdict import Null, Status
from tasks.gates import Finding, Gate

FPR = 0.01


class Config(GateConfig):
    kind: Literal["mia"] = "mia"
    threshold: float = Field(ge=0, le=0.5, description="largest excess of the attack's AUC over its null")
    timesteps: list[NonNegativeInt] = Field(
        default=[20, 50, 100, 150, 200, 300, 400, 600], min_length=2, description="where the loss is taken"
    )
    bootstrap: int = Field(default=1000, ge=100, description="bootstrap draws, and splits of the members for the null")
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "mia"
    Config = Config
    direction = "at_most"
    method = (
        "White-box membership inference by loss thresholding (Yeom et al. 2018, arXiv:1709.01604; for diffusion models "
        "Matsumoto et al. 2023, arXiv:2302.03262): the training loss of each image at several timesteps, each standardised, "
        "averaged. Members: training images; "
        "non-members: holdout images of other patients. Null: members against members, over random splits of the same sizes. "
        "Interval: 95 % percentile bootstrap by patient."
    )

    def status(self, finding):
        """As every gate's, on both sides: an attacker whose guesses are wrong too often turns them round."""
        status = super().status(finding)
        if status is Status.PASS and finding.interval[0] < -self.config.threshold:
            return Status.FAIL if finding.value < -self.config.threshold else Status.INSUFFICIENT
        return status

    def measure(self, real, synthetic):
        from tasks.progress import ticking
        from tasks.weights import open_model

        generator, _ = open_model(self.model)
        timesteps = self.config.timesteps
        with ticking("gate mia", "loss of members and non-members", len(timesteps), "timestep") as ticker:
            columns = []
            for timestep in timesteps:
                # One draw of noise for both sets, laid end to end: the attack must not tell them apart by their noise.
                pixels = np.concatenate([real.train.pixels, real.holdout.pixels])
                labels = np.concatenate([real.train.labels, real.holdout.labels])
                columns.append(generator.losses(pixels, labels, [timestep], self.config.seed)[:, 0])
                ticker.update()
        losses = np.stack(columns, axis=1)
        return self._finding(losses[: len(real.train)], losses[len(real.train) :], real)

    def _finding(self, member_losses: np.ndarray, other_losses: np.ndarray, real) -> Finding:
        """From losses N x timesteps of members and M x timesteps of non-members."""
        everyone = np.concatenate([member_losses, other_losses])
        mean, spread = everyone.mean(axis=0), everyone.std(axis=0)
        members, others = (-((losses - mean) / spread).mean(axis=1) for losses in (member_losses, other_losses))
        groups = group_index(real.train.patients), group_index(real.holdout.patients)
        draws = self.config.bootstrap
        value, rate = auc(members, others), tpr_at_fpr(members, others, FPR)
        aucs = bootstrap_two(lambda a, b: auc(members[a], others[b]), *groups, draws, self.config.seed)
        rates = bootstrap_two(lambda a, b: tpr_at_fpr(members[a], others[b], FPR), *groups, draws, self.config.seed)
        null_aucs, null_roc = self._null(members, groups[0], len(groups[1]))
        null = float(np.mean(null_aucs))
        low, high = percentile_interval(aucs)
        return Finding(
            value=value - null,
            interval=(low - null, high - null),
            null=Null(value=null, interval=percentile_interval(null_aucs), what="AUC of members against members"),
            n={"members": len(members), "non_members": len(others)},
            unit="AUC of the attack in excess of members against members",
            reason=(
                f"The attack tells members from non-members with an AUC of {value:.3f} ({low:.3f} to {high:.3f}), where members against "
                f"members give {null:.3f}: an excess of {value - null:+.3f}, at most {self.config.threshold:g} being allowed. "
                f"At 1 % false positives it finds {rate:.1%} of the members."
            ),
            evidence={
                "auc": value,
                "auc_interval": [low, high],
                "tpr_at_1_fpr": rate,
                "tpr_at_1_fpr_interval": list(percentile_interval(rates)),
                "roc": roc(members, others),
                "null_roc": null_roc,
                "timesteps": self.config.timesteps,
                "auc_by_timestep": {
                    str(timestep): auc(-member_losses[:, k], -other_losses[:, k]) for k, timestep in enumerate(self.config.timesteps)
                },
                "worst_class": self._worst_class(members, others, real),
            },
        )

    def _null(self, members: np.ndarray, groups: list[np.ndarray], size: int) -> tuple[list[float], list[list[float]]]:
        """AUCs of random groups of members, as many patients as there are non-members (at most half), against the other members."""
        random = np.random.default_rng([self.config.seed, 1])
        size = min(size, len(groups) // 2)
        aucs = []
        for _ in range(self.config.bootstrap):
            order = random.permutation(len(groups))
            apart, rest = (np.concatenate([groups[k] for k in part]) for part in (order[:size], order[size:]))
            aucs.append(auc(members[rest], members[apart]))
        return aucs, roc(members[rest], members[apart])

    def _worst_class(self, members: np.ndarray, others: np.ndarray, real) -> dict:
        """The class whose members are told apart best; the interval holds for a class looked at alone."""
        worst: dict = {"label": None, "auc": -1.0, "interval": None}
        for label, name in enumerate(real.train.classes):
            inside, outside = members[real.train.labels == label], others[real.holdout.labels == label]
            if len(inside) < 2 or len(outside) < 2:
                continue
            value = auc(inside, outside)
            if value > worst["auc"]:
                groups = [
                    group_index([images.patients[row] for row in np.flatnonzero(images.labels == label)])
                    for images in (real.train, real.holdout)
                ]
                draws = bootstrap_two(lambda a, b, i=inside, o=outside: auc(i[a], o[b]), *groups, self.config.bootstrap, self.config.seed)
                worst = {"label": name, "auc": value, "interval": list(percentile_interval(draws))}
        return worst
