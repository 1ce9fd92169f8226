"""An image of any common file format as the uint8 pixels of a Record, or the reason why not, in words that can be counted."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
"""Raster formats only: a PostScript file named .png would start a program."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm"})
"""The file names of those formats, in lower case."""

_FAULTS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error)
"""What Pillow's readers raise for broken bytes."""


class Unreadable(Exception):
    """This one image cannot be used. The message is a category, the same for every image with the fault: it names no file."""


def decode(source: Path | bytes) -> np.ndarray:
    """uint8 pixels, H x W (grey) or H x W x 3 (RGB), upright as the EXIF orientation says, of a file or its bytes. Raises Unreadable.

    16-bit grey is scaled over its full range, v / 257 rounded. Transparent pixels are laid over black. CMYK and palettes
    become RGB. Colour profiles are not applied.
    """
    with warnings.catch_warnings():
        # Pillow warns of a fault and then raises it, or reads on with the pixels whole; only a bomb must not be read on with.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _pixels(source if isinstance(source, bytes) else source.read_bytes())
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise Unreadable("decompression bomb") from None
        except FileNotFoundError:
            raise Unreadable("missing file") from None
        except _FAULTS as error:
            raise Unreadable(_category(error)) from None


def _pixels(data: bytes) -> np.ndarray:
    if not data:
        raise Unreadable("zero-byte file")
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise Unreadable("several frames")
        # Pillow opens a 16-bit PGM as 32-bit numbers in the range of 16 bits.
        wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
        return _to_uint8(ImageOps.exif_transpose(image), wide)


def _to_uint8(image: Image.Image, wide: bool) -> np.ndarray:
    if wide:  # 257 = 65535 / 255
        return ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)
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


def _category(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a readable image"
    if isinstance(error, OSError) and error.errno is not None:
        return "file that cannot be opened"
    cut = any(word in str(error).lower() for word in ("truncated", "incomplete", "but only got"))
    return "truncated image" if cut else "corrupt image"
