"""Who was withdrawn from a dataset: data/withdrawn/<dataset>.json, by keyed id. Private, and not in DVC: what `scan` writes covers it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from schema.digest import read_json, write_json
from schema.errors import SynthmillError
from schema.settings import root


class Withdrawn(BaseModel):
    """`patients`: {keyed patient: the split that they were dealt to, None where they were in none}. `key`: what tells the id key from
    another; empty before the first withdrawal."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str = ""
    patients: dict[str, str | None] = {}

    @classmethod
    def of(cls, dataset: str) -> "Withdrawn":
        """Nobody where there is no file. Raises SynthmillError for one that is damaged."""
        path = withdrawn_file(dataset)
        if not path.is_file():
            return cls()
        try:
            return cls.model_validate(read_json(path))
        except (ValueError, ValidationError):
            raise SynthmillError(
                f"{path} is damaged, and says who was withdrawn: put it back from a copy; without it they come back into the dataset"
            ) from None

    def save(self, dataset: str) -> None:
        write_json(withdrawn_file(dataset), {"key": self.key, "patients": dict(sorted(self.patients.items()))})


def withdrawn_file(dataset: str) -> Path:
    return root() / "data" / "withdrawn" / f"{dataset}.json"
