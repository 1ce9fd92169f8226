"""`replica`: how many of the synthetic images are copies or near copies of training images?"""

from typing import Literal

from schema.images import Images, joined
from schema.verdict import Null, Status, judge
from tasks.gates import Finding, Gate
from tasks.gates._copies import FEWEST, CopiesConfig, Found, Scale, calibration, excess_interval, recognised, share_interval

UNIT = "share of copies among the synthetic images, in excess of that among unseen real images"


class Config(CopiesConfig):
    kind: Literal["replica"] = "replica"


class Plugin(Gate):
    kind = "replica"
    Config = Config
    direction = "at_most"
    method = (
        "Each synthetic image is laid over every training image, as it is and mirrored, shifted by up to 1/16 of an edge, with brightness "
        "and contrast normalised, and compared by two distances: of decorrelated pixels and of their leading principal components. What "
        "counts is the distance to the nearest over that to the next (Carlini et al. 2023, arXiv:2301.13188, section 5). A near copy "
        "lies further below the median than an image that cannot be a copy should: median and spread are those of real images that the "
        "generator never saw, holdout and test. Null: the share of those found in the same way (Meehan et al. 2020, arXiv:2004.05675). A "
        "training image given out pixel for pixel, mirrored or not, fails by itself. Control: training images with a little noise must be "
        "recognised. Interval: exact 95 % intervals of both shares, combined by Newcombe's method 10; unseen images counted by patient."
    )

    def measure(self, real, synthetic):
        from models.neighbours import CopyFinder, equal
        from tasks.progress import ticking

        why = _missing(real, synthetic)
        if why is not None:
            return self._unsettled(why, real, synthetic)
        bound, sets = self.config.deviations, {"unseen": joined(real.holdout, real.test), "synthetic": synthetic}
        try:
            finder = CopyFinder(real.train.pixels, real.train.patients)
            with ticking("gate replica", "laying images over training images", sum(map(len, sets.values())), "image") as ticker:
                matches = {who: finder.match(images.pixels, tick=ticker.update) for who, images in sets.items()}
            scales = {name: Scale.of(match) for name, match in matches["unseen"].items()}
            control = recognised(finder, scales, bound, real.train)
        except ValueError as error:
            return self._unsettled(str(error), real, synthetic)
        found = {who: Found.by(scales, bound, equal(images.pixels, real.train.pixels), matches[who]) for who, images in sets.items()}
        measures = {"known_copies_recognised": control, "calibration": calibration(scales, bound, finder.components)}
        return self._finding(found, sets["unseen"], real, synthetic, measures)

    def _finding(self, found: dict[str, Found], unseen: Images, real, synthetic, measures: dict) -> Finding:
        copies, others = found["synthetic"], found["unseen"]
        share, null = float(copies.near.mean()), float(others.near.mean())
        n, patients, threshold = len(synthetic), len(set(unseen.patients)), self.config.threshold
        low, high = interval = excess_interval((share, n), (null, patients))
        null_interval = share_interval(null, patients)
        reason = (
            f"{copies.counts[0]} of {n} synthetic images are training images and {copies.counts[1]} are near copies of one ({share:.2%}), "
            f"where {null:.2%} of {len(unseen)} unseen real images would be taken for such: an excess of {share - null:+.2%} "
            f"({low:+.2%} to {high:+.2%}), at most {threshold:.2%} being allowed."
        )
        status = None
        if copies.counts[0] and not others.counts[0]:
            # No share of patients' own pixels is small enough, where unseen images have none.
            status = Status.FAIL
            reason += " Not one training image may be given out, as it is or mirrored."
        elif null_interval[0] > threshold and judge(share - null, interval, threshold, self.direction) is not Status.FAIL:
            # What is common among unseen images cannot be told from what the generator copied.
            status = Status.INSUFFICIENT
            reason += " So many unseen images resemble training images that nothing is left to compare with: mend the split, by patient."
        return Finding(
            value=share - null,
            interval=interval,
            null=Null(value=null, interval=null_interval, what="unseen real images (holdout and test) taken for copies of training images"),
            n=_counts(real, synthetic),
            unit=UNIT,
            reason=reason,
            status=status,
            evidence={
                "copies": copies.counts[0],
                "near_copies": copies.counts[1],
                "share": share,
                "share_interval": list(share_interval(share, n)),
                "unseen_copies": others.counts[0],
                "unseen_near_copies": others.counts[1],
                "alterations": copies.alterations(),
                **measures,
                "pairs": copies.pairs("synthetic", synthetic, real.train),
            },
        )

    def _unsettled(self, why: str, real, synthetic) -> Finding:
        return Finding(None, None, None, _counts(real, synthetic), UNIT, f"Copies cannot be judged: {why}.", {}, Status.INSUFFICIENT)


def _counts(real, synthetic) -> dict[str, int]:
    return {"synthetic": len(synthetic), "unseen": len(real.holdout) + len(real.test), "train": len(real.train)}


def _missing(real, synthetic) -> str | None:
    """What keeps the gate from judging, with what to do; None where nothing does."""
    n = _counts(real, synthetic)
    if not n["synthetic"]:
        return "there is no synthetic image; draw some"
    if min(n["train"], n["unseen"]) < FEWEST:
        few = f"{n['train']} training and {n['unseen']} unseen images (holdout and test)"
        return f"{few} are too few to calibrate on; at least {FEWEST} of each are needed"
    if len({images.pixels.shape[1:] for images in (real.train, real.holdout, real.test, synthetic)}) > 1:
        return "the sets of images differ in size; ingest and draw them at one size"
    return None
