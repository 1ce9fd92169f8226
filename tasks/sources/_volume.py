"""A volume of voxels placed in the patient's space, and the upright 8-bit slices that are cut through it.

The space is RAS+ in mm (x to the patient's right, y to the front, z to the head), as NIfTI-1 has it. Slices lie on the main volume's
own voxel planes; every other volume is sampled where their pixels are in space.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from schema.params import Section
from tasks.sources._decode import Unreadable

Axis = Literal["axial", "coronal", "sagittal"]

PLANES = {"axial": (1, 0, 2), "coronal": (2, 0, 1), "sagittal": (2, 1, 0)}
"""Which of x, y, z runs along the rows, the columns and from slice to slice. Rows and columns are shown from its high end to its low one,
which is the radiological convention: the head or the front on top, the patient's right on the viewer's left, the nose to the left."""

MAX_VOXELS = 2**28
"""What a volume may hold: 512 x 512 x 1024. A header that claims more is refused before anything is allocated."""

MAX_PIXELS = 2**25
"""What a slice may hold once its pixels are square."""

MAX_RATIO = 1100
"""Deflate cannot shrink anything further than 1032 to 1 (RFC 1951: 258 bytes in two bits)."""

SQUARE = 0.01
"""Relative difference of the sides up to which a pixel counts as square."""

BAND = 2**20
"""Pixels whose places in space are worked out at once."""


class Window(Section):
    """Which intensities become 0 and 255: two of the file's own units, or two percentiles of each volume."""

    low: float | None = Field(default=None, allow_inf_nan=False, description="intensity that becomes 0, such as Hounsfield units")
    high: float | None = Field(default=None, allow_inf_nan=False, description="intensity that becomes 255")
    percentiles: tuple[float, float] | None = Field(default=None, description="of all finite voxels above the volume's lowest value")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.low is None) != (self.high is None) or (self.low is None) == (self.percentiles is None):
            raise ValueError("write either `low` and `high`, or `percentiles`")
        low, high = self.percentiles or (self.low, self.high)
        if not low < high or (self.percentiles and not (low >= 0 and high <= 100)):
            raise ValueError(f"{low:g} and {high:g} are no window: the first must be lower, and percentiles are from 0 to 100")
        return self


@dataclass(frozen=True)
class Volume:
    """`voxels`: I x J x K as stored, finite; intensity = `slope` * voxel + `inter`. `affine`: 4 x 4, from voxel indices to mm."""

    voxels: np.ndarray
    affine: np.ndarray
    slope: float = 1.0
    inter: float = 0.0


def place(voxels: np.ndarray, affine: np.ndarray, slope: float = 1.0, inter: float = 0.0) -> Volume:
    """A checked Volume of 1 to 3 dimensions. NaN and infinity take the lowest finite value.

    Raises Unreadable when no voxel is finite, or when the affine places all voxels in one plane or nowhere.
    """
    voxels = voxels.reshape(voxels.shape + (1,) * (3 - voxels.ndim))
    if voxels.dtype.kind == "f":
        finite = np.isfinite(voxels)
        if not finite.any():
            raise Unreadable("no finite voxel")
        if not finite.all():
            voxels = np.where(finite, voxels, voxels[finite].min())
    affine = _completed(np.asarray(affine, dtype=np.float64), voxels.shape)
    if slope < 0:  # so that the lowest voxel has the lowest intensity
        voxels, slope, inter = voxels.astype(np.float32) * np.float32(slope) + np.float32(inter), 1.0, 0.0
    return Volume(voxels, affine, slope, inter)


