"""`doctor`: what this machine has and lacks, each with what to do about it. It changes nothing."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from schema.errors import SynthmillError
from schema.settings import QUIET, clip_weights, data_root, id_key, inception_weights, root

SETTINGS = (
    *("ROOT", "DATA", "DEVICE", "ID_KEY", "GATES_AT_ONCE", "READERS", "READ_SECONDS", "INCEPTION_WEIGHTS", "CLIP_WEIGHTS", "VIT_WEIGHTS"),
    *(
        "PERCEPTUAL_WEIGHTS",
        "SIGNING_KEY",
        "TRUSTED_KEYS",
        "CATALOG_URL",
        "CACHE",
        "REMOTE",
        "GIT_REMOTE",
        "TRACEBACK",
        "EVENTS",
        "COMMAND",
    ),
)
"""The SYNTHMILL_* variables that there are."""
SECRETS = ("ID_KEY", "CATALOG_URL")
"""Those that are, or may hold, a password."""
PACKAGES = ("dvc", "gto", "prefect", "mlflow", "great-expectations", "torch", "diffusers", "pyarrow", "pydantic")
TIMEOUT = 60
"""Seconds that a program asked by the doctor may take."""


@dataclass(frozen=True)
class Finding:
    """`status` is ok, warn (some of it will not work) or fail (nothing will)."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Every check's finding; a check that cannot be made is a finding too."""
    return [finding for check in CHECKS for finding in _made(check)]


