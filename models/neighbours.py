"""Nearest neighbours among images: exact distances in grey levels, and near copies whatever their brightness, side or small shift."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

BLOCK_BYTES = 32 * 2**20
SIDE = 32
"""Near copies are looked for on a grid of at most so many cells an edge."""
NEIGHBOURS = 12
SHARES = {"pixel": 0.985, "feature": 0.91}
"""The two distances of near copies, by the share of variance that their principal components hold: one sees detail, and so finds
copies blended into other images; the other sees form, and so finds copies under noise and compression."""


@dataclass(frozen=True)
class Nearest:
    """For each of N queries: `index` of its nearest reference, `distance` to it (pixel RMSE in grey levels, 0 to 255), and
    `mirrored`: whether the reference had to be flipped left to right for that."""

    index: np.ndarray
    distance: np.ndarray
    mirrored: np.ndarray


def nearest(
    queries: np.ndarray, references: np.ndarray, tick: Callable[[int], None] = lambda _: None, block_bytes: int = BLOCK_BYTES
) -> Nearest:
    """`queries` N x H x W x C and `references` M x H x W x C, uint8. Memory: a few blocks of `block_bytes`, never N x M.

    Squared distances are |q|^2 + |r|^2 - 2 q.r in float64, which holds these integers exactly: the result, down to a
    distance of 0, is the same for every BLAS and number of threads. `tick` is told how many queries are done.
    """
    size = math.prod(queries.shape[1:])
    rows = max(1, min(1024, block_bytes // (8 * size)))
    squared = np.full(len(queries), np.inf)
    index = np.zeros(len(queries), dtype=np.int64)
    mirrored = np.zeros(len(queries), dtype=bool)
    for start in range(0, len(queries), rows):
        here = slice(start, min(start + rows, len(queries)))
        images = queries[here]
        # Flipping the query instead of every reference gives the same distance.
        both = [np.ascontiguousarray(images[:, :, ::step]).reshape(len(images), size).astype(np.float64) for step in (1, -1)]
        norms = np.einsum("ij,ij->i", both[0], both[0])
        for first in range(0, len(references), rows):
            block = references[first : first + rows].reshape(-1, size).astype(np.float64)
            block_norms = np.einsum("ij,ij->i", block, block)
            for flipped, query in zip((False, True), both, strict=True):
                distances = norms[:, None] + block_norms - 2 * (query @ block.T)
                winner = distances.argmin(axis=1)
                least = distances[np.arange(len(winner)), winner]
                better = least < squared[here]
                squared[here] = np.where(better, least, squared[here])
                index[here] = np.where(better, first + winner, index[here])
                mirrored[here] = np.where(better, flipped, mirrored[here])
        tick(len(images))
    return Nearest(index, np.sqrt(squared / size), mirrored)


def equal(queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each query the first reference with the same pixels (-1 where there is none), and whether it had to be flipped for that."""
    first: dict[bytes, int] = {}
    for row, image in enumerate(references):
        first.setdefault(image.tobytes(), row)
    plain, flipped = (
        np.array([first.get(image.tobytes(), -1) for image in images], dtype=np.int64) for images in (queries, queries[:, :, ::-1])
    )
    return np.where(plain >= 0, plain, flipped), (plain < 0) & (flipped >= 0)


@dataclass(frozen=True)
class View:
    """How an image is laid over another: flipped left to right, and moved by cells of the grid."""

    flipped: bool
    down: int
    across: int


@dataclass(frozen=True)
class Match:
    """Of N queries, in one distance (0 the same, sqrt(2) unrelated, 2 opposite). Neighbours are patients: of each, the image that lies
    nearest.

    `index`: the nearest reference. `distance`: to it. `isolation`: that distance over the mean distance of the next neighbours (Carlini
    et al. 2023, arXiv:2301.13188, section 5), near 1 for an image like many others, near 0 for a copy. `runner_up`: the isolation
    of the second neighbour from those after it. `view`: how the query was laid. `rmse`: what still differs then, in grey levels.
    `blank`: the query is of one value and resembles nothing."""

    index: np.ndarray
    distance: np.ndarray
    isolation: np.ndarray
    runner_up: np.ndarray
    view: list[View]
    rmse: np.ndarray
    blank: np.ndarray

    def without_nearest(self) -> "Match":
        """The isolation of the second neighbour in place of the nearest's; all else still speaks of the nearest."""
        return replace(self, isolation=self.runner_up)


