"""One build at a time in a workspace."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schema.errors import SynthmillError
from schema.settings import root


def lock_file() -> Path:
    return root() / ".dvc" / "tmp" / "synthmill.lock"


def holder() -> int | None:
    """The process that holds the workspace now, None where nobody does."""
    from filelock import lock_descriptor, unlock_descriptor

    try:
        descriptor = os.open(lock_file(), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if lock_descriptor(descriptor, blocking=False):
            unlock_descriptor(descriptor)
            return None
        said = os.pread(descriptor, 32, 0).decode().strip()
        return int(said) if said.isdigit() else 0
    finally:
        os.close(descriptor)


@contextmanager
def workspace_lock(say: Callable[[str], object] = print) -> Iterator[int]:
    """Holds the workspace, waiting for another run to end first, which `say` is told. Yields the locked descriptor.

    The lock belongs to the open file: a build that is given the descriptor keeps the workspace even if its command line
    is killed. Raises SynthmillError where the workspace is no DVC repository.
    """
    from filelock import lock_descriptor, unlock_descriptor

    path = lock_file()
    if not path.parent.parent.is_dir():
        raise SynthmillError(f"{root()} is not a DVC repository (it has no .dvc): run this in a clone, or `dvc init` there")
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not lock_descriptor(descriptor, blocking=False):
            say(f"waiting for another run (pid {os.pread(descriptor, 32, 0).decode().strip() or 'unknown'})")
            lock_descriptor(descriptor, poll_interval=0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
        unlock_descriptor(descriptor)
    finally:
        os.close(descriptor)
