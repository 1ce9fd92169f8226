"""A CSV of labels, read whole and checked. Rows are counted as a spreadsheet counts them: the header is row 1."""

import csv
from pathlib import Path

from schema.errors import SynthmillError
from schema.params import nearest


class Table:
    """`header`: the names of the columns; `rows`: (number, cells) of every row that is not blank, at least one.

    `name` is what messages call the file. Raises SynthmillError for a file that is not UTF-8, not CSV, empty or ragged.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        rows = self._read(path)
        if not rows:
            raise self.fault("it is empty: write a header and rows")
        if len(rows) == 1:
            raise self.fault("it has no rows below its header: write one for each image")
        self.header = [column.strip() for column in rows[0][1]]
        self.rows = rows[1:]
        for number, cells in self.rows:
            # Some official files end every line with a comma; anything in a cell too many means that a value holds a comma.
            if len(cells) < len(self.header) or any(cells[len(self.header) :]):
                raise self.fault(f"row {number} has {len(cells)} cells, the header {len(self.header)}: quote values that hold a comma")

    def _read(self, path: Path) -> list[tuple[int, list[str]]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as stream:
                numbered = enumerate(csv.reader(stream, strict=True), start=1)
                return [(number, cells) for number, cells in numbered if any(map(str.strip, cells))]
        except UnicodeDecodeError:
            raise self.fault("it is not UTF-8: save it anew as CSV UTF-8") from None
        except csv.Error as error:
            raise self.fault(f"it is not readable CSV ({error}): save it anew as CSV UTF-8") from None
        except OSError as error:
            raise self.fault(f"it cannot be read ({error.strerror}): mend its permissions") from None

    def column(self, name: str, key: str) -> int:
        """Where the column stands that the params key `key` names. Raises SynthmillError unless there is exactly one."""
        if name not in self.header:
            raise self.fault(f"no column {name!r} for {key}{nearest(name, self.header)}; it has: {', '.join(self.header)}")
        if self.header.count(name) > 1:
            raise self.fault(f"it has {self.header.count(name)} columns {name!r} for {key}: name them apart")
        return self.header.index(name)

    def fault(self, what: str) -> SynthmillError:
        return SynthmillError(f"{self.name}: {what}")
