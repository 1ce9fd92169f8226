"""What releases made from the same patients have spent of their privacy together, and whether the next one may still go out.

    python -m tasks.budget < runs.json

Given [{"accounts": [...], "delta": 1e-5}, ...], prints the epsilon of each, null where it is not finite. The accountants bring torch
with them, so they run in this process of their own.
"""

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from catalog import ledger, versions
from catalog.ledger import Persons, Row
from schema.errors import GateFailed, SynthmillError
from schema.params import load
from schema.policy import Budget
from schema.privacy import PrivacyAccount
from schema.settings import ROOT

Runs = tuple[list[PrivacyAccount], float]


@dataclass(frozen=True)
class Group:
    """A release and the others that share at least one person in training with it. `models`: theirs, each once, since what is drawn
    from the same weights spends nothing more (post-processing, Dwork and Roth 2014, proposition 2.1). `unknown`: tags of which it cannot
    be told whether they share anybody, which counts as if they did. `why`: why no finite epsilon follows, in words.
    """

    row: Row
    others: list[Row]
    unknown: list[str]
    models: list[Row]
    why: str | None

    @property
    def accounts(self) -> list[PrivacyAccount]:
        return [row.account for row in self.models]


def group(row: Row, rows: list[Row]) -> Group:
    """The group of a release among `rows`. Raises IntegrityError for lists of persons that were changed.

    A person's loss is what counts, so the group is not transitive: who is in two releases is not harmed by a third that they are not in.
    """
    persons = Persons(rows)
    others, unknown = [], []
    for other in rows:
        if (other.tag, other.digest) == (row.tag, row.digest):
            continue
        shared = persons.share(row, other)
        if shared is None:
            unknown.append(other.tag)
        if shared is not False:
            others.append(other)
    models = list({one.model: one for one in [*others, row]}.values())
    return Group(row, others, unknown, models, _no_bound(models))


def demand(dataset: str) -> None:
    """Raises GateFailed where the release in data/releases/<dataset> and those before it spend more than the policy's budget together."""
    allowed = load().dataset(dataset).policy.budget
    if allowed is None:
        return
    ledger.rebuild()
    found = group(ledger.candidate(dataset), ledger.rows())
    together, alone = epsilons([(found.accounts, allowed.delta), ([found.row.account] if found.row.account else [], allowed.delta)])
    if found.why is None and together is not None and together <= allowed.epsilon:
        return
    raise GateFailed(_refusal(dataset, found, allowed, together, alone))


def table() -> dict[str, Any]:
    """The ledger as plain values: {"releases": [...], "recalls": [...], "missing": [tags that have no row]}.

    Each release with `group`: the others that share a person with it, and the epsilon of all of them together at `delta`, None with
    the words in `why`. Raises IntegrityError where the ledger was tampered with.
    """
    rows, recalls = ledger.read()
    groups = [group(row, rows) for row in rows]
    deltas = [max((account.delta for account in found.accounts if account), default=1e-5) for found in groups]
    asked = [(found.accounts, delta) for found, delta in zip(groups, deltas, strict=True) if not found.why]
    numbers = iter(epsilons(asked))
    entered = {(row.tag, row.digest) for row in rows}
    return {
        "releases": [_told(found, delta, None if found.why else next(numbers)) for found, delta in zip(groups, deltas, strict=True)],
        "recalls": recalls,
        "missing": [one.tag for one in versions.releases() if (one.tag, one.digests.together) not in entered],
    }


def epsilons(asked: list[Runs]) -> list[float | None]:
    """The epsilon of each list of runs together at its delta, None where it is not finite; of no run 0."""
    if not any(accounts for accounts, _ in asked):
        return [0.0 for _ in asked]
    given = [{"accounts": [one.model_dump(mode="json") for one in accounts if one], "delta": delta} for accounts, delta in asked]
    command = [sys.executable, "-m", "tasks.budget"]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SynthmillError(f"what was spent could not be added up: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def _no_bound(models: list[Row]) -> str | None:
    """Why no finite epsilon follows from these models together, in words."""
    from models.accounting import incomparable

    without = [row.tag for row in models if row.account is None]
    if without:
        return f"{', '.join(without)} claims no differential privacy, so what it spends has no bound"
    void = [row.tag for row in models if row.attacks_by_gate.get("dp-claim", {}).get("status", "PASS") != "PASS"]
    if void:
        return f"the gate dp-claim did not confirm what {', '.join(void)} claims"
    return incomparable([row.account for row in models])


def _refusal(dataset: str, found: Group, allowed: Budget, together: float | None, alone: float | None) -> str:
    tag = found.row.tag
    bound = f"epsilon {allowed.epsilon:g} at delta {allowed.delta:g} (datasets.{dataset}.policy.budget)"
    if not found.others:
        own = found.why or f"it spends epsilon {_number(together)}"
        return f"{tag} is not published: its patients may spend {bound}, and {own}"
    own = f"alone it would spend {_number(alone)}" if found.row.account else "it claims no differential privacy itself"
    lines = [
        f"  {row.tag}: {_claim(row)}{' (not known whether it shares a patient)' if row.tag in found.unknown else ''}"
        for row in found.others
    ]
    sum_ = found.why or f"together they spend epsilon {_number(together)}"
    return (
        f"{tag} is not published: its patients may spend {bound} over all releases, and {sum_}; {own}. Trained on some of the same "
        f"patients, recalled or not:\n" + "\n".join(lines) + "\nTrain with more noise or fewer steps, draw from a model that is released "
        "already, or have the budget raised"
    )


def _claim(row: Row) -> str:
    if row.account is None:
        return "no differential privacy"
    return f"epsilon {row.account.epsilon:.4g} at delta {row.account.delta:g} for each {row.account.unit}, model {row.model[:12]}"


def _number(epsilon: float | None) -> str:
    return "without bound" if epsilon is None else f"{epsilon:.4g}"


def _told(found: Group, delta: float, epsilon: float | None) -> dict[str, Any]:
    row = asdict(found.row) | {"account": found.row.account.model_dump(mode="json") if found.row.account else None}
    why = found.why or (None if epsilon is not None else "the accountants give no finite bound")
    shared = {"releases": [one.tag for one in found.others], "unknown": found.unknown, "models": [one.model for one in found.models]}
    return row | {"group": {**shared, "epsilon": epsilon, "delta": delta, "why": why}}


def main() -> None:
    from models.accounting import composed

    found = []
    for one in json.load(sys.stdin):
        epsilon = composed([PrivacyAccount.model_validate(account) for account in one["accounts"]], one["delta"]).value
        found.append(epsilon if math.isfinite(epsilon) else None)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
