"""From keyed ids back to the files of the source: for whoever may see them, on the screen and nowhere else."""

from collections.abc import Set

from schema.params import Ingest
from tasks.ingesting.gathering import marked
from tasks.ingesting.keys import keyed
from tasks.ingesting.rows import Rows, rows_file
from tasks.sources import Source


def locate(dataset: str, params: Ingest, source: Source, ids: Set[str]) -> list[dict[str, str]]:
    """[{"id", "what", "where"}] for each unit of the source that an id is of; `what` is record or patient."""
    found = []
    rows = Rows(rows_file(dataset))
    try:
        for mark, unit in marked(dataset, params, source):
            where = ", ".join(map(str, unit.files)) or unit.key
            # Units that were never read, because their reader crashed, are known by their own key alone.
            named = {keyed(dataset, "record", unit.key): "record"}
            if mark is not None and rows.has(mark):
                for facts, _ in rows.facts(mark):
                    named |= {facts["id"]: "record"} | ({facts["patient"]: "patient"} if "patient" in facts else {})
            found += [{"id": identity, "what": named[identity], "where": where} for identity in sorted(ids & named.keys())]
    finally:
        rows.close()
    return found
