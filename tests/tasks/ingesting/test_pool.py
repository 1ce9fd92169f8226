"""A worker that dies or hangs costs the job that it died on, and no other."""

import multiprocessing
import os
import signal
import time

from schema.errors import UsageError
from tasks.ingesting.pool import CRASHED, SLOW, answers


def start(base: int):
    def work(job: int):
        if job == 7:
            os.kill(os.getpid(), signal.SIGSEGV)
        if job == 11:
            time.sleep(600)
        if job == 13:
            raise UsageError("said by the job")
        if job == 17:
            raise ValueError("a name that must not be told")
        return base + job

    return work


def test_every_job_is_answered_once_whatever_becomes_of_its_worker():
    found = list(answers(range(30), start, (100,), workers=2, seconds=4))
    assert sorted(job for job, _ in found) == list(range(30))
    said = dict(found)
    assert said[7] == ("lost", CRASHED)
    assert said[11] == ("lost", SLOW)
    assert said[13][0] == "refused"
    assert str(said[13][1]) == "said by the job"
    assert said[17] == ("lost", "its reader failed (ValueError in work of test_pool.py)")
    assert all(said[job] == ("rows", 100 + job) for job in range(30) if job not in (7, 11, 13, 17))


def test_no_worker_outlives_a_reader_of_answers_that_stops_early():
    running = answers(range(100), start, (0,), workers=2, seconds=60)
    next(running)
    crew = multiprocessing.active_children()
    assert len(crew) == 2
    running.close()
    assert not any(process.is_alive() for process in crew)
