"""Plug-ins are found by looking in a folder: a module there with a class `Plugin` is one, called by its `kind`.

One file is the whole addition. Modules whose names start with `_` are helpers, and passed over.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

from schema.errors import UsageError
from schema.params import nearest


@cache
def find(package: ModuleType) -> dict[str, Any]:
    """Every plug-in class of a package, by kind. Raises UsageError if two claim one kind or a module has none."""
    found: dict[str, Any] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")):
        plugin = getattr(importlib.import_module(f"{package.__name__}.{module}"), "Plugin", None)
        if plugin is None:
            raise UsageError(f"{package.__name__}.{module} has no class Plugin: give it one, or a name that starts with _ if it only helps")
        if plugin.kind in found:
            raise UsageError(f"two plug-ins in {package.__name__} are called {plugin.kind!r}")
        found[plugin.kind] = plugin
    return found


def named(package: ModuleType, kind: str, path: str) -> Any:
    """The plug-in class called `kind`. Raises UsageError naming the params `path` and the nearest known kind."""
    plugins = find(package)
    if kind not in plugins:
        raise UsageError(f"{path}: no {kind!r} in {package.__name__}{nearest(kind, plugins)}; there are: {', '.join(sorted(plugins))}")
    return plugins[kind]
