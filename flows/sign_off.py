"""Sign-off as a flow: Prefect's page of the deployment is the form. It records a decision and publishes nothing.

python -m flows.sign_off pneumonia approved --by "Ada Byron" --role privacy-officer --reason "read the report"
"""

import argparse
import os
from typing import Annotated, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed, State
from pydantic import Field

from catalog import signoff
from schema.errors import SynthmillError
from schema.params import load
from schema.settings import quieten, root


@flow(name="sign-off", flow_run_name="sign-off {dataset}", persist_result=False, timeout_seconds=600, validate_parameters=True)
def sign_off(
    dataset: Annotated[str, Field(description="its name in params.yaml")],
    decision: Annotated[Literal["approved", "refused"], Field(description="of the release that was built last")],
    by: Annotated[str, Field(min_length=1, max_length=100, description="your name")],
    reason: Annotated[str, Field(min_length=1, max_length=1000, description="why; stays inside")],
    role: Annotated[str, Field(max_length=100, description="as what, such as one of policy.roles")] = "",
    digest: Annotated[str, Field(max_length=71, description="the beginning of the digest that you read; others are refused")] = "",
) -> State:
    """Approves or refuses the bytes in data/releases/<dataset>. The next build publishes what has its approvals."""
    quieten()
    try:
        policy = load().dataset(dataset).policy
        made = signoff.decide(dataset, decision, by, role, reason, policy, digest or None)
        stands = signoff.standing(dataset, signoff.candidate(dataset)[1], policy)
    except SynthmillError as error:
        return Failed(message=str(error))
    lacking = f", {'; '.join(stands.lacking)}" if stands.lacking else ""
    words = f"{dataset} {made.digest[:12]}: {made.decision} by {made.by}; it is {stands.state}{lacking}"
    create_markdown_artifact(markdown=words, key=f"{dataset}-sign-off", description=f"Sign-off of {dataset}")
    return Completed(message=words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("decision", choices=("approved", "refused"))
    for name in ("by", "reason"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("role", "digest"):
        parser.add_argument(f"--{name}", default="")
    asked = parser.parse_args()
    os.chdir(root())
    raise SystemExit(0 if sign_off(**vars(asked), return_state=True).is_completed() else 1)


if __name__ == "__main__":
    main()
