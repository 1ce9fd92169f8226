"""Further images of a scene beside the first, such as its masks: where they are, and making them as large as it is."""

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
from PIL import Image

from schema.errors import SynthmillError
from schema.params import nearest
from tasks.sources._decode import Unreadable
from tasks.sources._folder import stem

STEM = "stem"
_PLACE = re.compile(r"\{([^{}]*)\}")


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for what a further image cannot be called."""
    strange = [name for name in names if name == "image" or not re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    if strange:
        raise ValueError(f"a further image cannot be called {strange[0]!r}: write lower-case letters, and not `image`")


class Further:
    """`templates`: name: path relative to the first image, or to the folder, with `{stem}` (the first image's file name without its
    suffix) and `{column}` in it. Raises SynthmillError for a place that is neither `{stem}` nor one of `columns`.
    """

    def __init__(self, templates: Mapping[str, str], columns: Collection[str], refuse: Callable[[str], SynthmillError]) -> None:
        self.templates = templates
        for name, template in templates.items():
            strange = [place for place in _PLACE.findall(template) if place not in (STEM, *columns)]
            if strange:
                known = [STEM, *columns]
                raise refuse(
                    f"no column {strange[0]!r} for ingest.source.images.{name}{nearest(strange[0], known)}; there are: {', '.join(known)}"
                )

    def find(self, path: str, cells: Mapping[str, str | None], files: Collection[str]) -> dict[str, str | None]:
        """By name, which of `files` goes with the image at `path`; None where none does."""
        values = {**cells, STEM: stem(posixpath.basename(path))}
        return {name: self._one(template, posixpath.dirname(path), values, files) for name, template in self.templates.items()}

    def _one(self, template: str, folder: str, values: Mapping[str, str | None], files: Collection[str]) -> str | None:
        if not all(values[place] for place in _PLACE.findall(template)):
            return None
        path = _PLACE.sub(lambda place: values[place[1]], template)
        places = (posixpath.normpath(posixpath.join(base, path)) for base in (folder, ""))
        return next((place for place in places if place in files), None)


def as_large(mask: np.ndarray, image: np.ndarray, name: str) -> np.ndarray:
    """`mask` at the height and width of `image`: nearest pixels, so that no value is made up. Raises Unreadable for another shape.

    The shape is the same if one side, scaled as the other is, comes out right to within a pixel.
    """
    (height, width), (high, wide) = image.shape[:2], mask.shape[:2]
    if (high, wide) == (height, width):
        return mask
    # A pixel of the larger of the two: a small mask's sides are rounded to its own.
    if abs(high * width - wide * height) >= max(height, width, high, wide):
        raise Unreadable(f"{name} image of another shape")
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
