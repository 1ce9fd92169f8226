"""Images of any size as the size that params.yaml asks for."""

import numpy as np
from PIL import Image, ImageOps

from schema.params import ImageFormat


def fit_image(pixels: np.ndarray, form: ImageFormat, nearest: bool = False) -> np.ndarray:
    """Any uint8 image as `form.height` x `form.width` x `form.channels`: bicubic with antialiasing, or by the nearest pixel."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if form.channels == 1 else "RGB")
    size = (form.width, form.height)
    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BICUBIC
    if form.fit == "pad":
        image = ImageOps.pad(image, size, method)
    elif form.fit == "crop":
        image = ImageOps.fit(image, size, method)
    else:
        image = image.resize(size, method)
    return np.asarray(image).reshape(form.height, form.width, form.channels)
