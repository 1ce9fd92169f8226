"""Registers deployments of prefect.yaml with the server that `PREFECT_API_URL` names, and the work pool that runs them.

python -m flows.deploy pneumonia-nightly sign-off
"""

import os
import subprocess
import sys

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL

from schema.errors import SynthmillError
from schema.settings import root
from tasks.graph import environment
from tasks.stage import main

POOL = "synthmill"


def run(*names: str) -> None:
    """Raises SynthmillError when no server is named, it does not answer, or Prefect cannot register them, with Prefect's own words."""
    address = PREFECT_API_URL.value()
    if not address:
        raise SynthmillError(
            "PREFECT_API_URL is not set: start a server (`./mill prefect server start`), export PREFECT_API_URL=http://127.0.0.1:4200/api, "
            "and run this again"
        )
    with get_client(sync_client=True) as client:
        failure = client.api_healthcheck()
        if failure is not None:
            raise SynthmillError(f"no Prefect server answers at {address}: {failure}")
        try:
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            print(f"the work pool {POOL} is there")
    deploying = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *(word for name in names for word in ("--name", name))],
        cwd=root(),
        env=environment(),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if deploying.returncode:
        print(deploying.stdout + deploying.stderr)
        raise SynthmillError(f"prefect deploy ended with {deploying.returncode}: its words are above")
    print(f"registered: {', '.join(names)}")
    print(f"next: start a worker in this checkout: ./mill prefect worker start --pool {POOL}")


if __name__ == "__main__":
    os.chdir(root())
    main(run)
