"""A pinned release in another format, or on a hub: fetched once, verified, then written by one of tasks/exports/."""

import shlex
from pathlib import Path
from typing import Any

from app.words import next_step, print_table
from schema.errors import UsageError


def read_options(words: list[str]) -> dict[str, str]:
    """["key=value"] as a mapping. Raises UsageError for a word of another form, or a key that is said twice."""
    pairs = [word.partition("=") for word in words]
    for word, (key, equals, _) in zip(words, pairs, strict=True):
        if not (key and equals):
            raise UsageError(f"--option {word!r}: write it as key=value")
        if sum(key == other for other, _, _ in pairs) > 1:
            raise UsageError(f"--option {key} is said twice")
    return {key: value for key, _, value in pairs}


def plugin_named(kind: str) -> Any:
    import tasks.exports
    from schema import plugins

    found = plugins.named(tasks.exports, kind, "--as")
    if issubclass(found, tasks.exports.MainForm):
        raise UsageError(f"a release is {kind} as it is: `get` puts its files into a folder")
    return found()


def fetched(spec: str) -> Any:
    """The release's folder in the cache, every file checked against what the tag vouches for. Raises SynthmillError for a recalled one."""
    from catalog.cache import cached
    from catalog.versions import usable
    from schema.settings import root
    from tasks.exports import Folder

    return Folder(cached(usable(spec), root()))


def export(spec: str, kind: str, to: str, words: list[str], dry_run: bool) -> dict[str, Any]:
    """What was exported and where, or with `dry_run` what would be; nothing is written then, and nobody is asked."""
    from tasks.exports import Hub, refuse_in_use

    plugin, given = plugin_named(kind), read_options(words)
    options = plugin.options(given)
    release = fetched(spec)
    said = {"release": release.release.tag, "kind": kind, "options": options.model_dump(mode="json"), "dry_run": dry_run}
    if isinstance(plugin, Hub):
        return said | (plugin.plan if dry_run else plugin.push)(release, to, options)
    folder = Path(to).expanduser().absolute()
    said |= {"images": release.release.images, "labels": release.release.labels, "folder": str(folder)}
    refuse_in_use(folder)
    if dry_run:
        return said
    plugin.write(release, folder, given)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return said | {"files": len(paths), "bytes": sum(path.stat().st_size for path in paths)}


def print_export(said: dict[str, Any]) -> None:
    """For a person: one line, for a hub the files too, and what to do next."""
    if "repository" in said:
        import yaml

        print_table(("file", "bytes"), [(name, str(size)) for name, size in said["files"].items()])
        print(yaml.safe_dump(said["card"], sort_keys=False, allow_unicode=True).rstrip())
        where = f"{said.get('url', said['repository'])} as {said['tag']}, {'private' if said['private'] else 'public'} if made anew"
        print(f"{said['release']}, {said['bytes']} bytes, {'would go' if said['dry_run'] else 'is'} to {where}")
    elif said["dry_run"]:
        print(f"{said['release']}, {said['images']} images, would be written as {said['kind']} into {said['folder']}")
    else:
        size = f"{said['images']} images, {said['files']} files, {said['bytes']} bytes"
        print(f"{said['release']} is in {said['folder']} as {said['kind']}: {size}")
    given = [word for key, value in said["options"].items() for word in ("--option", f"{key}={value}")]
    again = shlex.join(["export", said["release"], "--as", said["kind"], "--to", said.get("repository") or said["folder"], *given])
    next_step(again if said["dry_run"] else f"show {said['release']}")
