"""Any image as one of the size, shape and channels that params.yaml asks for."""

import numpy as np
from PIL import Image

from schema.params import ImageFormat


def fit_image(pixels: np.ndarray, form: ImageFormat, nearest: bool = False) -> np.ndarray:
    """uint8, H x W, H x W x 1 or H x W x 3, as uint8 `form.height` x `form.width` x `form.channels`.

    `form.fit`: pad keeps the whole image and its aspect, centred on black; crop keeps the aspect and fills, losing equally at two
    edges; stretch keeps neither. Bicubic (a = -0.5) with support stretched by the scale, so that nothing above the new Nyquist
    frequency folds back; an image more than four times too large is first averaged over whole blocks to no less than twice the
    size (Pillow's `reducing_gap`), which gives nearly the same in less time. All sums are of integers: the same bytes anywhere.

    `nearest` is for masks, whose values are names: every pixel is one of the original, unless a coloured mask is made grey.
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    if form.channels == 1:
        image = image.convert("L")
    size = (form.width, form.height)
    if form.fit == "pad":
        inner = _resize(image, _contained(image.size, size), None, nearest)
        image = Image.new(inner.mode, size)
        image.paste(inner, (round((size[0] - inner.width) / 2), round((size[1] - inner.height) / 2)))
    else:
        image = _resize(image, size, _centre(image.size, size) if form.fit == "crop" else None, nearest)
    # Grey is made RGB last: three equal channels need not be resized one by one.
    return np.asarray(image if form.channels == 1 else image.convert("RGB")).reshape(form.height, form.width, form.channels)


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[float, ...] | None, nearest: bool) -> Image.Image:
    if nearest:
        return image.resize(size, Image.Resampling.NEAREST, box)
    return image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def _contained(size: tuple[int, int], into: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the largest image with the aspect of `size` that `into` holds; at least 1 each."""
    (width, height), (most_width, most_height) = size, into
    if width * most_height > height * most_width:
        return most_width, max(1, round(height / width * most_width))
    return max(1, round(width / height * most_height)), most_height


def _centre(size: tuple[int, int], out: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest part in the middle of `size` that has the aspect of `out`."""
    scale = min(size[0] / out[0], size[1] / out[1])
    width, height = min(out[0] * scale, size[0]), min(out[1] * scale, size[1])  # out * (size / out) may round to more than size
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height
