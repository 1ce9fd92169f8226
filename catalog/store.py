"""Where the bytes of releases are: DVC's cache and remote, spoken to by DVC's command line and its public API."""

import configparser
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from catalog import sums
from catalog.git import REDIRECTS, check_objects, git
from schema.digest import sha256_file
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.release import Release
from schema.settings import QUIET

STREAM = Path(__file__).with_name("stream.py")

PARTIAL = ".partial"
"""How stream.py ends the name of a file that it has not read to the end."""

ADVERT = "Having any troubles?"
"""How DVC ends its words on what it did not expect."""

LOST, LISTING = "lost", "."
"""The digest that stream.py gives of what is not there, and the name by which it calls the list of a release's files."""


def released_path(dataset: str) -> str:
    return f"data/releases/{dataset}"


def dvc(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Runs DVC in the workspace; what it printed. Raises SynthmillError with DVC's own words when it fails."""
    command = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", *arguments]
    return _run(command, root, f"dvc {' '.join(arguments)}", env)


def tool(root: Path, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Runs a program that was installed beside Python, such as gto; what it printed. Raises SynthmillError with its own words."""
    return _run([name, *arguments], root, f"{name} {arguments[0]}", env)


def is_address(remote: str) -> bool:
    """Whether a DVC remote is given by its address (a URL, or a folder written with a /) and not by its name."""
    return "/" in remote


def remote_for_reading(root: Path, rev: str) -> tuple[str, dict[str, dict]]:
    """The DVC remote to read from and its settings by name: the address in `SYNTHMILL_REMOTE`, else the one of that name or the default
    one, as the checkout has it, or where there is no checkout, as the revision has it.

    Raises SynthmillError where there is none, or it is a folder of the machine that released.
    """
    wanted = os.environ.get("SYNTHMILL_REMOTE") or ""
    if is_address(wanted):
        url = wanted if "://" in wanted else str(Path(wanted).expanduser().absolute())
        return "given", {"given": {"url": url}}
    if (root / ".dvc").is_dir():
        return remote_name(root), remotes(root)["remote"]
    config: dict[str, dict] = {"core": {}, "cache": {}, "remote": {}}
    _add_settings(config, git(root, "show", f"{rev}:.dvc/config"))
    name = wanted or config["core"].get("remote", "")
    url = config["remote"].get(name, {}).get("url", "")
    if "://" not in url and not Path(url).is_absolute():
        raise SynthmillError(
            f"the bytes are in the DVC remote {name or '(none is named)'} ({url or 'no address'}), which is a place on the machine that "
            "released them: say where it is from here with `--remote URL` or SYNTHMILL_REMOTE (a URL, or a folder written with a /)"
        )
    return name, config["remote"]


def remote_name(root: Path) -> str:
    """The DVC remote that releases go to: `SYNTHMILL_REMOTE`, else the default one. Raises SynthmillError if there is no such remote."""
    wanted = os.environ.get("SYNTHMILL_REMOTE")
    config = remotes(root)
    name = wanted or config["core"].get("remote")
    if name in config["remote"]:
        return name
    # A remote of the user's or the machine's own DVC settings is known to DVC alone, which breaks lines at the width of a terminal.
    lines = [line for line in dvc(root, "remote", "list", env={"COLUMNS": "10000"}).splitlines() if line.strip()]
    known = {line.split()[0]: line.rstrip().endswith("(default)") for line in lines}
    name = wanted or next((each for each, default in known.items() if default), None)
    if name in known:
        return name
    raise SynthmillError(
        f"{f'{name!r} is not a DVC remote' if name else 'no DVC remote is set'}, so a release could not be stored: add one with "
        f"`dvc remote add --default NAME URL`, or name one in SYNTHMILL_REMOTE (there are: {', '.join(known) or 'none'})"
    )


def remotes(root: Path) -> dict[str, dict]:
    """`core`, `cache` and `remote` of the workspace's DVC settings, the local file over the committed one, relative paths of remotes made
    absolute."""
    found: dict[str, dict] = {"core": {}, "cache": {}, "remote": {}}
    for name in ("config", "config.local"):
        path = root / ".dvc" / name
        if path.is_file():
            _add_settings(found, path.read_text(encoding="utf-8", errors="replace"))
    for remote in found["remote"].values():
        url = remote.get("url", "")
        if url and "://" not in url:
            remote["url"] = str((root / ".dvc" / Path(url).expanduser()).resolve())
    return found


def _add_settings(found: dict[str, dict], text: str) -> None:
    """Puts what a DVC settings file says into `found`, over what is there."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        why = str(error).splitlines()[0]
        raise SynthmillError(f"DVC's settings cannot be read ({why}): mend .dvc/config and .dvc/config.local") from None
    for section in parser.sections():
        words = section.strip("'").split('"')
        if words[0] in ("core", "cache"):
            found[words[0]].update(parser[section])
        elif words[0].strip() == "remote" and len(words) == 3:
            found["remote"].setdefault(words[1], {}).update(parser[section])


def stream(
    root: Path,
    rev: str,
    dataset: str,
    to: Path | None = None,
    only_remote: bool = False,
    only: Sequence[str] = (),
    have: Sequence[str] = (),
    look: bool = False,
) -> dict[str, str]:
    """{path: sha256} of every file of a release at a git revision, hashed as it is read; with `to`, written there too.

    `only_remote` leaves DVC's cache out: what comes is what anybody else would get. `only` names the files to read, all unless given,
    `have` those to leave out. With `look` nothing is read, and what comes is {path: "lost"} of those that are not there, `.` of their list.
    Raises SynthmillError where the bytes cannot be had.
    """
    name, known = remote_for_reading(root, rev)
    place = known.get(name, {}).get("url", name)
    what = f"reading {dataset} at {rev} from the remote {name} ({place}; is it the one that the release was pushed to?)"
    return _read(root, rev, released_path(dataset), what, to, only_remote, only, have, look)


def trained(root: Path, rev: str, dataset: str, to: Path, only: Sequence[str] = ()) -> None:
    """The weights that a release was drawn from, out of DVC's cache into `to`: they are never pushed, so only a machine that trained
    them, or shares its cache, has them. Raises SynthmillError elsewhere."""
    _read(root, rev, f"data/models/{dataset}", f"reading the weights of {dataset} at {rev} from DVC's cache", to, only=only)


def _read(
    root: Path,
    rev: str,
    path: str,
    what: str,
    to: Path | None = None,
    only_remote: bool = False,
    only: Sequence[str] = (),
    have: Sequence[str] = (),
    look: bool = False,
) -> dict[str, str]:
    check_objects(root, rev)
    name, known = remote_for_reading(root, rev)
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        config: dict = {"remote": known}
        more = {}
        if only_remote:
            config |= {"cache": {"dir": f"{scratch}/cache"}}
            # What DVC remembers of earlier reading; a variable, for one that the user set goes over the setting.
            more = {"DVC_SITE_CACHE_DIR": f"{scratch}/site"}
        ask = {
            "repo": str(root),
            "rev": rev,
            "path": path,
            "to": str(to) if to else None,
            "only": list(only),
            "have": list(have),
            "look": look,
            "remote": name,
            "config": config,
        }
        printed = _run([sys.executable, "-P", str(STREAM), json.dumps(ask)], root, what, more)
    found = {path: digest for digest, path in (line.split("  ", 1) for line in printed.splitlines())}
    lost = ["the list of its files" if path == LISTING else path for path in found if found[path] == LOST]
    if lost and not look:
        raise SynthmillError(f"{what} failed: not there: {sums.some(lost)}")
    return found


def objects(root: Path, rev: str, dataset: str) -> dict[str, str]:
    """{path: md5 name in DVC's stores} of the files of a release at a git revision, and of the list of them (`LISTING`).

    Raises SynthmillError where that list is neither in DVC's cache here nor in a remote on this machine.
    """
    stages = yaml.safe_load(git(root, "show", f"{rev}:dvc.lock"))["stages"]
    listing = stages[f"release@{dataset}"]["outs"][0]["md5"] if f"release@{dataset}" in stages else ""
    # Asking DVC takes a second: only where its cache is not where the settings here have it.
    places = (find(root) for find in (_set_cache_folder, local_remote, cache_folder))
    whole = next((path for place in places if place and is_whole(path := object_file(place, listing), listing)), None)
    if whole is None:
        raise SynthmillError(f"DVC's cache here has nothing of {dataset} at {rev}: publish from the checkout that built it")
    return {**{entry["relpath"]: entry["md5"] for entry in json.loads(whole.read_text(encoding="utf-8"))}, LISTING: listing}


def check_stored(root: Path, rev: str, release: Release, said: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raises IntegrityError naming the files of a release of which the remote holds other bytes than `said`, and what mends that."""
    name, known = remote_for_reading(root, rev)
    changed = [path for path in said if found.get(path, said[path]) != said[path]]
    remedy = "its storage is damaged: whoever released it can send it again"
    if changed:
        # Their names are known only where the release was built.
        with suppress(SynthmillError):
            names, url = objects(root, rev, release.dataset), known.get(name, {}).get("url", f"remote://{name}")
            there = [f"{url}/files/md5/{names[path][:2]}/{names[path][2:]}" for path in changed]
            remedy = f"its storage is damaged: delete {sums.some(there)} and run `./mill run {release.dataset}` again, which sends it anew"
    sums.compare(dict(said), dict(found), f"what the DVC remote {name!r} holds of {release.tag}", remedy)


def local_remote(root: Path) -> Path | None:
    """The folder of the remote that releases go to; None where that is not on this machine."""
    url = remotes(root)["remote"].get(remote_name(root), {}).get("url", "")
    return Path(url) if url and "://" not in url else None


def object_file(store: Path, name: str) -> Path:
    """Where a cache or a remote on this machine keeps what has an md5 name."""
    return store / "files" / "md5" / name[:2] / name[2:]


def is_whole(path: Path, name: str) -> bool:
    """Whether an object is there and holds what its md5 name says."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest() == name.removesuffix(".dir")


def cache_folder(root: Path) -> Path:
    """DVC's cache, wherever the settings of the workspace, the user and the machine have it."""
    return Path(root, dvc(root, "cache", "dir", env={"COLUMNS": "10000"}).strip()).resolve()


def _set_cache_folder(root: Path) -> Path:
    """DVC's cache as the workspace's own settings have it."""
    return (root / ".dvc" / Path(remotes(root)["cache"].get("dir", "cache")).expanduser()).resolve()


def fetch(root: Path, release: Release, to: Path, only_remote: bool = False) -> Path:
    """A release's bytes in the folder `to`, empty, not there, or filled with them: read, checked against SHA256SUMS and the tag, then
    renamed. What an interrupted call had read whole is kept beside `to`, in a folder named by the release's digest, and not read again.

    Raises IntegrityError when they are not the released ones, SynthmillError when they cannot be had; `to` is then not there.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = to.parent / f".{to.name}.{release.sums[:16]}.part"
    with _alone_in(scratch):
        if _is_filled(to):
            return _same(to, release)
        try:
            _fetch(root, release, to, scratch / "files", only_remote)
        except IntegrityError:
            if only_remote or not (root / ".dvc").is_dir():
                raise
            # DVC's cache here is harmed: the remote may not be.
            _fetch(root, release, to, scratch / "files", only_remote=True)
    return to


def _same(to: Path, release: Release) -> Path:
    """The folder, filled by another call meanwhile. Raises UsageError where that was with something else."""
    if not (to / sums.NAME).is_file() or sums.digest(to) != release.sums:
        raise UsageError(f"{to} was filled with something else than {release.tag} meanwhile: name another folder")
    return to


def _fetch(root: Path, release: Release, to: Path, files: Path, only_remote: bool) -> None:
    files.mkdir(exist_ok=True)
    kept = {path: sha256_file(files / path) for path in sums.files(files) if not path.endswith(PARTIAL)}
    if (files / sums.NAME).is_file() and sums.digest(files) == release.sums:
        said = sums.read(files)
        kept = {path: digest for path, digest in kept.items() if said.get(path) == digest} | {sums.NAME: release.sums}
    elif (files / sums.NAME).is_file():
        (files / sums.NAME).unlink()
    tag = f"refs/tags/{release.tag}"
    found = kept | stream(root, tag, release.dataset, files, only_remote, have=list(kept))
    try:
        # The tag vouches for SHA256SUMS, and that for the rest.
        check_stored(root, tag, release, {sums.NAME: release.sums}, {sums.NAME: found.get(sums.NAME, "")})
        check_stored(root, tag, release, {**sums.read(files), sums.NAME: release.sums}, found)
    except IntegrityError:
        shutil.rmtree(files)
        raise
    for path in files.rglob(f"*{PARTIAL}"):
        path.unlink()
    try:
        os.replace(files, to)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(files)
        _same(to, release)


@contextmanager
def _alone_in(scratch: Path) -> Iterator[None]:
    """Holds a scratch folder against other processes; it goes when nothing is left in it."""
    while True:
        scratch.mkdir(exist_ok=True)
        # Whoever holds it may finish and take it away at any moment.
        with suppress(FileNotFoundError):
            held = os.open(scratch, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.fstat(held).st_ino == scratch.stat().st_ino:
                    break
            os.close(held)
    try:
        yield
    finally:
        with suppress(OSError):
            scratch.rmdir()
        os.close(held)


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _run(command: list[str], root: Path, what: str, more: Mapping[str, str] | None = None) -> str:
    """Runs a program of this environment; what it printed. Raises SynthmillError with the last words of one that fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    clean = {name: value for name, value in os.environ.items() if name not in REDIRECTS}
    env = {**QUIET, **clean, "PATH": path, **(more or {})}
    result = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        words = last_words(result.stderr or result.stdout)
        raise SynthmillError(f"{what} failed: {'; '.join(words) or f'exit code {result.returncode}'}")
    return result.stdout


def last_words(printed: str) -> list[str]:
    """Of what a program printed as it failed, the lines that say why: at most four, and of a traceback the last."""
    lines = [line.removeprefix("ERROR: ") for line in printed.splitlines() if line.strip() and not line.startswith(ADVERT)]
    return lines[-1:] if any(line.startswith("Traceback") for line in lines) else lines[-4:]
