"""`split`: are the images that the generator never saw of other patients than those it was trained on?"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from models.stats import group_index
from schema.images import Images, RealImages, joined
from schema.verdict import Null, Status
from tasks.gates import Finding, Gate
from tasks.gates._copies import FEWEST, CopiesConfig, Found, Scale, calibration, excess_interval, recognised, share_interval

UNIT = "share of holdout and test images that have a copy among the training images, in excess of chance likeness"


class Config(CopiesConfig):
    kind: Literal["split"] = "split"
    deviations: float = Field(
        default=12.0,
        gt=0,
        allow_inf_nan=False,
        description="how far below the median of second neighbours, in their robust standard deviations, an image's isolation must lie",
    )
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "split"
    Config = Config
    direction = "at_most"
    method = (
        "A patient id in two splits fails at once. Beyond that, holdout and test images are laid over the training images as by the gate "
        "`replica`, and those that are copies or near copies are counted: images of one patient under two ids, or one image under two "
        "names. Where likeness begins to be a copy is calibrated on training images and their second neighbours, of other patients. "
        "Null: the share that is left when the patient that each image resembles most is passed over, since a leak comes in pairs and "
        "chance likeness does not. (Members against members would share a leak that the ids hide, and so excuse it; their share is given "
        "beside.) Interval: exact 95 % intervals of both shares, counted by patient, combined by Newcombe's method 10."
    )

    def measure(self, real, synthetic):
        from models.neighbours import CopyFinder, equal
        from tasks.progress import ticking

        shared = patients_in_two_splits(real)
        if shared.any():
            return self._refused(shared, real)
        why = _missing(real)
        if why is not None:
            return self._unsettled(why, real)
        unseen, members = joined(real.holdout, real.test), self._members(real.train, len(real.holdout) + len(real.test))
        try:
            finder = CopyFinder(real.train.pixels, real.train.patients)
            with ticking("gate split", "laying images over training images", len(unseen) + len(members), "image") as ticker:
                across = finder.match(unseen.pixels, tick=ticker.update)
                within = finder.match(members.pixels, members.patients, tick=ticker.update)
            # By second neighbours, which leaked pairs among the members do not touch.
            scales = {name: Scale.of(match.without_nearest()) for name, match in within.items()}
            control = recognised(finder, scales, self.config.deviations, real.train)
        except ValueError as error:
            return self._unsettled(str(error), real)
        bound = self.config.deviations
        found = Found.by(scales, bound, equal(unseen.pixels, real.train.pixels), across)
        nothing = np.full(len(unseen), -1), np.zeros(len(unseen), dtype=bool)
        null = Found.by(scales, bound, nothing, {name: match.without_nearest() for name, match in across.items()})
        among = np.stack([scales[name].deviations(match.isolation) for name, match in within.items()]).max(axis=0) > bound
        evidence = {
            "members_share": float(among.mean()),
            "known_copies_recognised": control,
            "calibration": calibration(scales, bound, finder.components),
            "pairs": found.pairs("unseen", unseen, real.train),
        }
        return self._finding(found, float(null.near.mean()), real, evidence)

    def _members(self, train: Images, n: int) -> Images:
        """About n training images, by whole patients, at random."""
        groups = group_index(train.patients)
        order = np.random.default_rng(self.config.seed).permutation(len(groups))
        enough = int(np.searchsorted(np.cumsum([len(groups[k]) for k in order]), n)) + 1
        return train.take(np.sort(np.concatenate([groups[k] for k in order[:enough]])))

    def _finding(self, found: Found, null: float, real, evidence: dict[str, Any]) -> Finding:
        n, patients = len(found.near), len({*real.holdout.patients, *real.test.patients})
        share, (exact, near) = float(found.near.mean()), found.counts
        low, high = interval = excess_interval((share, patients), (null, patients))
        cut = len(real.holdout)
        return Finding(
            value=share - null,
            interval=interval,
            null=Null(value=null, interval=share_interval(null, patients), what="the same with the most similar patient passed over"),
            n=_counts(real),
            unit=UNIT,
            reason=(
                f"No patient id is in two splits. {exact} of {n} holdout and test images are training images and {near} are near copies of "
                f"one ({share:.2%}), where chance likeness makes {null:.2%}: an excess of {share - null:+.2%} ({low:+.2%} to {high:+.2%}), "
                f"at most {self.config.threshold:.2%} being allowed. Among training images of different patients it is "
                f"{evidence['members_share']:.2%}."
            ),
            evidence={
                "patients_in_two_splits": 0,
                "copies": exact,
                "near_copies": near,
                "share": share,
                "share_interval": list(share_interval(share, patients)),
                "share_by_split": {"holdout": float(found.near[:cut].mean()), "test": float(found.near[cut:].mean())},
                "alterations": found.alterations(),
                **evidence,
            },
        )

    def _refused(self, shared: np.ndarray, real) -> Finding:
        """One patient in two splits is enough: whatever is measured on such splits says nothing of other patients."""
        share, n = float(shared.mean()), len(shared)
        patients = len({name for name, both in zip([*real.holdout.patients, *real.test.patients], shared, strict=True) if both})
        return Finding(
            value=share,
            interval=share_interval(share, n),
            null=Null(value=0.0, what="a patient belongs to one split"),
            n=_counts(real),
            unit="share of holdout and test images whose patient is in another split too",
            reason=(
                f"{patients} patients of the holdout or the test images are in another split too, with {share:.2%} of these images: "
                "split by patient, and train again."
            ),
            evidence={"patients_in_two_splits": patients, "share": share},
            status=Status.FAIL,
        )

    def _unsettled(self, why: str, real) -> Finding:
        return Finding(None, None, None, _counts(real), UNIT, f"The split cannot be judged: {why}.", {}, Status.INSUFFICIENT)


def patients_in_two_splits(real: RealImages) -> np.ndarray:
    """For each image of holdout and test, in that order, whether its patient is in another split too."""
    train, holdout, test = (set(images.patients) for images in (real.train, real.holdout, real.test))
    pairs = ((real.holdout, train | test), (real.test, train | holdout))
    return np.array([name in others for images, others in pairs for name in images.patients], dtype=bool)


def _counts(real: RealImages) -> dict[str, int]:
    return {"train": len(real.train), "holdout": len(real.holdout), "test": len(real.test)}


def _missing(real: RealImages) -> str | None:
    """What keeps the gate from judging, with what to do; None where nothing does."""
    unseen = len(real.holdout) + len(real.test)
    if min(len(real.train), unseen) < FEWEST or not len(real.holdout) or not len(real.test):
        few = f"{len(real.train)} training, {len(real.holdout)} holdout and {len(real.test)} test images"
        return f"{few} are too few; at least {FEWEST} training images and as many unseen ones are needed, and some in each split"
    if len({images.pixels.shape[1:] for images in (real.train, real.holdout, real.test)}) > 1:
        return "the splits hold images of different sizes; ingest them at one size"
    return None
