"""A CSV of labels, read whole and checked. Rows are counted as a spreadsheet counts them: the header is row 1."""

import codecs
import csv
import re
from collections.abc import Iterator
from pathlib import Path

from schema.errors import SynthmillError, UsageError
from schema.params import nearest
from schema.settings import data_root
from tasks.sources._decode import SUFFIXES

IDENTIFIES = re.compile(r"\d{3}")

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Table:
    """`header`: the names of the columns; `rows`: (number, cells) of every row that is not blank, at least one, cells stripped.

    `name` is what messages call the file; no message has more of it than names of columns. A byte order mark decides the encoding,
    else it is `encoding`. The cells are separated by what separates the names in the header: a comma, a semicolon or a tab.
    Raises SynthmillError for a file in another encoding, not CSV, empty, ragged or with two columns of one name.
    """

    def __init__(self, path: Path, name: str, encoding: str = "utf-8") -> None:
        self.name = name
        self._path = path
        rows = self._read(encoding)
        if not rows:
            raise self.fault("it is empty: write a header and rows")
        if len(rows) == 1:
            raise self.fault("it has no rows below its header: write one for each image")
        self.header = rows[0][1]
        self.rows = rows[1:]
        self._check()

    def _check(self) -> None:
        twice = sorted({name for name in self.header if name and self.header.count(name) > 1})
        if twice:
            which = repr(twice[0]) if self._names_columns() else "of one name"
            raise self.fault(f"it has {self.header.count(twice[0])} columns {which}: name them apart")
        for number, cells in self.rows:
            # Some official files end every line with a comma; anything in a cell too many means that a value holds a comma.
            if len(cells) < len(self.header) or any(cells[len(self.header) :]):
                raise self.fault(
                    f"row {number} has {len(cells)} cells, the header {len(self.header)}: "
                    f"quote values that hold {SEPARATORS[self._separator]}, and fill up rows that are short"
                )

    def _read(self, encoding: str) -> list[tuple[int, list[str]]]:
        try:
            with self._path.open("rb") as stream:
                start = stream.read(4)
            encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), encoding)
            self._separator = self._separates(encoding)
            return [(number, cells) for number, cells in enumerate(self._records(encoding, self._separator), start=1) if any(cells)]
        except UnicodeError:
            other = "windows-1252 or latin-1" if encoding == "utf-8" else "utf-8"
            raise self.fault(
                f"it is not in the encoding {encoding.removesuffix('-sig')}: save it anew as CSV UTF-8, "
                f"or say in ingest.source.encoding what it is in ({other}, say)"
            ) from None
        except csv.Error as error:
            raise self.fault(f"it is not readable CSV ({error}): save it anew as CSV UTF-8") from None
        except OSError as error:
            raise self.fault(f"it cannot be read ({error.strerror}): mend its permissions") from None

    def _records(self, encoding: str, separator: str) -> Iterator[list[str]]:
        with self._path.open(encoding=encoding, newline="") as stream:
            for cells in csv.reader(stream, strict=True, delimiter=separator):
                if any("\0" in cell for cell in cells):
                    raise self.fault("it holds NUL bytes, as UTF-16 does without its byte order mark: save it anew as CSV UTF-8")
                yield [cell.strip() for cell in cells]

    def _separates(self, encoding: str) -> str:
        """The one separator that parts the header into columns; a comma where there is but one column."""
        parted, faults = {}, []
        for separator in SEPARATORS:
            try:
                parted[separator] = len(next((cells for cells in self._records(encoding, separator) if any(cells)), []))
            except csv.Error as error:  # a quoted name that ends elsewhere than at this separator
                faults.append(error)
        if not parted:
            raise faults[0]
        several = [separator for separator, columns in parted.items() if columns > 1]
        if len(several) > 1:
            raise self.fault(f"its header holds {' and '.join(map(SEPARATORS.get, several))}: put names with one of them in quotes")
        return several[0] if several else next(iter(parted))

    def column(self, name: str, key: str) -> int:
        """Where the column stands that the params key `key` names. Raises SynthmillError where there is none."""
        if name not in self.header:
            if self._names_columns():
                raise self.fault(f"no column {name!r} for {key}{nearest(name, self.header)}; it has: {', '.join(self.header)}")
            raise self.fault(f"no column {name!r} for {key}; its first row does not look like names of columns: write a header above it")
        return self.header.index(name)

    def _names_columns(self) -> bool:
        """Whether the first row can be shown: a table without a header begins with an image, and perhaps with a patient.

        Names of columns have no three digits in a row and end like no file, as those of images do.
        """
        return not any(IDENTIFIES.search(cell) or Path(cell).suffix.lower() in SUFFIXES for cell in self.header)

    def fault(self, what: str) -> SynthmillError:
        return SynthmillError(f"{self.name}: {what}")


def find_csv(name: str, top: Path, folder: str) -> Path:
    """The CSV of `ingest.source.csv`: below `top`, the source's folder, which params.yaml calls `folder`, else below SYNTHMILL_DATA.

    Raises SynthmillError where it is in neither, UsageError for a name that climbs out.
    """
    if ".." in Path(name).parts:
        raise UsageError(f"{name!r} climbs out of its folder: write ingest.source.csv as a path inside it, or an absolute one")
    for path in (base / name for base in (top, data_root()) if base is not None):
        if path.is_file():
            return path
    raise SynthmillError(f"the csv {name!r} is neither in {folder!r} nor in SYNTHMILL_DATA: mend ingest.source.csv")
