"""Evidence as in-toto statements: what is claimed of which bytes, by whom or what, from which inputs, and when.

Specifications: in-toto attestation framework, Statement v1; its Test Result predicate v0.1; SLSA provenance v1.0.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schema.digest import canonical_json, sha256_json

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SLSA = "https://slsa.dev/provenance/v1"
SIGN_OFF = "urn:synthmill:sign-off:1"
LEDGER = "urn:synthmill:ledger:1"
RECALL = "urn:synthmill:recall:1"
BUILD_TYPE = "urn:synthmill:stage:1"
BUILDER = "urn:synthmill:builder:1"
PAYLOAD = "application/vnd.in-toto+json"
PREVIOUS = "synthmill_previous"
"""The predicate's field that chains a statement to the one before it (SLSA: extension fields are named after their vendor)."""


class Statement(BaseModel):
    """An in-toto Statement v1. `subject` and every list of inputs hold resource descriptors: {"name", "digest": {"sha256": ...}, ...}."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    type: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT, alias="_type")
    subject: list[dict[str, Any]] = Field(min_length=1)
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]

    def payload(self) -> bytes:
        """The statement as it is signed: canonical JSON."""
        return canonical_json(self.model_dump(mode="json", by_alias=True)).encode()

    @property
    def digest(self) -> str:
        """sha256 of the payload: what a claim in a document links to."""
        return sha256_json(self.model_dump(mode="json", by_alias=True))

    @property
    def previous(self) -> str | None:
        return (self.predicate.get(PREVIOUS) or {}).get("sha256")

    @property
    def about(self) -> str:
        """The stage that ran, the check or gate that found something, or else what kind of statement it is."""
        said = self.predicate
        if self.predicate_type == SLSA:
            return str(said["buildDefinition"]["externalParameters"]["stage"])
        if self.predicate_type == TEST_RESULT:
            return next(iter([*said["passedTests"], *said["warnedTests"], *said["failedTests"]]))
        return {SIGN_OFF: "sign-off", RECALL: "recall", LEDGER: "ledger"}.get(self.predicate_type, self.predicate_type)

    def after(self, previous: str | None) -> "Statement":
        """The same statement, chained to the one of that digest."""
        link = {"sha256": previous} if previous else None
        return self.model_copy(update={"predicate": {**self.predicate, PREVIOUS: link}})


def described(name: str, digest: str, kind: str = "sha256", **annotations: Any) -> dict[str, Any]:
    """A resource descriptor."""
    return {"name": name, "digest": {kind: digest}, **({"annotations": annotations} if annotations else {})}


def stage_run(
    stage: str,
    dataset: str,
    subject: list[dict[str, Any]],
    inputs: list[dict[str, Any]],
    params: dict[str, Any],
    code: dict[str, Any],
    started: str,
    finished: str,
    said: dict[str, Any] | None = None,
) -> Statement:
    """A stage's run as SLSA provenance: what it made, from what, under which params and code, and when (RFC 3339, UTC).

    `said`: what the stage wrote of its result in so many words, under `synthmill_said`.
    """
    return Statement(
        subject=subject,
        predicateType=SLSA,
        predicate={
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"stage": stage, "dataset": dataset, "params": params},
                "internalParameters": code,
                "resolvedDependencies": inputs,
            },
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"startedOn": started, "finishedOn": finished}},
            **({"synthmill_said": said} if said else {}),
        },
    )


def test_result(
    test: str,
    result: Literal["PASSED", "WARNED", "FAILED"],
    subject: list[dict[str, Any]],
    configuration: list[dict[str, Any]],
    said: dict[str, Any],
) -> Statement:
    """A check's outcome as a Test Result; what it said in full is under `synthmill_said`."""
    lists = {"PASSED": "passedTests", "WARNED": "warnedTests", "FAILED": "failedTests"}
    outcome = {name: [test] if name == lists[result] else [] for name in lists.values()}
    predicate = {"result": result, "configuration": configuration, **outcome, "synthmill_said": said}
    return Statement(subject=subject, predicateType=TEST_RESULT, predicate=predicate)


def now() -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
