"""Stands in for flows.build: writes events and an outcome as the real one does, in the way that its first argument names.

python fake_flow.py released|refused|failed|dies|held|hangs DATASET
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

EVENTS = Path(os.environ["SYNTHMILL_EVENTS"])
VERDICT = {
    "gate": "mia",
    "status": "FAIL",
    "value": 0.0917,
    "interval": [0.05, 0.13],
    "threshold": 0.05,
    "direction": "at_most",
    "required": True,
    "reason": "Members are told from non-members.",
    "null": {"value": 0.5, "what": "holdout against test"},
}


def event(**fields: object) -> None:
    with EVENTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"time": time.time(), **fields}) + "\n")


def outcome(status: str, **fields: object) -> None:
    said = {"dataset": sys.argv[2], "status": status, "version": None, "release": None, "report": None, "seconds": 754.2}
    log = str(EVENTS.with_name("build.log"))
    EVENTS.with_name("outcome.json").write_text(json.dumps({**said, "stages": [], "verdicts": [], "message": "", "log": log, **fields}))


def stage(name: str) -> None:
    event(event="stage", stage=name, state="running")
    for done in range(0, 101, 20):
        event(stage=name, what="stepping", total=100, unit="step", done=done, note="loss 0.1")
        time.sleep(0.03)
    event(event="stage", stage=name, state="done")


def main(scenario: str) -> None:
    EVENTS.with_name("pid").write_text(str(os.getpid()))
    print("a word for the log", flush=True)
    if scenario == "hangs":
        # In a session of its own, as a server that a flow starts may be.
        stray = subprocess.Popen(["sleep", "600"], start_new_session=True)
        EVENTS.with_name("stray").write_text(str(stray.pid))
        event(event="stage", stage="train", state="running")
        stray.wait()
    while scenario == "held" and not Path("go").exists():
        time.sleep(0.05)
    stage("train")
    if scenario in ("released", "held"):
        verdict = {**VERDICT, "status": "PASS", "value": 0.0123, "interval": [-0.01, 0.03]}
        outcome("released", version="v1.2.0", release="data/releases/x", report="reports/x/report/internal.html", verdicts=[verdict])
    elif scenario == "refused":
        outcome(
            "refused", verdicts=[VERDICT], message="1 of 4 gates object\n  mia: FAIL · told apart", report="reports/x/report/internal.html"
        )
        sys.exit(3)
    elif scenario == "failed":
        print("INFO noise\n\x1b[31merror: image 7 is torn: mend it\x1b[0m\n22:03:09.292 | ERROR | it was torn", flush=True)
        outcome("failed", message="the stage ingest ended with an error")
        sys.exit(1)
    elif scenario == "dies":
        sys.exit(9)


main(sys.argv[1])
