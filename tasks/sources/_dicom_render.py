"""Stored values as they are shown: modality LUT, VOI LUT or window, polarity, palette, square pixels (PS3.3 C.7.6.3, C.11.1, C.11.2)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from tasks.sources._decode import Unreadable
from tasks.sources._dicom_frames import MOST_PIXELS
from tasks.sources._dicom_terms import words

COLOUR = {"RGB", "YBR_RCT", "YBR_ICT"}
"""What is RGB once decoded: the two YBR of JPEG 2000 are undone by its decoder."""

TAGS = words(
    """
    BitsAllocated BitsStored Columns DoubleFloatPixelData ExtendedOffsetTable ExtendedOffsetTableLengths HighBit ModalityLUTSequence
    NumberOfFrames PhotometricInterpretation PixelAspectRatio PixelPaddingRangeLimit PixelPaddingValue PixelRepresentation
    PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing PlanarConfiguration RescaleIntercept RescaleSlope Rows SamplesPerPixel
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence VOILUTFunction VOILUTSequence WindowCenter WindowWidth
    RedPaletteColorLookupTableDescriptor GreenPaletteColorLookupTableDescriptor BluePaletteColorLookupTableDescriptor
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData
    """
)
"""The elements that decoding and rendering need."""

GROUPS = ("FrameVOILUTSequence", "PixelValueTransformationSequence", "PixelMeasuresSequence")


def frame_value(header: Dataset, frame: int, keyword: str) -> Any:
    """An element's value for a frame: its own functional group, else the shared one, else the top level (PS3.3 C.7.6.16); None without."""
    per_frame, shared = header.get("PerFrameFunctionalGroupsSequence"), header.get("SharedFunctionalGroupsSequence")
    for groups in ((per_frame or [])[frame : frame + 1], (shared or [])[:1]):
        for macro in GROUPS:
            for item in (groups[0].get(macro) or [])[:1] if groups else []:
                if item.get(keyword) is not None:
                    return item.get(keyword)
    return header.get(keyword)


def render(pixels: np.ndarray, kind: str, header: Dataset, frame: int, config: Any) -> np.ndarray:
    """uint8, H x W or H x W x 3. `pixels`: a frame as decoded; `kind`: its photometric interpretation. Raises Unreadable."""
    if pixels.ndim == 3:
        if pixels.shape[2] != 3 or kind not in COLOUR:
            raise Unreadable("unsupported colour space")
        image = _eight_bits(pixels, int(header.get("BitsStored") or header.BitsAllocated))
    elif kind == "PALETTE COLOR":
        image = _palette(pixels, header)
    elif kind in ("MONOCHROME1", "MONOCHROME2"):
        image = _grey(pixels, kind, header, frame, config)
    else:
        raise Unreadable("unsupported colour space")
    return _square(image, header, frame) if config.square_pixels else image


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    if bits == 8:
        return values.astype(np.uint8, copy=False)
    most = 2**bits - 1
    return (np.minimum(values, most).astype(np.float64) * (255 / most) + 0.5).astype(np.uint8)


def _grey(stored: np.ndarray, kind: str, header: Dataset, frame: int, config: Any) -> np.ndarray:
    if stored.dtype.kind in "iu":
        low, high = min(0, int(stored.min())), int(stored.max())
        # A table of all stored values costs less than working on every pixel.
        if high - low < max(stored.size, 1 << 16):
            at = stored.astype(np.int32) - low if low else stored
            steps = np.arange(low, max(high, low) + 1)
            return _levels(steps, lambda: np.bincount(at.ravel(), minlength=len(steps)), kind, header, frame, config)[at]
    return _levels(stored, lambda: np.ones(stored.shape, np.int64), kind, header, frame, config)


def _levels(stored: np.ndarray, count: Callable[[], np.ndarray], kind: str, header: Dataset, frame: int, config: Any) -> np.ndarray:
    """uint8 of stored values, padding black. `count` gives how many pixels of the image have each of them."""
    padded = _padded(stored, header)
    values = stored if padded is None else np.where(padded, 0, stored)
    if config.window == "header" and _is_shown_as_stored(stored, header, frame):
        levels = (values * 255 if int(header.get("BitsStored") or 8) == 1 else values).astype(np.uint8)
    else:
        levels = _shown(values, lambda: count() if padded is None else np.where(padded, 0, count()), header, frame, config)
    if kind == "MONOCHROME1":
        levels = 255 - levels
    return levels if padded is None else np.where(padded, np.uint8(0), levels)


