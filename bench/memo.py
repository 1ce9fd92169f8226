"""Remembers, within a process, what gates compute of the same images again and again: on many releases of one set of real images most
of the work is about the real ones, or about synthetic images that were in another release too."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from schema.digest import sha256_bytes, sha256_json

_memories: list[dict] = []


def forget() -> None:
    """Drops all that is remembered: the images of another seed are others."""
    for kept in _memories:
        kept.clear()


def _memory() -> dict:
    _memories.append({})
    return _memories[-1]


def install() -> None:
    """Makes the gates of this process use the memory. Must come before any gate is imported: some import these names at their top."""
    import models.classifier
    import models.membership
    import models.neighbours
    import models.radiomics

    models.classifier.train_classifier = remembered(models.classifier.train_classifier)
    models.membership.blind_scores = remembered(models.membership.blind_scores)
    models.neighbours.nearest = remembered(models.neighbours.nearest)
    models.neighbours.CopyFinder = remembering_finder(models.neighbours.CopyFinder)
    models.radiomics.radiomics = remembered_by_image(models.radiomics.radiomics)


def remembered(function: Callable) -> Callable:
    """The function, called once for each set of arguments but `tick`. The state of torch's chance is afterwards what that call left."""
    kept: dict[str, Any] = _memory()
    signature = inspect.signature(function)

    def remembering(*arguments, **named):
        import torch

        given = signature.bind(*arguments, **named).arguments
        key = digest(*(given.get(name) for name in signature.parameters if name != "tick"))
        if key not in kept:
            kept[key] = function(*arguments, **named), torch.get_rng_state()
        result, chance = kept[key]
        torch.set_rng_state(chance)
        return result

    return remembering


def remembered_by_image(extract: Callable) -> Callable:
    """The function, `extract(pixels, tick) -> (features, names)`, which looks at each image by itself, and now once."""
    kept: dict[bytes, np.ndarray] = _memory()
    names: dict[tuple[int, ...], list[str]] = {}

    def remembering(pixels: np.ndarray, tick: Callable[[int], None] = lambda _: None) -> tuple[np.ndarray, list[str]]:
        keys = [repr(image.shape).encode() + image.tobytes() for image in pixels]
        new = [row for row, key in enumerate(keys) if key not in kept]
        if new:
            found, names[pixels.shape[1:]] = extract(pixels[new], tick)
            kept.update(zip((keys[row] for row in new), found, strict=True))
        return np.stack([kept[key] for key in keys]), names[pixels.shape[1:]]

    return remembering


def remembering_finder(finder: type) -> Callable:
    """The class, each finder built once for its references and matching each query once. A query is matched by itself, so that only
    the last digits, which hang on the shapes of the matrices multiplied, may differ from those of matching all at once."""
    finders: dict[str, Any] = _memory()

    def find(references: np.ndarray, patients: list[str]) -> Any:
        key = digest(references, list(patients))
        if key not in finders:
            finders[key] = finder(references, patients)
            finders[key].match = _by_query(finders[key].match)
        return finders[key]

    return find


def _by_query(match: Callable) -> Callable:
    kept: dict[tuple[bytes, str | None], dict[str, Any]] = {}

    def remembering(queries: np.ndarray, patients: list[str] | None = None, tick: Callable[[int], None] = lambda _: None) -> Any:
        keys = [(image.tobytes(), patient) for image, patient in zip(queries, patients or [None] * len(queries), strict=True)]
        new = [row for row, key in enumerate(keys) if key not in kept]
        if new:
            found = match(queries[new], [patients[row] for row in new] if patients else None, tick)
            for place, row in enumerate(new):
                kept[keys[row]] = {name: _row(of, place) for name, of in found.items()}
        return {name: _stacked([kept[key][name] for key in keys]) for name in kept[keys[0]]}

    return remembering


def _row(match: Any, place: int) -> Any:
    """One query's part of a match."""
    return type(match)(**{field.name: getattr(match, field.name)[place : place + 1] for field in fields(match)})


def _stacked(rows: list[Any]) -> Any:
    """One match of many queries' parts."""
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in fields(rows[0])}
    join = {list: lambda parts: [entry for part in parts for entry in part], np.ndarray: np.concatenate}
    return type(rows[0])(**{name: join[type(parts[0])](parts) for name, parts in columns.items()})


def digest(*values: Any) -> str:
    """One digest of arrays and of what else has a repr of its own."""
    return sha256_json([_plain(value) for value in values])


def _plain(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {sha256_bytes(np.ascontiguousarray(value).tobytes())}"
    return repr(value)