def _completed(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The affine, with 1 mm at right angles for a dimension of one voxel that has no size (an image in 2D)."""
    affine = affine.copy()
    for axis in range(3):
        if shape[axis] == 1 and not affine[:3, axis].any():
            normal = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
            affine[:3, axis] = normal / (np.linalg.norm(normal) or 1.0)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    # The determinant over the product of the sizes is the volume of a voxel whose sides are 1: 1 where they are at right angles.
    if not np.isfinite(affine).all() or not sizes.all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-3:
        raise Unreadable("broken affine")
    return affine


def check_size(shape: tuple[int, ...], size: int, available: int, packed: bool) -> None:
    """Raises Unreadable for a shape that is not to be allocated. `size`: bytes that it needs; `available`: bytes on disk, deflated if
    `packed`.

    Python's integers do not overflow, whatever a header says.
    """
    if min(shape) < 1:
        raise Unreadable("broken header")
    voxels = 1
    for length in shape:
        voxels *= length
    if voxels > MAX_VOXELS:
        raise Unreadable("decompression bomb")
    if size > available * (MAX_RATIO if packed else 1):
        raise Unreadable("truncated volume")


class Grid:
    """The slices of `main` along an axis: `count` of them from the feet, the back or the patient's left on, each of `shape` square pixels.

    A volume one voxel thick is sliced along that direction, whatever `axis` says. Raises Unreadable for planes that are too large, or
    smaller than 2 x 2.
    """

    def __init__(self, main: Volume, axis: Axis) -> None:
        from nibabel.orientations import inv_ornt_aff, io_orientation

        orientation = io_orientation(main.affine)
        if np.isnan(orientation).any():
            raise Unreadable("broken affine")
        lengths = np.empty(3, dtype=int)
        lengths[orientation[:, 0].astype(int)] = main.voxels.shape
        canonical = main.affine @ inv_ornt_aff(orientation, main.voxels.shape)
        thin = np.flatnonzero(lengths == 1)
        if len(thin) == 1:
            axis = next(name for name, plane in PLANES.items() if plane[2] == thin[0])
        row, column, through = PLANES[axis]
        sizes = np.linalg.norm(canonical[:3, :3], axis=0)
        side = min(sizes[row], sizes[column])
        to_voxel = np.zeros((4, 4))
        to_voxel[through, 2] = to_voxel[3, 3] = 1
        shape = []
        for place, along in enumerate((row, column)):
            step = side / sizes[along]
            if abs(1 / step - 1) <= SQUARE:
                step = 1.0
            # Both grids cover the same stretch: the edge of the first pixel is the edge of the last voxel.
            to_voxel[along, place] = -step
            to_voxel[along, 3] = lengths[along] - 0.5 - step / 2
            shape.append(round(lengths[along] / step))
        if shape[0] * shape[1] > MAX_PIXELS:
            raise Unreadable("decompression bomb")
        if min(shape) < 2:
            raise Unreadable("fewer than 2 x 2 voxels")
        self.shape = (shape[0], shape[1])
        self.count = int(lengths[through])
        self.to_world = canonical @ to_voxel
        """4 x 4, from (row, column, slice) to mm."""

    def cut(self, volume: Volume, index: int, nearest: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Intensities (float64) at the pixels of slice `index`, trilinear or of the nearest voxel, and where the volume has any (bool).

        Both H x W. Outside, intensities are those of the nearest voxel of its border.
        """
        from scipy.ndimage import map_coordinates

        values, inside = np.empty(self.shape), np.empty(self.shape, dtype=bool)
        rows = max(1, BAND // self.shape[1])
        for first in range(0, self.shape[0], rows):
            band = slice(first, min(first + rows, self.shape[0]))
            points = self._points(volume, band, index)
            inside[band] = _inside(points, volume.voxels.shape)
            values[band] = map_coordinates(volume.voxels, points, output=np.float64, order=0 if nearest else 1, mode="nearest")
        return values * volume.slope + volume.inter, inside

    def meets(self, volume: Volume) -> bool:
        """Whether any voxel of the volume lies within the slices, or any pixel within the volume."""
        to_voxel = np.linalg.inv(volume.affine) @ self.to_world
        mine, theirs = _lattice((*self.shape, self.count)), _lattice(volume.voxels.shape)
        forth = _moved(to_voxel, mine)
        back = _moved(np.linalg.inv(to_voxel), theirs)
        return bool(_inside(forth, volume.voxels.shape).any() or _inside(back, (*self.shape, self.count)).any())

    def _points(self, volume: Volume, band: slice, index: int) -> np.ndarray:
        """3 x rows x W voxel indices of a band of pixels. Rounded, so that grids that coincide give the voxels themselves."""
        to_voxel = (np.linalg.inv(volume.affine) @ self.to_world)[:3]
        rows, columns = np.arange(band.start, band.stop)[:, None], np.arange(self.shape[1])[None, :]
        origin = to_voxel[:, 2] * index + to_voxel[:, 3]
        points = to_voxel[:, 0, None, None] * rows + to_voxel[:, 1, None, None] * columns + origin[:, None, None]
        return points.round(6)


def _inside(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which of the points, 3 x ..., in voxel indices, lie in a voxel: half of one reaches beyond the centres at the border."""
    ends = np.array(shape).reshape(3, *(1,) * (points.ndim - 1)) - 0.5
    return ((points >= -0.5) & (points <= ends)).all(axis=0)


def _lattice(shape: tuple[int, ...]) -> np.ndarray:
    """3 x N indices spread over a shape from corner to corner, 32 at most along each axis."""
    ticks = [np.unique(np.linspace(0, length - 1, min(length, 32)).round()) for length in shape]
    return np.stack([axis.ravel() for axis in np.meshgrid(*ticks, indexing="ij")])


def _moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return matrix[:3, :3] @ points + matrix[:3, 3:]


def limits(volume: Volume, window: Window) -> tuple[float, float]:
    """The intensities that become 0 and 255. Raises Unreadable where percentiles are asked of a constant volume.

    Voxels of the lowest value do not count: in most volumes they are the background, or the padding outside the scanner's circle.
    """
    if window.percentiles is None:
        return window.low, window.high
    lowest = volume.voxels.min()
    above = volume.voxels[volume.voxels > lowest]
    if not above.size:
        raise Unreadable("constant volume")
    low, high = np.percentile(above, window.percentiles, overwrite_input=True).astype(np.float64) * volume.slope + volume.inter
    if low < high:
        return float(low), float(high)
    return float(lowest) * volume.slope + volume.inter, float(high)  # all other voxels are alike: a volume of two values


def to_uint8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """floor(255 * clip((value - low) / (high - low), 0, 1) + 1/2)."""
    return np.floor(255 * np.clip((values - low) / (high - low), 0, 1) + 0.5).astype(np.uint8)


def check_mask(volume: Volume) -> None:
    """Raises Unreadable unless all intensities are whole numbers that fit 8 bits: a mask's values are names."""
    for plane in planes(volume):
        if plane.min() < 0 or plane.max() > 255 or not np.array_equal(plane, plane.round()):
            raise Unreadable("not a mask: values other than 0, 1, ... 255")


def planes(volume: Volume) -> Iterator[np.ndarray]:
    """Intensities plane by plane, so that no second volume is held. Rounded to 1e-3: a scale factor is kept in 32 bits."""
    for index in range(volume.voxels.shape[2]):
        yield (volume.voxels[:, :, index] * np.float64(volume.slope) + volume.inter).round(3)


def fill(readinto: Callable[[memoryview], int | None], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of the first dimension fastest, native byte order, filled by a stream's `readinto`. Raises EOFError when it runs dry."""
    array = np.empty(shape, dtype=dtype, order="F")
    view, done = memoryview(array.reshape(-1, order="F").view(np.uint8)), 0
    while done < len(view):
        count = readinto(view[done:])
        if not count:
            raise EOFError("the stream ended early")
        done += count
    return array.astype(dtype.newbyteorder("="), copy=False)