def _is_shown_as_stored(stored: np.ndarray, header: Dataset, frame: int) -> bool:
    """8-bit and 1-bit values without any transformation are already what a screen shows."""
    bits = int(header.get("BitsStored") or header.BitsAllocated)
    plain = (_rescale(header, frame) == (1.0, 0.0)) and not header.get("ModalityLUTSequence")
    voi = frame_value(header, frame, "VOILUTSequence") or frame_value(header, frame, "WindowCenter") not in (None, "")
    unsigned = not int(header.get("PixelRepresentation") or 0)
    return bits in (1, 8) and stored.dtype.kind in "iu" and unsigned and plain and not voi


def _padded(stored: np.ndarray, header: Dataset) -> np.ndarray | None:
    """Which values are Pixel Padding Value (PS3.3 C.7.5.1.1.2), no part of the image; of floats, those that are no number. None: none."""
    if stored.dtype.kind == "f":
        padded = ~np.isfinite(stored)
        return padded if padded.any() else None
    first, last = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if first in (None, ""):
        return None
    signed, bits = int(header.get("PixelRepresentation") or 0), int(header.BitsAllocated)
    ends = [int(end) % 2**bits for end in (first, first if last in (None, "") else last)]
    # The value may be written with the other sign than the pixels have.
    low, high = sorted(end - 2**bits if signed and end >= 2 ** (bits - 1) else end for end in ends)
    return (stored >= low) & (stored <= high)


def _rescale(header: Dataset, frame: int) -> tuple[float, float]:
    slope, intercept = frame_value(header, frame, "RescaleSlope"), frame_value(header, frame, "RescaleIntercept")
    slope = 1.0 if slope in (None, "") else float(slope)
    return (slope or 1.0, 0.0 if intercept in (None, "") else float(intercept))


def _shown(stored: np.ndarray, count: Callable[[], np.ndarray], header: Dataset, frame: int, config: Any) -> np.ndarray:
    """uint8 of stored values as MONOCHROME2."""
    values = _modality(stored, header, frame)
    window = config.window
    if window == "header":
        luts = frame_value(header, frame, "VOILUTSequence")
        if luts:
            return _voi_lut(values, luts[0], header)
        chosen = _header_window(header, frame)
        if chosen:
            return apply_window(values, *chosen)
    elif window != "minmax":
        return apply_window(values, window.center, window.width, "LINEAR")
    low, high = percentiles(values, count(), config.percentiles)
    return apply_window(values, (low + high) / 2, max(high - low, 1e-9), "LINEAR_EXACT")


def percentiles(values: np.ndarray, counts: np.ndarray, percents: tuple[float, float]) -> np.ndarray:
    """As numpy.percentile of values that occur `counts` times each; zeros where none occurs."""
    order = np.argsort(values, axis=None)
    values, ends = values.ravel()[order], np.cumsum(counts.ravel()[order])
    if not ends[-1]:
        return np.zeros(2)
    at = np.asarray(percents) / 100 * (ends[-1] - 1)
    below, above = (values[np.searchsorted(ends, place, side="right")] for place in (np.floor(at), np.ceil(at)))
    return below + (above - below) * (at - np.floor(at))


def _modality(stored: np.ndarray, header: Dataset, frame: int) -> np.ndarray:
    sequence = header.get("ModalityLUTSequence")
    if sequence:
        first, table, _ = _lut(sequence[0].LUTDescriptor, sequence[0].LUTData, header)
        return table[np.clip(stored - _signed(first, stored), 0, len(table) - 1).astype(np.intp)].astype(np.float64)
    slope, intercept = _rescale(header, frame)
    return stored * slope + intercept