def _made(check: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  whatever is wrong with the machine, the other checks are made
        return [Finding(check.__name__, "fail", f"could not be looked at: {error}", "see above, or what the message names")]


def python() -> list[Finding]:
    found = sys.version.split()[0]
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        return [Finding("python", "fail", found, "use Python 3.11 or 3.12: delete .venv, then start ./mill with one of them on PATH")]
    return [Finding("python", "ok", f"{found} in {sys.prefix}")]


def packages() -> list[Finding]:
    versions, missing = [], []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing:
        return [Finding("packages", "fail", f"missing: {', '.join(missing)}", "delete .venv and start ./mill again")]
    return [Finding("packages", "ok", ", ".join(versions))]


def device() -> list[Finding]:
    """Asked in a process of its own: this one never imports torch."""
    code = (
        "import torch; from schema.settings import device as asked; from models.determinism import pick_device; d = pick_device(asked());"
        "print(d, torch.cuda.get_device_name(d) if d.type == 'cuda' else f'{torch.get_num_threads()} threads')"
    )
    done = _ask([sys.executable, "-c", code])
    if isinstance(done, str):
        return [Finding("device", "fail", done, "unset SYNTHMILL_DEVICE, or set it to cpu, cuda or cuda:N")]
    words = done.stdout.strip()
    remedy = "" if words.startswith("cuda") else "a CUDA device makes larger images practical"
    return [Finding("device", "ok", words, remedy)]


def disk() -> list[Finding]:
    from tasks.check import ROOM

    free = shutil.disk_usage(root()).free
    detail = f"{free / 2**30:.1f} GiB free under {root()}"
    if free < ROOM:
        return [Finding("disk", "fail", detail, f"free {ROOM / 2**30:.0f} GiB: `dvc gc --workspace` drops what no stage needs")]
    return [Finding("disk", "ok", detail)]


def settings() -> list[Finding]:
    """SYNTHMILL_* variables: those that are set, those that nobody reads, and telemetry that somebody turned on."""
    from schema.params import nearest

    findings = []
    for name, value in sorted(os.environ.items()):
        if name.startswith("SYNTHMILL_"):
            short = name.removeprefix("SYNTHMILL_")
            if short == "COMMAND":
                continue  # ./mill sets it
            if short in SETTINGS:
                findings.append(Finding(name, "ok", "set" if short in SECRETS else value))
            else:
                findings.append(Finding(name, "warn", "nothing reads it", f"unset it{nearest(short, SETTINGS)}"))
        elif name in QUIET and value != QUIET[name]:
            findings.append(Finding(name, "warn", f"{value!r} may turn telemetry on", f"unset it or set it to {QUIET[name]}"))
    folder = data_root()
    if folder is None:
        missing = "not set: only phantom-cxr can be built"
        findings.append(Finding("SYNTHMILL_DATA", "warn", missing, "export SYNTHMILL_DATA=/folder/of/your/data"))
    elif not folder.is_dir():
        findings.append(Finding("SYNTHMILL_DATA", "fail", f"{folder} is not a folder", "mend the path or unset it"))
    if folder is not None and not id_key():
        why = "not set: who knows an id of the source can recognise its digest"
        findings.append(Finding("SYNTHMILL_ID_KEY", "warn", why, "for private data, export a long random secret and keep it"))
    return findings


def git() -> list[Finding]:
    from catalog.git import changed_files, head

    try:
        commit = head(root())
        changed = changed_files(root())
    except SynthmillError as error:
        return [Finding("git", "fail", str(error), "see above: DVC keeps the graph in a git repository")]
    if changed:
        return [Finding("git", "warn", f"{len(changed)} uncommitted: {', '.join(changed[:3])}", "commit before a run that publishes")]
    return [Finding("git", "ok", f"clean at {commit[:10]}")]


def remote() -> list[Finding]:
    from catalog.store import remote_name, remotes

    try:
        name = remote_name(root())
    except SynthmillError as error:
        return [Finding("dvc remote", "fail", str(error), "see above; --no-publish builds without a remote")]
    url = remotes(root())["remote"].get(name, {}).get("url", "")
    if url and "://" not in url:
        return [_local_remote(name, Path(url).expanduser())]
    done = _ask([sys.executable, "-m", "dvc", "list-url", f"remote://{name}/"])
    if isinstance(done, str) and done.endswith(f"does not exist: {url.partition('://')[2].rstrip('/')}"):
        return [Finding("dvc remote", "ok", f"{name} at {url} answers; nothing is there yet")]
    if isinstance(done, str):
        return [Finding("dvc remote", "fail", f"{name} cannot be reached: {done}", "check its url and credentials: `dvc remote list`")]
    return [Finding("dvc remote", "ok", f"{name} at {url or 'its url'} answers")]


def _local_remote(name: str, folder: Path) -> Finding:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        return Finding("dvc remote", "fail", f"{name}: {folder} cannot be written", "give yourself write access, or name another remote")
    return Finding("dvc remote", "ok", f"{name} at {folder}{'' if folder.exists() else ', made by the first release'}")


def weights() -> list[Finding]:
    from schema.digest import sha256_file
    from tasks.gates.fid import OFFICIAL, SETTING

    name, path = "inception weights", inception_weights()
    if path is None:
        remedy = f"export {SETTING}=/path/to/pt_inception-2015-12-05-{OFFICIAL}.pth"
        return [Finding(name, "warn", f"{SETTING} is not set: the gate fid stays INSUFFICIENT", remedy)]
    if not path.is_file():
        return [Finding(name, "fail", f"{path} is not a file", f"mend {SETTING} or unset it")]
    digest = sha256_file(path)
    if not digest.startswith(OFFICIAL):
        remedy = "give pytorch-fid's own file, or set weights_sha256 in the gate's section"
        return [Finding(name, "warn", f"{path} has sha256 {digest[:8]}..., not {OFFICIAL}...", remedy)]
    return [Finding(name, "ok", str(path))]


def clip() -> list[Finding]:
    path = clip_weights()
    if path is None:
        remedy = "export SYNTHMILL_CLIP_WEIGHTS=/path/to/a/transformers/folder/of/CLIP"
        return [Finding("CLIP weights", "warn", "SYNTHMILL_CLIP_WEIGHTS is not set: the gate cmmd stays INSUFFICIENT", remedy)]
    if not (path / "config.json").is_file():
        return [Finding("CLIP weights", "fail", f"{path} has no config.json", "mend SYNTHMILL_CLIP_WEIGHTS or unset it")]
    return [Finding("CLIP weights", "ok", str(path))]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (python, packages, device, disk, settings, git, remote, weights, clip)


def _ask(command: list[str]) -> subprocess.CompletedProcess | str:
    """What a program answered, or in a line why it did not."""
    from catalog.store import last_words

    try:
        done = subprocess.run(command, cwd=root(), capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT} s"
    if done.returncode:
        lines = last_words(done.stderr)
        return lines[-1] if lines else f"exit code {done.returncode}"
    return done
