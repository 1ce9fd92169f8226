"""What every part of params.yaml has in common."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """A part of params.yaml. Unknown keys are refused and nothing can be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _in_quotes(given: Any) -> Any:
    if isinstance(given, date):
        raise ValueError(f"write it in quotes, '{given}': DVC, which reads this file too, knows no dates")
    return given


Day = Annotated[date, BeforeValidator(_in_quotes)]
"""A day as params.yaml has it: ISO 8601, in quotes."""
