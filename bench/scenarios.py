"""The releases that the gates are tried on: good ones, and ones that are bad in a known way."""

from collections.abc import Callable
from dataclasses import dataclass

from bench import defects
from bench.world import Trial, World, shrunk
from schema.images import Images

RELEASE_GATES = ("replica", "mia-release", "coverage", "fd-domain", "frd", "utility")
"""The gates that judge the images of a release."""
MODEL_GATES = ("mia-white-box", "mia-query")

NOT_MEASURED = {
    "fid": "needs pytorch-fid's Inception weights and 2048 images of each set",
    "cmmd": "needs CLIP's weights",
    "canary": "judges canaries that were planted in training, which none of these models had",
    "dp-claim": "judges a claim of differential privacy, and none of these models makes one",
}
"""Gates that no scenario tries, and why."""


@dataclass(frozen=True)
class Scenario:
    """`meant`: the gates that must refuse it if `bad`; `others`: gates that are tried too. Of a good one every refusal is a false alarm."""

    name: str
    words: str
    bad: bool
    meant: tuple[str, ...]
    make: Callable[[World], Trial]
    others: tuple[str, ...] = ()

    @property
    def gates(self) -> tuple[str, ...]:
        return self.meant + self.others


def copies(share: float, change: defects.Change | None = None) -> Callable[[World], Trial]:
    return lambda world: world.trial(defects.with_copies(world.release, world.real.train, share, world.random(f"copies {share}"), change))


def changed(defect: Callable[..., Images], *about: object, by_chance: bool = True) -> Callable[[World], Trial]:
    """The good release with a defect, which is told `about` and given chance where it needs some."""

    def make(world: World) -> Trial:
        chance = (world.random(defect.__name__),) if by_chance else ()
        return world.trial(defect(world.release, *about, *chance))

    return make


GOOD = Scenario(
    "real images of other patients",
    "A release of real images of patients who are in no split.",
    False,
    (*RELEASE_GATES, "split"),
    lambda world: world.trial(),
)

COPIES = [
    Scenario(
        f"{share:.0%} copied {how}",
        f"{share:.0%} of the release is training images, {words}.",
        True,
        ("replica",),
        copies(share, change),
        ("mia-release",) if share in (0.01, 0.5) else (),
    )
    for how, words, change in (
        ("exactly", "pixel for pixel", None),
        ("nearly", "each flipped, moved by 1 or 2 pixels, or with noise of 3 grey levels", defects.nearly),
    )
    for share in (0.01, 0.05, 0.5)
]

COLLAPSES = [
    Scenario(
        "collapsed onto 32 images",
        "32 images, each again and again with noise of 3 grey levels.",
        True,
        ("coverage", "fd-domain"),
        changed(defects.repeated, 32),
        ("frd", "mia-release"),
    ),
    Scenario(
        "collapsed onto one cluster",
        "The sixteenth of each class that is nearest to one image, again and again with noise.",
        True,
        ("coverage", "fd-domain"),
        changed(defects.one_cluster, 1 / 16),
        ("frd",),
    ),
    Scenario(
        "collapsed onto a quarter",
        "The same with the nearest quarter: a milder collapse.",
        True,
        (),
        changed(defects.one_cluster, 1 / 4),
        ("coverage", "fd-domain"),
    ),
]

FAULTS = [
    Scenario(
        "one class missing",
        "No image of the rarest class.",
        True,
        ("coverage",),
        changed(defects.without_rarest_class, by_chance=False),
        ("fd-domain",),
    ),
    Scenario(
        "labels shuffled",
        "Good images, whose labels have changed places among them.",
        True,
        ("utility", "coverage"),
        changed(defects.labels_shuffled),
    ),
    Scenario(
        "blurred",
        "A Gaussian blur of 1 pixel.",
        True,
        ("fd-domain", "frd"),
        changed(defects.blurred, 1.0, by_chance=False),
    ),
    Scenario(
        "wrongly resized",
        "Halved and doubled again by nearest neighbour.",
        True,
        ("frd",),
        changed(defects.wrongly_resized, by_chance=False),
        ("fd-domain",),
    ),
    Scenario(
        "sixteen images",
        "Sixteen good images: far too few for any of these claims.",
        True,
        RELEASE_GATES,
        changed(defects.few, 16),
    ),
]

SPLITS = [
    Scenario(
        "a tenth of the split leaks",
        "A tenth of the holdout and test images are other views of training images, as of one patient on both sides under two ids.",
        True,
        ("split",),
        lambda world: world.trial(real=defects.leaking(world.real, 0.1, world.random("leak"))),
    ),
    Scenario(
        "split by image, ids known",
        "Phantoms of two images a patient, of other pose, exposure and findings, dealt by image.",
        True,
        ("split",),
        lambda world: world.split_grouped(world.grouped, by_image=True),
    ),
    Scenario(
        "split by image, ids lost",
        "The same, where each image counts as a patient of its own.",
        True,
        ("split",),
        lambda world: world.split_grouped(defects.each_image_its_own_patient(world.grouped)),
    ),
    Scenario(
        "split by patient",
        "The same phantoms, dealt by patient.",
        False,
        ("split",),
        lambda world: world.split_grouped(world.grouped),
    ),
]

MODELS = [
    Scenario(
        "overfitted model",
        "A model trained on 64 images for very long, and what it draws.",
        True,
        MODEL_GATES,
        lambda world: world.attacked(world.small.train),
        ("mia-release", "replica", "fd-domain", "coverage"),
    ),
    Scenario(
        "the same model, other people",
        "The overfitted model, attacked with images that it never saw in place of its members.",
        False,
        MODEL_GATES,
        lambda world: world.attacked(shrunk(world.release, world.sizes.side)),
    ),
]

SCENARIOS = [GOOD, *COPIES, *COLLAPSES, *FAULTS, *SPLITS, *MODELS]
