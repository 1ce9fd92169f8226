"""What a recipient of the release can tell: a release of members gives them away, one of strangers does not."""

import numpy as np
import pytest

from schema.images import RealImages
from schema.verdict import Status
from tasks.gates._attack import Candidates
from tasks.gates.mia_release import Config, Plugin
from tests.models.test_neighbours import textures
from tests.tasks.gates.test_replica import images, splits

MEMBERS, OTHERS, TEST = 400, 200, 300


@pytest.fixture(scope="module")
def real() -> RealImages:
    pixels = textures(MEMBERS + OTHERS + TEST, 1, 16)
    return splits(*np.split(pixels, [MEMBERS, MEMBERS + OTHERS]))


def measured(real: RealImages, release: np.ndarray):
    gate = Plugin(Config(threshold=0.1, bootstrap=100), None)
    finding = gate.measure(real, images(release, "synthetic-"))
    return finding, gate.status(finding)


def test_a_release_of_half_the_members_gives_exactly_those_away(real):
    """Those copied outscore everyone, the others are guessed: AUC 0.5 x 1 + 0.5 x 0.5."""
    gate = Plugin(Config(threshold=0.1), None)
    release = images(real.train.pixels[: MEMBERS // 2], "synthetic-")
    scores = gate.scores(Candidates.of(real, gate.config), real, release)["nearest neighbour distance ratio"]
    assert scores[: MEMBERS // 2].min() > scores[MEMBERS // 2 :].max()
    found, status = measured(real, release.pixels)
    assert status is Status.FAIL
    by_attack = {row["attack"]: row["auc"] for row in found.evidence["attacks"]}
    assert by_attack["nearest neighbour distance ratio"] == pytest.approx(0.75, abs=0.04)
    assert by_attack["density ratio (DOMIAS)"] > 0.6


def test_a_release_of_strangers_gives_nobody_away(real):
    found, status = measured(real, textures(300, 2, 16))
    assert status is not Status.FAIL
    assert all(row["auc"] == pytest.approx(0.5, abs=0.07) for row in found.evidence["attacks"])


def test_members_blended_with_noise_are_found_by_one_attack_or_the_other(real):
    noise = np.random.default_rng(0).normal(0, 12, real.train.pixels.shape)
    found, status = measured(real, np.clip(0.8 * real.train.pixels + 0.2 * 128 + noise, 0, 255).astype(np.uint8))
    assert status is Status.FAIL
    assert found.evidence["auc"] > 0.7


def test_what_cannot_be_attacked_is_insufficient_and_odd_releases_do_no_harm(real):
    flat = np.full((60, 16, 16, 1), 9, dtype=np.uint8)
    strangers = textures(60, 2, 16)
    for sets, release, words in (
        (real, strangers[:0], "no synthetic image"),
        (real, strangers[:, :8], "differ in size"),
        (splits(strangers[:40], strangers[40:50, :8], strangers[50:]), strangers, "differ in size"),
        (splits(strangers[:40], strangers[40:], strangers[:0]), strangers, "no test image"),
        (splits(flat, flat, flat), strangers, "all the same"),
        (splits(strangers[:30], strangers[30:40], strangers[40:]), strangers, "are the least"),
        (real, strangers[:16], "16 synthetic images are too few"),
    ):
        found, status = measured(sets, release)
        assert (found.value, status) == (None, Status.INSUFFICIENT)
        assert words in found.reason
    assert measured(real, flat)[0].evidence["auc"] == pytest.approx(0.5, abs=0.1)
