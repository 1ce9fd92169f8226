"""The arithmetic of membership attacks: weighted ROC statistics for bootstraps by patient, LiRA, and the attack without a model.

Scores: the higher, the more like a member.
"""

import math

import numpy as np

CONFIDENCE = 0.95


def needed(fpr: float, confidence: float = CONFIDENCE) -> int:
    """How many non-members a claim at this false positive rate needs: with none of them accused, the rate lies below `fpr`
    with this confidence when (1 - fpr)^n <= 1 - confidence (Clopper and Pearson 1934, for zero events). 2995 for 0.1 %."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - fpr))


def distances(again: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far images (uint8 N x H x W x C) came back: the mean squared difference of their pixels, and of their edges (the differences
    of neighbouring pixels), N each."""
    difference = again.astype(np.float32) - images
    edges = sum(np.square(np.diff(difference, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2))
    return np.square(difference).mean(axis=(1, 2, 3)), edges


class Ranked:
    """Scores of members (N) and non-members (M), sorted once: each weighted statistic afterwards is linear in N + M.

    Weights say how often an image was drawn (a bootstrap) or whether it takes part (a split); None counts each once.
    """

    def __init__(self, members: np.ndarray, non_members: np.ndarray) -> None:
        values, place = np.unique(np.concatenate([members, non_members]), return_inverse=True)
        self.size = len(values)
        self.places = place[: len(members)], place[len(members) :]

    def _mass(self, member_weights: np.ndarray | None, other_weights: np.ndarray | None) -> list[np.ndarray]:
        """Weight of members and of non-members at each score, rising."""
        pairs = zip(self.places, (member_weights, other_weights), strict=True)
        return [np.bincount(place, weights, minlength=self.size).astype(float) for place, weights in pairs]

    def auc(self, member_weights: np.ndarray | None = None, other_weights: np.ndarray | None = None) -> float:
        """The chance that a member outscores a non-member, ties counted half."""
        members, others = self._mass(member_weights, other_weights)
        below = np.cumsum(others) - others / 2
        return float(members @ below / (members.sum() * others.sum()))

    def tpr_at_fpr(self, fpr: float, member_weights: np.ndarray | None = None, other_weights: np.ndarray | None = None) -> float:
        """Share of members above the lowest score that at most `fpr` of the non-members exceed; never interpolated."""
        members, others = self._mass(member_weights, other_weights)
        above = others.sum() - np.cumsum(others)
        # The slack is for sums of weights, not of the rate: counts are whole numbers.
        threshold = int(np.argmax(above <= fpr * others.sum() + 1e-9))
        return float((members.sum() - np.cumsum(members)[threshold]) / members.sum())


def drawn_weights(group_of: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """How often each of N images comes when as many whole groups as there are are drawn with replacement. `group_of`: N, 0 to G - 1."""
    groups = int(group_of.max()) + 1
    return np.bincount(random.integers(groups, size=groups), minlength=groups)[group_of]


def standardised(errors: np.ndarray) -> np.ndarray:
    """Errors N x K, each column to mean 0 and deviation 1 over all images; a column that does not vary is 0."""
    spread = errors.std(axis=0)
    return (errors - errors.mean(axis=0)) / np.where(spread > 0, spread, 1)


def lira(observed: np.ndarray, shadows: np.ndarray, included: np.ndarray) -> np.ndarray:
    """Likelihood ratio of membership, a score for each of N images (Carlini et al. 2022, arXiv:2112.03570, algorithm 1).

    `observed`: N, losses under the model that is attacked. `shadows`: S x N, losses under models trained by the attacker.
    `included`: S x N, whether the image was in that training; each image must be in some and out of some. With so few shadow
    models the variances are shared by all images (section VI-C of the paper).
    """
    if not (included.any(axis=0).all() and (~included).any(axis=0).all()):
        raise ValueError("each image must be in the training set of some shadow model and out of that of some other")
    means = [np.where(mask, shadows, 0).sum(axis=0) / mask.sum(axis=0) for mask in (included, ~included)]
    spreads = []
    for mask, mean in zip((included, ~included), means, strict=True):
        left = (((shadows - mean) ** 2) * mask).sum() / max(1, mask.sum() - mask.shape[1])
        spreads.append(max(left, 1e-12))
    inside, outside = (-((observed - mean) ** 2) / (2 * spread) - np.log(spread) / 2 for mean, spread in zip(means, spreads, strict=True))
    return inside - outside


def halves(groups: list[np.ndarray], n: int, shadows: int, seed: int) -> np.ndarray:
    """Who is in the training set of each shadow model: boolean, `shadows` x n. Pairs of models share the groups between them, so
    that each image is in exactly half of the sets. Raises ValueError for an odd or too small number of shadows."""
    if shadows < 2 or shadows % 2:
        raise ValueError(f"shadow models come in pairs, not {shadows}")
    random = np.random.default_rng(seed)
    included = np.zeros((shadows, n), dtype=bool)
    for pair in range(0, shadows, 2):
        for group in random.permutation(len(groups))[: len(groups) // 2]:
            included[pair, groups[group]] = True
        included[pair + 1] = ~included[pair]
    return included


def blind_scores(pixels: np.ndarray, member: np.ndarray, patients: list[str], seed: int, folds: int = 5) -> np.ndarray:
    """Guesses at membership from the images alone, without any model: log odds, N, each from a classifier that did not see the
    image's patient. Were they right, the split itself would tell members from non-members, and no attack could be judged
    (Das, Zhang, Tramer 2024, "Blind baselines beat membership inference attacks", arXiv:2406.16201).

    `pixels` uint8 N x H x W x C; `member` boolean N. Logistic regression on 32 principal components and the moments of each
    channel and of its gradients.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = _plain_features(pixels)
    kept = min(32, features.shape[0] // folds, features.shape[1])
    components = PCA(kept, svd_solver="randomized", random_state=seed).fit_transform(features)
    inputs = np.hstack([components, _moments(pixels)])
    groups = np.unique(patients, return_inverse=True)[1]
    scores = np.zeros(len(pixels))
    for seen, unseen in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(inputs, member, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=200))
        scores[unseen] = model.fit(inputs[seen], member[seen]).decision_function(inputs[unseen])
    return scores


def _plain_features(pixels: np.ndarray, side: int = 16) -> np.ndarray:
    """Means over a grid of at most `side` x `side` cells: float, N x cells."""
    step = [max(1, edge // side) for edge in pixels.shape[1:3]]
    height, width = (edge // by * by for edge, by in zip(pixels.shape[1:3], step, strict=True))
    cells = pixels[:, :height, :width].astype(np.float32)
    cells = cells.reshape(len(pixels), height // step[0], step[0], width // step[1], step[1], pixels.shape[3]).mean(axis=(2, 4))
    return cells.reshape(len(pixels), -1)


def _moments(pixels: np.ndarray) -> np.ndarray:
    """Mean, deviation and gradients of each channel, which a difference of scanners shows: float, N x 4C."""
    images = pixels.astype(np.float32)
    parts = [images.mean(axis=(1, 2)), images.std(axis=(1, 2))]
    parts += [np.abs(np.diff(images, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    return np.hstack(parts)
