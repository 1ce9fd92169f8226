"""An image of any common file format as the uint8 pixels of a Record, or the reason why not, in words that can be counted."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""Raster formats only: a PostScript file named .png would start a program."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm"})
"""The file names of those formats, in lower case."""

_FAULTS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error)
"""What Pillow's readers raise for broken bytes."""

_ORIENTATION = 0x0112
"""The EXIF tag; 5 to 8 lay the image on its side (CIPA DC-008, 4.6.5)."""


class Unreadable(Exception):
    """This one image cannot be used. The message is a category, the same for every image with the fault: it names no file."""


def decode(source: Path | bytes, at_least: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 pixels, H x W (grey) or H x W x 3 (RGB), upright as the EXIF orientation says, of a file or its bytes. Raises Unreadable.

    16-bit grey is scaled over its full range, v / 257 rounded. Transparent pixels are laid over black. CMYK and palettes
    become RGB. Colour profiles are not applied.

    `at_least`: height and width, upright, that the image will be made smaller than. A JPEG is then decoded at 1/2, 1/4 or 1/8, the
    smallest that keeps twice of both, by inverse DCTs of fewer points; every other format, and every JPEG without `at_least`, keeps
    each pixel. What comes out depends on the bytes and `at_least` alone.
    """
    with warnings.catch_warnings():
        # Pillow warns of a fault and then raises it, or reads on with the pixels whole; only a bomb must not be read on with.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _pixels(source if isinstance(source, bytes) else source.read_bytes(), at_least)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise Unreadable("decompression bomb") from None
        except FileNotFoundError:
            raise Unreadable("missing file") from None
        except _FAULTS as error:
            raise Unreadable(_category(error)) from None


def _pixels(data: bytes, at_least: tuple[int, int] | None) -> np.ndarray:
    if not data:
        raise Unreadable("zero-byte file")
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise Unreadable("several frames")
        if image.format == "PNG" and (pixels := _plain_png(data)) is not None:
            return pixels
        if image.format == "JPEG" and at_least is not None:
            height, width = at_least[::-1] if image.getexif().get(_ORIENTATION) in (5, 6, 7, 8) else at_least
            image.draft(image.mode, (2 * width, 2 * height))
        # Pillow opens a 16-bit PGM as 32-bit numbers in the range of 16 bits.
        wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
        return _to_uint8(ImageOps.exif_transpose(image), wide)


def _plain_png(data: bytes) -> np.ndarray | None:
    """The pixels of a whole PNG in 8 or 16-bit grey or 8-bit RGB, by OpenCV, which takes less time than Pillow; None for any other.

    For these it gives the same pixels bit for bit. It knows neither transparency nor orientation as Pillow does and is stricter
    with broken bytes: Pillow has the word on everything else. Raises nothing.
    """
    if not _is_plain(data):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more than a million pixels wide or high
        return None
    if pixels is None:
        return None
    if pixels.dtype == np.uint16:
        return _from_16_bits(pixels)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


_DEPTH_AND_COLOUR_TYPE = {(8, 0), (16, 0), (8, 2)}
_HARMLESS = {b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"tIME"}
_MAY_TURN_THE_IMAGE = (b"exif\0", b"xmp\0", b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Keywords of tEXt in which Pillow finds an EXIF orientation."""


def _is_plain(data: bytes) -> bool:
    """Whether every chunk of a PNG is whole and none says more of the pixels than IHDR and IDAT do (PNG specification, 5 and 11).

    The checksums are compared here because OpenCV's reader would write to stderr of a wrong one.
    """
    kind, at = b"", 8
    while kind != b"IEND":
        if len(data) < at + 12:
            return False
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 8 + length
        if len(data) < end + 4 or zlib.crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        if kind == b"IHDR":
            plain = length == 13 and (data[at + 16], data[at + 17]) in _DEPTH_AND_COLOUR_TYPE
        elif kind == b"tEXt":
            plain = not data.startswith(_MAY_TURN_THE_IMAGE, at + 8, end)
        else:
            plain = kind in _HARMLESS
        if not plain:
            return False
        at = end + 4
    return True


def _to_uint8(image: Image.Image, wide: bool) -> np.ndarray:
    if wide:
        return _from_16_bits(np.asarray(image))
    if image.mode in ("I", "F"):
        raise Unreadable("32-bit pixels of unknown range")
    if image.mode == "1":
        image = image.convert("L")
    elif image.has_transparency_data:
        grey = image.mode in ("L", "LA")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
        image = image.getchannel("R") if grey else image
    elif image.mode != "L":
        image = image.convert("RGB")
    return np.array(image)


def _from_16_bits(pixels: np.ndarray) -> np.ndarray:
    """v / 257 rounded, 257 being 65535 / 255."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _category(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a readable image"
    if isinstance(error, OSError) and error.errno is not None:
        return "file that cannot be opened"
    cut = any(word in str(error).lower() for word in ("truncated", "incomplete", "but only got"))
    return "truncated image" if cut else "corrupt image"