class CopyFinder:
    """Finds the reference that each query may be a copy of: contrast is normalised and pixels are decorrelated (whitened by the
    references' own covariance), so that what all such images share counts for nothing; flips and shifts of up to 1/16 of an edge are tried.

    `references`: uint8, M x H x W x C; `patients`: of each. Raises ValueError where they do not vary or are of too few patients.
    """

    def __init__(self, references: np.ndarray, patients: Sequence[str]) -> None:
        names, group = np.unique(np.asarray(patients), return_inverse=True)
        if len(names) < NEIGHBOURS + 2:
            raise ValueError(f"{len(names)} patients are fewer than the {NEIGHBOURS + 2} that neighbours are looked for among")
        self._group_of = {str(name): number for number, name in enumerate(names)}
        # Images of a patient lie side by side, so that a patient is a range of columns.
        self._order = np.argsort(group, kind="stable")
        self._starts = np.searchsorted(group[self._order], np.arange(len(names)))
        self._grid = on_grid(references)[self._order]
        height, width = self._grid.shape[1:]
        self._reach = round(height / 16), round(width / 16)
        self._fit()

    @property
    def components(self) -> dict[str, int]:
        """How many principal components each distance is taken on."""
        return dict(zip(SHARES, self._components, strict=True))

    def _fit(self) -> None:
        """Mean and whitening of the references' windows, and their descriptors; a part at a time, so that memory holds only these."""
        seen, total, second = 0, 0.0, 0.0
        for windows, blank in self._still():
            varied = windows[~blank]
            seen, total, second = seen + len(varied), total + varied.sum(axis=0, dtype=np.float64), second + varied.T @ varied
        if not seen:
            raise ValueError("the images do not vary: each is of one value")
        mean = total / seen
        variances, vectors = np.linalg.eigh(second / seen - np.outer(mean, mean))
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        if variances[0] < 1e-6:
            raise ValueError("the images do not vary: they are all the same")
        held = np.cumsum(variances) / variances.sum()
        # A component for every two images at most: with as many as images, each image would be its own direction.
        most = max(1, seen // 2)
        self._components = [min(int(np.searchsorted(held, share)) + 1, most) for share in SHARES.values()]
        kept = max(self._components)
        self._mean = mean.astype(np.float32)
        self._whiten = (vectors[:, :kept] / np.sqrt(np.maximum(variances[:kept], 1e-9))).astype(np.float32)
        described = [self._describe(*part) for part in self._still()]
        self._described = [np.concatenate(parts) for parts in zip(*described, strict=True)]

    def _still(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The references' windows as they stand, normalised, a part at a time."""
        return (_normalised(self._window(part, View(False, 0, 0))) for part in _parts(self._grid))

    def _window(self, grid: np.ndarray, view: View) -> np.ndarray:
        """The middle of each image, moved as the view says: N x cells."""
        (down, across), (height, width) = self._reach, grid.shape[1:]
        part = grid[:, down + view.down : height - down + view.down, across + view.across : width - across + view.across]
        return np.ascontiguousarray(part[:, :, ::-1] if view.flipped else part).reshape(len(grid), -1)

    def _views(self) -> list[View]:
        down, across = (range(-reach, reach + 1) for reach in self._reach)
        views = [View(flipped, y, x) for flipped in (False, True) for y in down for x in across]
        # Of views that fit alike, the plainest.
        return sorted(views, key=lambda view: (view.flipped, abs(view.down) + abs(view.across)))

    def _describe(self, windows: np.ndarray, blank: np.ndarray) -> list[np.ndarray]:
        """Unit vectors of whitened components, one array for each distance; zero for an image of one value, which resembles none."""
        whitened = (windows - self._mean) @ self._whiten
        whitened[blank] = 0
        parts = (whitened[:, :kept] for kept in self._components)
        return [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-6) for part in parts]

    def match(
        self, queries: np.ndarray, patients: Sequence[str] | None = None, tick: Callable[[int], None] = lambda _: None
    ) -> dict[str, Match]:
        """A Match by each distance. References of the query's own patient are passed over where `patients` are given. Memory: a few
        blocks of 16 MB beside the references. `tick` is told how many queries are done."""
        grid = on_grid(queries)
        own = None if patients is None else np.array([self._group_of.get(name, -1) for name in patients])
        rows = int(np.clip(2**22 // len(self._order), 16, 256))
        found: dict[str, list[Match]] = {name: [] for name in SHARES}
        for start in range(0, len(grid), rows):
            here = slice(start, start + rows)
            for name, part in zip(SHARES, self._block(grid[here], None if own is None else own[here]), strict=True):
                found[name].append(part)
            tick(len(grid[here]))
        return {name: _joined(parts) for name, parts in found.items()}

    def _block(self, grid: np.ndarray, own: np.ndarray | None) -> Iterator[Match]:
        views = self._views()
        blank = _normalised(self._window(grid, views[0]))[1]
        described = list(zip(*(self._describe(*_normalised(self._window(grid, view))) for view in views), strict=True))
        for variants, references in zip(described, self._described, strict=True):
            likeness = variants[0] @ references.T
            for variant in variants[1:]:
                np.maximum(likeness, variant @ references.T, out=likeness)
            by_patient = likeness
            if len(self._starts) < len(self._order):
                by_patient = np.maximum.reduceat(likeness, self._starts, axis=1)
            if own is not None:
                known = np.flatnonzero(own >= 0)
                by_patient[known, own[known]] = -np.inf
            column = self._columns(likeness, by_patient.argmax(axis=1))
            best = np.stack([np.einsum("qd,qd->q", variant, references[column]) for variant in variants]).argmax(axis=0)
            view = [views[k] for k in best]
            yield Match(self._order[column], *_isolation(by_patient), view, self._rmse(grid, column, view), blank)

    def _columns(self, likeness: np.ndarray, patient: np.ndarray) -> np.ndarray:
        """The column of the nearest image of each query's nearest patient."""
        ends = np.append(self._starts[1:], len(self._order))
        spans = zip(likeness, self._starts[patient], ends[patient], strict=True)
        return np.array([start + row[start:end].argmax() for row, start, end in spans])

    def _rmse(self, grid: np.ndarray, column: np.ndarray, view: list[View]) -> np.ndarray:
        laid = np.concatenate([self._window(grid[k : k + 1], each) for k, each in enumerate(view)])
        beside = self._window(self._grid[column], View(False, 0, 0))
        return np.sqrt(np.square(laid - beside).mean(axis=1, dtype=np.float64))


def on_grid(pixels: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Grey levels (the mean of the channels) on a grid of at most `side` x `side` cells, each the mean of its pixels: float32, N x H x W.
    `pixels`: uint8, N x H x W x C."""
    edges = [np.linspace(0, edge, min(edge, side) + 1).round().astype(int) for edge in pixels.shape[1:3]]
    areas = np.diff(edges[0])[:, None] * np.diff(edges[1])
    cells = np.empty((len(pixels), *areas.shape), dtype=np.float32)
    for start, part in zip(range(0, len(pixels), 256), _parts(pixels, 256), strict=True):
        grey = part.mean(axis=3, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, edges[0][:-1], axis=1), edges[1][:-1], axis=2)
        cells[start : start + len(part)] = sums / areas
    return cells


def _normalised(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows of mean 0 and norm 1, whatever the brightness and contrast were; and which of them are of one value (deviation < 1)."""
    centred = windows - windows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    blank = norms[:, 0] < np.sqrt(windows.shape[1])
    return centred / np.maximum(norms, 1e-6), blank


def _isolation(likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of the nearest, its isolation, and that of the second, from cosines N x patients."""
    count = min(NEIGHBOURS + 1, likeness.shape[1] - 1)
    top = -np.sort(np.partition(-likeness, count - 1, axis=1)[:, :count], axis=1).astype(np.float64)
    distances = np.sqrt(np.maximum(2 - 2 * top, 0))
    beyond = [distances[:, first + 1 : first + NEIGHBOURS].mean(axis=1) for first in (0, 1)]
    ratios = [distances[:, k] / np.maximum(mean, 1e-9) for k, mean in enumerate(beyond)]
    return distances[:, 0], *ratios


def _joined(parts: list[Match]) -> Match:
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("index", "distance", "isolation", "runner_up", "rmse", "blank")
    }
    return Match(view=[view for part in parts for view in part.view], **arrays)


def _parts(rows: np.ndarray, size: int = 1024) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
