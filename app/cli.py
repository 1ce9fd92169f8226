"""The command line: `synthmill`, by way of ./mill. Its verbs are in app/verbs/; here is how it starts and how it ends."""

import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType

import typer

from app.child import Stopped
from app.verbs import app, builds, compliance, releases
from app.words import PROGRAM, say
from schema.errors import SynthmillError
from schema.settings import quieten, root

__all__ = ["app", "builds", "compliance", "main", "releases"]


def unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a person sees of a fault of ours: one message, and where the traceback is."""
    words = "".join(traceback.format_exception(kind, error, trace))
    if os.environ.get("SYNTHMILL_TRACEBACK"):
        say(words)
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path = root() / "data" / "logs" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words, encoding="utf-8")
    except OSError:
        path = Path(tempfile.gettempdir()) / name
        path.write_text(words, encoding="utf-8")
    say(f"error: {kind.__name__}: {error}\nThis was not foreseen. The traceback is in {path}; SYNTHMILL_TRACEBACK=1 shows it here.")


def main() -> None:
    quieten()
    sys.excepthook = unexpected
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no such sign gets its number.
        stream.reconfigure(errors="backslashreplace")
    try:
        typer.main.get_command(app)(prog_name=Path(PROGRAM).name)
    except SynthmillError as error:
        if os.environ.get("SYNTHMILL_TRACEBACK"):
            traceback.print_exc()
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read has enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Stopped as stopped:
        sys.exit(128 + stopped.signum)


if __name__ == "__main__":
    main()
