"""For each line of stdin, a process publishes and puts the release into the index, and kills itself before the first thing that none
before it was killed at. Prints what that was, or `done` where it came to the end, and else nothing.

python killed.py DATASET < LINES

Seen by Python's audit hooks (PEP 578): programs started, but for git's that only read; files of the workspace opened for writing, renamed
or taken away; the index connected to and its transactions ended.
"""

import os
import re
import signal
import sys
from collections import Counter

from sqlalchemy import Engine, event

READING = {"cat-file", "config", "for-each-ref", "ls-remote", "remote", "rev-list", "rev-parse", "show", "status", "var"}
SCRATCH = {"read-tree", "update-index"}
"""What these write is in a temporary folder."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

dataset = sys.argv[1]
mine = (os.environ["SYNTHMILL_ROOT"], os.environ["HOME"])
known: set[str] = set()
counted: Counter[str] = Counter()
told = 1


def about_to(what: str) -> None:
    """Kills this process unless one was killed here before. Names that differ from run to run are made the same."""
    what = re.sub(r"[0-9a-f]{16,}|\d+", "#", what)
    counted[what] += 1
    said = f"{what} ({counted[what]})"
    if said not in known:
        os.write(told, said.encode())
        os.kill(os.getpid(), signal.SIGKILL)


def hook(name: str, given: tuple) -> None:
    if name == "open" and isinstance(given[0], str) and given[2] & WRITES and given[0].startswith(mine):
        about_to(f"write {given[0]}")
    elif name in ("os.rename", "os.remove", "os.truncate") and str(given[0]).startswith(mine):
        about_to(f"{name} {given[0]}")
    elif name == "sqlite3.connect":
        about_to("connect to the index")
    elif name == "subprocess.Popen":
        words = [str(word) for word in given[1]]
        if words[0] != "git":
            about_to(" ".join(word for word in words[1:6] if not word.startswith(("-", "{"))))
        elif (command := words[4]) not in READING | SCRATCH:
            about_to(f"git {command}")


from catalog import publish  # noqa: E402  what importing does is no step of publishing
from catalog.database import index  # noqa: E402

# They only read, and take seconds: the run that ends the walk does without this file.
publish.check_graph = lambda dataset: None
publish.verify_remote = lambda release, commit, said: None
last = [""]
event.listen(Engine, "before_cursor_execute", lambda connection, cursor, statement, *rest: last.append(" ".join(statement.split()[:3])))
event.listen(Engine, "commit", lambda connection: about_to(f"commit to the index: {last[-1]}"))

for _ in sys.stdin:
    reading, told = os.pipe()
    child = os.fork()
    if child == 0:
        sys.addaudithook(hook)
        index.add(publish.publish(dataset))
        os._exit(0)
    os.close(told)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        at = pipe.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    known.add(at)
    print(at if ended == -signal.SIGKILL else "done" if ended == 0 else f"ended with {ended}", flush=True)
