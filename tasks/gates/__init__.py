"""What stands between the images and the world. A gate is one file here: a class `Plugin` with a `kind`, a `Config` and `measure`.

class Plugin(Gate):
    kind = "my-gate"
    class Config(GateConfig): ...
    def measure(self, real, synthetic): ...
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from schema.images import Images, RealImages
from schema.params import GateConfig
from schema.verdict import Null, Status, judge


@dataclass(frozen=True)
class Finding:
    """What a gate measured; the gate stage adds whose bytes they were and makes it a Verdict. Fields as in `schema.verdict.Verdict`."""

    value: float | None
    interval: tuple[float, float] | None
    null: Null | None
    n: dict[str, int]
    unit: str
    reason: str
    evidence: dict[str, Any]
    status: Status | None = None
    needs: tuple[str, ...] = ()


class Gate:
    """`config` is the checked section `datasets.<name>.gates.<kind>`, `model` the folder of the trained weights."""

    kind: ClassVar[str]
    Config: ClassVar[type[GateConfig]]
    direction: ClassVar[str]
    """`at_most` or `at_least`: on which side of the threshold the excess must lie."""
    method: ClassVar[str]
    """How it measures, with its sources, in a sentence or two that the report prints."""

    def __init__(self, config: Any, model: Path) -> None:
        self.config = config
        self.model = model

    def measure(self, real: RealImages, synthetic: Images) -> Finding:
        """Measures the number, its null and the interval of the excess. Deterministic: the same input, the same finding."""
        raise NotImplementedError

    def status(self, finding: Finding) -> Status:
        return finding.status or judge(finding.value, finding.interval, self.config.threshold, self.direction)
