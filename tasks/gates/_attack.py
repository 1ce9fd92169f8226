"""What the membership gates share: from scores of members and non-members to a finding.

An attacker is the best of several attacks, each both ways round, and is judged as that: the null goes through the same choice, members
against members, and what is judged is the excess over it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from models.membership import Ranked, blind_scores, drawn_weights, needed
from models.stats import group_index, percentile_interval, roc
from schema.images import Images, RealImages, joined
from schema.params import GateConfig
from schema.verdict import Null, Status, judge
from tasks.gates import Finding, Gate

FPRS = {"tpr_at_1_fpr": 0.01, "tpr_at_01_fpr": 0.001}
WORDS = {"auc": "AUC", "auc_per_patient": "AUC per patient", "tpr_at_1_fpr": "TPR at 1 % FPR", "tpr_at_01_fpr": "TPR at 0.1 % FPR"}
FEWEST = 20
"""Fewer images or patients than this on a side say nothing of an AUC."""


class AttackConfig(GateConfig):
    """What the section of every membership gate holds."""

    threshold: float = Field(ge=0, lt=0.5, description="largest excess of the attack's AUC over its null")
    tpr_threshold: float = Field(default=0.05, ge=0, lt=1, description="largest excess of the true positive rate over its null")
    claims: list[Literal["auc", "auc_per_patient", "tpr_at_1_fpr", "tpr_at_01_fpr"]] = Field(
        default=["auc", "auc_per_patient", "tpr_at_1_fpr"],
        min_length=1,
        description="what must hold, beside the AUC, for the gate to pass; the others are measured and inform",
    )
    members: int | None = Field(default=None, ge=FEWEST, description="at most so many training images are attacked, by whole patients")
    bootstrap: int = Field(default=1000, ge=100, description="bootstrap draws, and splits of the members for the null")
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Candidates:
    """Those whom the attack is tried on: images and whether each was trained on, members first."""

    images: Images
    members: int

    @classmethod
    def of(cls, real: RealImages, config: AttackConfig) -> "Candidates":
        inside = real.train
        if config.members is not None and config.members < len(inside):
            groups = group_index(inside.patients)
            order = np.random.default_rng([config.seed, 7]).permutation(len(groups))
            sizes = np.cumsum([len(groups[k]) for k in order])
            chosen = order[: np.searchsorted(sizes, config.members, side="right")]
            inside = inside.take(np.sort(np.concatenate([groups[k] for k in chosen]))) if len(chosen) else inside.take(np.arange(0))
        return cls(joined(inside, real.holdout), len(inside))

    @property
    def sides(self) -> tuple[slice, slice]:
        """Where the members are, and where the others."""
        return slice(self.members), slice(self.members, None)

    @property
    def is_member(self) -> np.ndarray:
        return np.arange(len(self.images)) < self.members


class AttackGate(Gate):
    """A gate that tries attacks: the plug-in gives scores, all else is here."""

    direction = "at_most"
    attacker: str
    """What the attacker holds, in words."""

    def scores(self, candidates: Candidates, real: RealImages, synthetic: Images) -> dict[str, np.ndarray]:
        """Each attack's scores of all candidates, by the attack's name: the higher, the more like a member."""
        raise NotImplementedError

    def measure(self, real, synthetic):
        if real.train.pixels.shape[1:] != real.holdout.pixels.shape[1:]:
            return self._unsettled(real, "members and non-members differ in size, and would be told apart by that: ingest them at one size")
        candidates = Candidates.of(real, self.config)
        inside, outside = (len(set(candidates.images.patients[side])) for side in candidates.sides)
        if min(inside // 2, outside) < FEWEST:
            return self._unsettled(real, f"{FEWEST} patients among the non-members and twice as many among the members are the least")
        if not len(synthetic):
            return self._unsettled(real, "there is no synthetic image")
        scores = self.scores(candidates, real, synthetic)
        broken = sorted(name for name, values in scores.items() if not np.isfinite(values).all())
        if broken:
            return self._unsettled(real, f"scores of {', '.join(broken)} are not finite")
        return Trial(candidates, scores, self.config).finding(self.attacker)

    def status(self, finding):
        """PASS only if every claim that params.yaml asks for holds; else the worst of them. Where members and non-members are told
        apart without the model, neither a success nor a failure of an attack says anything of the model."""
        status = super().status(finding)
        *asked, split = [Status(row["status"]) for row in finding.evidence.get("claims", []) if row["required"]] or [status]
        if split is Status.INSUFFICIENT:
            return split
        return next((worst for worst in (Status.FAIL, Status.INSUFFICIENT) if worst in (status, *asked)), status)

    def _unsettled(self, real: RealImages, why: str) -> Finding:
        n = {"members": len(real.train), "non_members": len(real.holdout)}
        reason = f"The attack cannot be judged: {why}; there are {n['members']} members and {n['non_members']} non-members."
        return Finding(None, None, None, n, "AUC of the attack in excess of members against members", reason, {}, Status.INSUFFICIENT)


class Trial:
    """Attacks on one set of candidates, and what they came to."""

    def __init__(self, candidates: Candidates, scores: dict[str, np.ndarray], config: AttackConfig) -> None:
        self.candidates, self.config = candidates, config
        cut = candidates.members
        # A guess that is wrong more often than right is turned round, as the attacker would.
        self.scores = {name: values if Ranked(values[:cut], values[cut:]).auc() >= 0.5 else -values for name, values in scores.items()}
        scores = self.scores
        sides = candidates.images.patients[:cut], candidates.images.patients[cut:]
        self.inside, self.outside = map(group_index, sides)
        self.patient_of = [np.unique(patients, return_inverse=True)[1] for patients in sides]
        self.sizes = cut, len(candidates.images) - cut
        # Each attack both ways round: few may stand out at the end where most do not.
        both = [sign * values for values in scores.values() for sign in (1, -1)]
        self.ranked = {name: Ranked(values[:cut], values[cut:]) for name, values in scores.items()}
        self.ways = [Ranked(values[:cut], values[cut:]) for values in both]
        self.among = [Ranked(values[:cut], values[:cut]) for values in both]

    def finding(self, attacker: str) -> Finding:
        draws, nulls = self._draws(), self._nulls()
        points = {name: self._point(name) for name in self.scores}
        claims = [self._claim(key, points, draws[key], nulls[key]) for key in draws]
        blind = self._blind()
        claims.append(blind)
        main = claims[0]
        worst = max(points, key=lambda name: points[name]["auc"])
        inside, outside = (self.scores[worst][side] for side in self.candidates.sides)
        separable = blind["status"] != Status.PASS
        return Finding(
            value=main["value"],
            interval=tuple(main["interval"]),
            null=Null(value=main["null"], interval=tuple(main["null_interval"]), what="the best AUC of members against members"),
            n={"members": self.sizes[0], "non_members": self.sizes[1], "patients": len(self.inside) + len(self.outside)},
            unit="AUC of the best attack in excess of members against members",
            reason=self._words(attacker, worst, points[worst], claims, separable),
            evidence={
                "auc": points[worst]["auc"],
                "auc_interval": list(points[worst]["auc_interval"]),
                "tpr_at_1_fpr": points[worst]["tpr_at_1_fpr"],
                "attack": worst,
                "attacks": [{"attack": name, **row} for name, row in points.items()],
                "claims": claims,
                "worst_class": self._worst_class(worst),
                "roc": roc(inside, outside),
                "null_roc": self._null_roc(worst),
            },
        )

    def _point(self, name: str) -> dict:
        """One attack by itself, as measured, with intervals by patient."""
        random = np.random.default_rng([self.config.seed, 2])
        ranked = self.ranked[name]
        aucs = [ranked.auc(*self._weights(random)) for _ in range(self.config.bootstrap)]
        row = {"auc": ranked.auc(), "auc_interval": list(percentile_interval(aucs))}
        return row | {key: ranked.tpr_at_fpr(fpr) for key, fpr in FPRS.items()}

    def _weights(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A bootstrap draw of patients, as weights of members and of non-members."""
        return drawn_weights(self.patient_of[0], random), drawn_weights(self.patient_of[1], random)

    def _best(self, ways: list[Ranked], *weights: np.ndarray | None) -> dict[str, float]:
        """What the best of the attacks reaches, for each claim."""
        return {
            "auc": max(each.auc(*weights) for each in ways),
            **{key: max(each.tpr_at_fpr(fpr, *weights) for each in ways) for key, fpr in FPRS.items()},
        }

    @property
    def per_patient(self) -> bool:
        return len(self.inside) + len(self.outside) < sum(self.sizes)

    def _of_patients(self, inside: list[np.ndarray], outside: list[np.ndarray]) -> list[Ranked]:
        """Ranks of patients, each by the mean score of their images, for each attack both ways round."""
        means = [[np.array([values[rows].mean() for rows in groups]) for groups in (inside, outside)] for values in self.scores.values()]
        return [Ranked(sign * members, sign * others) for members, others in means for sign in (1, -1)]

    def _draws(self) -> dict[str, list[float]]:
        """The measured number of each claim first, then its bootstrap draws."""
        random = np.random.default_rng([self.config.seed, 3])
        rows = [self._best(self.ways)] + [self._best(self.ways, *self._weights(random)) for _ in range(self.config.bootstrap)]
        found = {key: [row[key] for row in rows] for key in rows[0]}
        if self.per_patient:
            ways = self._of_patients(self.inside, [rows + self.sizes[0] for rows in self.outside])
            singles = [np.arange(len(groups)) for groups in (self.inside, self.outside)]
            found["auc_per_patient"] = [max(each.auc() for each in ways)]
            for _ in range(self.config.bootstrap):
                weights = [drawn_weights(each, random) for each in singles]
                found["auc_per_patient"].append(max(each.auc(*weights) for each in ways))
        return found

    def _nulls(self) -> dict[str, list[float]]:
        """The same best of all attacks on members alone: as many patients as there are non-members (at most half of them) against the
        other members, over random splits."""
        random = np.random.default_rng([self.config.seed, 1])
        size = min(len(self.outside), len(self.inside) // 2)
        ways = self._of_patients(self.inside, self.inside) if self.per_patient else []
        found: dict[str, list[float]] = {key: [] for key in ("auc", *FPRS)} | ({"auc_per_patient": []} if ways else {})
        for _ in range(self.config.bootstrap):
            apart = np.zeros(len(self.inside), dtype=bool)
            apart[random.permutation(len(self.inside))[:size]] = True
            images = np.zeros(self.sizes[0])
            images[np.concatenate([self.inside[k] for k in np.flatnonzero(apart)])] = 1
            for key, value in self._best(self.among, 1 - images, images).items():
                found[key].append(value)
            if ways:
                found["auc_per_patient"].append(max(each.auc(~apart, apart) for each in ways))
        return found

    def _claim(self, key: str, points: dict, draws: list[float], nulls: list[float]) -> dict:
        """One claim with its null, its interval and whether it holds.

        Resampling raises the best of several: the draws are moved by their bias (Efron and Tibshirani 1993, section 10.2). The null is
        raised likewise, but where an attack does work there is nothing to choose, and to subtract so much would flatter: the upper end
        is that of the excess over plain guessing.
        """
        measured, null, guessing = draws[0], float(np.mean(nulls)), FPRS.get(key, 0.5)
        low, high = percentile_interval(np.asarray(draws[1:]) - np.mean(draws[1:]) + measured)
        interval = low - null, high - min(null, guessing)
        # Images of one patient are no independent trials: it is patients that a rate is claimed of.
        n = len(self.outside)
        least = needed(FPRS[key]) if key in FPRS else FEWEST
        threshold = self.config.tpr_threshold if key in FPRS else self.config.threshold
        status = judge(measured - null, interval, threshold, "at_most") if n >= least else Status.INSUFFICIENT
        return {
            "claim": WORDS[key],
            "measured": measured,
            "null": null,
            "null_interval": list(percentile_interval(nulls)),
            "value": measured - null,
            "interval": list(interval),
            "threshold": threshold,
            "n": n,
            "needed": least,
            "status": str(status),
            "required": key == "auc" or key in self.config.claims,
        }

    def _blind(self) -> dict:
        """How well members are told from non-members without the model: what an attack finds beyond the null may be only that."""
        images, member = self.candidates.images, self.candidates.is_member
        scores = blind_scores(images.pixels, member, images.patients, self.config.seed)
        ranked = Ranked(scores[member], scores[~member])
        random = np.random.default_rng([self.config.seed, 4])
        low, high = percentile_interval([ranked.auc(*self._weights(random)) for _ in range(self.config.bootstrap)])
        measured = ranked.auc()
        # What is told apart by more than an attack may: what the gate measures would be the split and not the model.
        fair = judge(measured - 0.5, (low - 0.5, high - 0.5), self.config.threshold, "at_most") is Status.PASS
        return {
            "claim": "AUC without the model (the split itself)",
            "measured": measured,
            "null": 0.5,
            "null_interval": [0.5, 0.5],
            "value": measured - 0.5,
            "interval": [low - 0.5, high - 0.5],
            "threshold": self.config.threshold,
            "n": len(self.outside),
            "needed": FEWEST,
            "status": str(Status.PASS if fair else Status.INSUFFICIENT),
            "required": True,
        }

    def _words(self, attacker: str, worst: str, point: dict, claims: list[dict], separable: bool) -> str:
        main = claims[0]
        low, high = point["auc_interval"]
        said = (
            f"{attacker} tells members from non-members with an AUC of {point['auc']:.3f} ({low:.3f} to {high:.3f}; the best of "
            f"{len(self.scores)}: {worst}), where members against members give {main['null']:.3f}: an excess of {main['value']:+.3f} "
            f"({main['interval'][0]:+.3f} to {main['interval'][1]:+.3f}), at most {main['threshold']:g} being allowed. "
            f"At 1 % false positives it finds {point['tpr_at_1_fpr']:.1%} of the members."
        )
        if separable:
            split = claims[-1]
            said += (
                f" But members and non-members are, or may be, told apart without the model (AUC {split['measured']:.3f}, "
                f"{split['interval'][0] + 0.5:.3f} to {split['interval'][1] + 0.5:.3f}), so nothing can be said of the model: split one "
                "source by patient at random, with enough patients."
            )
        failed = [row["claim"] for row in claims[1:-1] if row["required"] and row["status"] != Status.PASS]
        return said + (f" Not settled or not held: {', '.join(failed)}." if failed else "")

    def _worst_class(self, name: str) -> dict:
        """The class whose members are told apart best; the interval holds for a class looked at alone."""
        labels, member = self.candidates.images.labels, self.candidates.is_member
        worst: dict = {"label": None, "auc": -1.0, "interval": None}
        for label, words in enumerate(self.candidates.images.classes):
            sides = [np.flatnonzero((labels == label) & side) for side in (member, ~member)]
            if min(map(len, sides)) < FEWEST:
                continue
            ranked = Ranked(*(self.scores[name][rows] for rows in sides))
            value = ranked.auc()
            if value > worst["auc"]:
                random = np.random.default_rng([self.config.seed, 5])
                patients = [np.unique([self.candidates.images.patients[row] for row in rows], return_inverse=True)[1] for rows in sides]
                draws = [ranked.auc(*(drawn_weights(each, random) for each in patients)) for _ in range(self.config.bootstrap)]
                worst = {"label": words, "auc": value, "interval": list(percentile_interval(draws))}
        return worst

    def _null_roc(self, name: str) -> list[list[float]]:
        """The curve of one random half of the members against the other."""
        order = np.random.default_rng([self.config.seed, 6]).permutation(len(self.inside))
        scores = self.scores[name]
        apart, rest = (np.concatenate([self.inside[k] for k in part]) for part in np.array_split(order, 2))
        return roc(scores[rest], scores[apart])
