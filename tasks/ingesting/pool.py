"""Worker processes that read units: one that crashes or hangs on a file costs that file, and not the run."""

import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from schema.errors import SynthmillError

CRASHED = "its reader crashed"
SLOW = "took too long to read"
HUNGRY = "needs more memory than there is"
BATCH = 4
"""Units that a worker is handed at once: it answers each, so that a lost worker is known to have stopped at the first unanswered."""

Answer = tuple[str, Any]
"""("rows", what the work gave), ("refused", the SynthmillError that ends the run), or ("lost", why the worker did not answer)."""


def answers(
    jobs: Iterable[Any], start: Callable[..., Callable[[Any], Any]], arguments: tuple, workers: int, seconds: float
) -> Iterator[tuple[Any, Answer]]:
    """Each job with what became of it, in the order in which they are done. In each worker `start(*arguments)` gives the function
    that is called with a job; both travel by pickle. A job is given `seconds`, and its worker ended after that.
    """
    waiting = iter(jobs)
    put_back: deque[Any] = deque()
    crew: list[_Worker] = []

    def next_jobs() -> list[Any]:
        batch = [put_back.popleft() for _ in range(min(BATCH, len(put_back)))]
        while len(batch) < BATCH and (job := next(waiting, _NONE)) is not _NONE:
            batch.append(job)
        return batch

    try:
        while True:
            while len(crew) < workers and (batch := next_jobs()):
                crew.append(_Worker(start, arguments, batch))
            if not crew:
                return
            ready = wait(
                [worker.answers for worker in crew], timeout=max(0.0, min(worker.deadline(seconds) for worker in crew) - time.monotonic())
            )
            for worker in list(crew):
                if worker.answers in ready:
                    answer = worker.answer()
                elif time.monotonic() >= worker.deadline(seconds):
                    answer = ("lost", SLOW)
                else:
                    continue
                job = worker.jobs.popleft()
                if answer[0] == "lost":
                    put_back.extend(worker.jobs)
                    worker.end()
                    crew.remove(worker)
                elif not worker.jobs:
                    if batch := next_jobs():
                        worker.give(batch)
                    else:
                        worker.end()
                        crew.remove(worker)
                yield job, answer
    finally:
        for worker in crew:
            worker.end()


_NONE = object()


class _Worker:
    """One process and the jobs that it has not answered yet."""

    def __init__(self, start: Callable, arguments: tuple, jobs: list[Any]) -> None:
        # A process of its own from the start: forking after threads have been made can hang.
        context = get_context("spawn")
        self.answers, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, start, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.give(jobs)

    def give(self, jobs: list[Any]) -> None:
        self.jobs = deque(jobs)
        self._since = time.monotonic()
        try:
            self.answers.send(jobs)
        except OSError:
            return  # it has just died: the next look at its answers says so

    def deadline(self, seconds: float) -> float:
        return self._since + seconds

    def answer(self) -> Answer:
        self._since = time.monotonic()
        try:
            return self.answers.recv()
        except (EOFError, OSError):
            return "lost", CRASHED

    def end(self) -> None:
        self.answers.close()
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, start: Callable[..., Callable[[Any], Any]], arguments: tuple) -> None:
    """The life of a worker: batches of jobs in, an answer for each out, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told by the terminal as well, and ends its workers
    work = None
    while True:
        try:
            jobs = pipe.recv()
        except EOFError:
            return
        for job in jobs:
            try:
                work = work or start(*arguments)
                answer: Answer = ("rows", work(job))
            except SynthmillError as error:
                answer = ("refused", error)
            except MemoryError:
                answer = ("lost", HUNGRY)
            except Exception as error:  # noqa: BLE001 - told to the parent: the place alone, since the message may hold what was read
                place = traceback.extract_tb(error.__traceback__)[-1]
                answer = ("lost", f"its reader failed ({type(error).__name__} in {place.name} of {Path(place.filename).name})")
            try:
                pipe.send(answer)
            except OSError:
                return
