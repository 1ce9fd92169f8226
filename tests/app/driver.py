"""The real command line over a build that pretends: `python driver.py SCENARIO [the command line's words]`.

Scenarios are those of fake_flow.py, and `current` (nothing is stale and all is published). At its end it writes the
names of the imported modules into the workspace's `modules`.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def pretend(scenario: str, replace: Callable[[Any, str, Any], None]) -> None:
    """Replaces what `run` stands on: the checks pass, the graph is as the scenario has it, the build is fake_flow.py."""
    from app import building
    from catalog import publish, signoff
    from tasks import check, graph

    release = SimpleNamespace(version="v1.2.0", digests=None)
    replace(check, "check", lambda dataset: SimpleNamespace(files=list))
    replace(graph, "stale", lambda dataset, params, source: [] if scenario == "current" else graph.stages(dataset, params))
    replace(publish, "preflight", lambda dataset: None)
    replace(publish, "released", lambda dataset: release)
    replace(publish, "publish", lambda dataset, within: release)
    replace(signoff, "standing", lambda dataset, digests, policy: SimpleNamespace(state="unasked"))
    replace(building, "FLOW", [sys.executable, str(Path(__file__).with_name("fake_flow.py")), scenario])


if __name__ == "__main__":
    from app import cli
    from schema.settings import root

    pretend(sys.argv.pop(1), setattr)
    try:
        cli.main()
    finally:
        (root() / "modules").write_text("\n".join(sys.modules))
