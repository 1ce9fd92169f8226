"""What a DVC remote has lost of a release, found out and sent again.

`dvc push` takes the list of a folder's files that is there as proof that the files are. So each object is asked for by itself here.
"""

import configparser
import tempfile
from pathlib import Path

import yaml

from catalog import store


def lacking(root: Path, rev: str, dataset: str) -> list[str]:
    """The files of a release that the remote has not got, their list among them as `.`; none of them is read. Raises SynthmillError where
    a remote elsewhere does not answer."""
    place = store.local_remote(root)
    if place is None:
        return list(store.stream(root, rev, dataset, only_remote=True, look=True))
    return [path for path, name in store.objects(root, rev, dataset).items() if not store.object_file(place, name).is_file()]


def mend(root: Path, rev: str, dataset: str) -> None:
    """Sends what the remote has not got of a release; from a remote on this machine drops what is damaged before, which DVC cannot do
    elsewhere. Raises SynthmillError where the remote does not take it, or where DVC's cache has not got it."""
    place, name, objects = store.local_remote(root), store.remote_name(root), store.objects(root, rev, dataset)
    for each in objects.values() if place else ():
        if not store.is_whole(store.object_file(place, each), each):
            store.object_file(place, each).unlink(missing_ok=True)
    listing = objects.pop(store.LISTING)
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        project = Path(scratch)
        _write_settings(project / ".dvc" / "config", root, name)
        # A project of its own, in which DVC knows the files and no folder; the list goes last, as in every push.
        for file, names in (("files.dvc", sorted(set(objects.values()))), ("list.dvc", [listing])):
            outs = [{"md5": each, "hash": "md5", "path": each} for each in names]
            (project / file).write_text(yaml.safe_dump({"outs": outs}), encoding="utf-8")
            store.dvc(project, "push", "--remote", name, file, env={"DVC_SITE_CACHE_DIR": str(project / "site")})


def _write_settings(path: Path, root: Path, name: str) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings["core"] = {"no_scm": "true"}
    settings["cache"] = {"dir": str(store.cache_folder(root))}
    known = store.remotes(root)["remote"]
    # One of the user's or the machine's own settings DVC finds by itself.
    if name in known:
        settings[f"'remote \"{name}\"'"] = known[name]
    path.parent.mkdir()
    with path.open("w", encoding="utf-8") as stream:
        settings.write(stream)
