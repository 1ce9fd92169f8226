"""A build in its own process group: started with its words in a log, ended with all of its descendants."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE = 10.0
"""Seconds between asking a build to stop and making it."""


class Stopped(BaseException):
    """The command line was asked to stop by a signal; not an Exception, so that nothing on the way takes it for a fault."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def stop_signals() -> Iterator[None]:
    """Within it, the signals that end a program raise Stopped instead."""

    def stop(signum: int, frame: object) -> None:
        raise Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def start(command: Sequence[str], folder: Path, log: Path, environment: dict[str, str], keep: Sequence[int] = ()) -> subprocess.Popen:
    """Starts `command` in `folder` as the leader of a new process group, both outputs in `log`, with the descriptors `keep` open."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
        )


def end(process: subprocess.Popen) -> None:
    """Ends the process and all that came of it: asked by SIGINT, made to by SIGKILL after the grace or when asked again."""
    import psutil

    if process.poll() is not None:
        return
    family = _family(psutil.Process(process.pid))
    _signal(family, signal.SIGINT)
    try:
        _, alive = psutil.wait_procs(family, timeout=GRACE)
    except Stopped:
        alive = [member for member in family if member.is_running()]
    # What was started while the others were ending belongs to them too.
    _signal([one for member in alive for one in _family(member)], signal.SIGKILL)
    process.wait()


def _family(process):
    """The process, if it is still there, and its descendants, whatever group they are in."""
    import psutil

    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(family, signum: int) -> None:
    import psutil

    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(signum)