def _header_window(header: Dataset, frame: int) -> tuple[float, float, str] | None:
    """The first window, with its function; None where there is none or its width is impossible."""
    center, width = (_first(frame_value(header, frame, keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    function = str(frame_value(header, frame, "VOILUTFunction") or "LINEAR")
    if center is None or width is None or not np.isfinite([center, width]).all():
        return None
    return (center, width, function) if width >= 1 or (width > 0 and function != "LINEAR") else None


def _first(value: Any) -> float | None:
    value = value[0] if isinstance(value, (list, tuple)) or hasattr(value, "append") else value
    return None if value in (None, "") else float(value)


def apply_window(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """uint8 of values in the modality's units, rounded to the nearest: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) and
    C.11.2.1.3.2 (LINEAR_EXACT), with an output range of 0 to 255."""
    values = np.asarray(values, np.float64)
    if function == "SIGMOID":
        share = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    elif function == "LINEAR_EXACT":
        share = (values - center) / width + 0.5
    elif width > 1:
        share = (values - (center - 0.5)) / (width - 1) + 0.5
    else:
        share = (values > center - 0.5).astype(np.float64)
    return (np.clip(share, 0, 1) * 255 + 0.5).astype(np.uint8)


def _voi_lut(values: np.ndarray, item: Dataset, header: Dataset) -> np.ndarray:
    first, table, bits = _lut(item.LUTDescriptor, item.LUTData, header)
    index = np.clip(np.rint(values) - _signed(first, values), 0, len(table) - 1).astype(np.intp)
    return _eight_bits(table, bits)[index]


def _signed(first: int, values: np.ndarray) -> int:
    """The first value mapped may be written without its sign where the values have one (PS3.3 C.11.1.1)."""
    return first - 65536 if first > 32767 and values.size and values.min() < 0 else first


def _lut(descriptor: Any, data: Any, header: Dataset) -> tuple[int, np.ndarray, int]:
    """(first value mapped, entries, bits of an entry) of a LUT (PS3.3 C.11.1.1 and C.7.6.3.1.5)."""
    entries, first, bits = (int(number) for number in descriptor)
    entries = entries % 65536 or 65536
    if isinstance(data, bytes):
        order = "<" if getattr(header, "original_encoding", (None, True))[1] is not False else ">"
        table = np.frombuffer(data, np.uint8) if len(data) < 2 * entries - 1 else np.frombuffer(data[: 2 * entries], f"{order}u2")
    else:
        table = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    table = table[:entries]
    if not table.size or not 1 <= bits <= 16:
        raise Unreadable("corrupt lookup table")
    return first, table, 8 if table.dtype == np.uint8 else bits


def _palette(pixels: np.ndarray, header: Dataset) -> np.ndarray:
    if "SegmentedRedPaletteColorLookupTableData" in header and "RedPaletteColorLookupTableData" not in header:
        coloured = apply_color_lut(pixels, header)[..., :3]
        return _eight_bits(coloured, coloured.dtype.itemsize * 8)
    channels = []
    for colour in ("Red", "Green", "Blue"):
        descriptor, data = (header.get(f"{colour}PaletteColorLookupTable{part}") for part in ("Descriptor", "Data"))
        if descriptor is None or not data:
            raise Unreadable("no palette")
        first, table, bits = _lut(descriptor, data, header)
        # Some write entries of 8 bits and call them 16.
        table = _eight_bits(table, 8 if bits == 16 and table.max() < 256 else bits)
        channels.append(table[np.clip(pixels.astype(np.int32) - first, 0, len(table) - 1)])
    return np.stack(channels, axis=-1)


def _square(image: np.ndarray, header: Dataset, frame: int) -> np.ndarray:
    """Pixels of another shape than square (PS3.3 C.7.6.3.1.7) are made so by stretching the axis of the larger spacing."""
    ratio = _aspect(header, frame)
    if abs(ratio - 1) < 0.01 or not 0.05 < ratio < 20:
        return image
    height, width = image.shape[:2]
    height, width = (round(height * ratio), width) if ratio > 1 else (height, round(width / ratio))
    if height * width > MOST_PIXELS:
        raise Unreadable("decompression bomb")
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _aspect(header: Dataset, frame: int) -> float:
    """Height over width of a pixel, 1 where nothing usable says otherwise."""
    for keyword in ("PixelSpacing", "PixelAspectRatio", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        value = frame_value(header, frame, keyword)
        if value is not None and not isinstance(value, str) and len(value) == 2:
            vertical, horizontal = (float(part) for part in value)
            if vertical > 0 and horizontal > 0 and np.isfinite(vertical / horizontal):
                return vertical / horizontal
    return 1.0
