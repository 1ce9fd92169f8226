"""Which versions a word names: `^2`, `~2.1`, `>=1.2,<3`, `2.*`, `v2.1.0`.

The grammar is that of PEP 440 specifiers (packaging.specifiers; PEP 440, "Version specifiers"), with npm's two short forms before it
(node-semver, "Caret Ranges" and "Tilde Ranges"):

    v2.1.0, 2.1.0         that version alone
    v2, 2, 2.1, 2.*       any version that begins so
    ^2.1                  >=2.1.0 and below the next MAJOR: records may be added, none change
    ~2.1, ~2.1.3          from there, below the next MINOR: the same records; ~2 is 2.*
    >=1.2,<3              all of these, with == != <= >= < > and ~=
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema.errors import UsageError
from schema.release import Version

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

EXAMPLES = "v1.2.3, ^1, ~1.2, '>=1.2,<3', latest, or the name of a stage such as prod"
SHORT = re.compile(r"(?P<sign>[\^~]?)v?(?P<numbers>\d+(?:\.\d+){0,2})(?P<rest>\.\*|\.x)?")


def specifier(text: str) -> "SpecifierSet":
    """The set of versions that `text` names. Raises UsageError for what is no range."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    parts = [part.strip() for part in text.split(",")]
    try:
        if not all(parts) or len(text) > 100:
            raise InvalidSpecifier(text)
        return SpecifierSet(",".join(map(_long, parts)))
    except InvalidSpecifier:
        raise UsageError(f"{text!r} is not a version or a range of them: write {EXAMPLES}") from None


def matching(text: str, known: Sequence[Version]) -> list[Version]:
    """Of the versions, those that the range names, in the order given. Raises UsageError for what is no range."""
    wanted = specifier(text)
    return [version for version in known if str(version) in wanted]


def nearest(text: str, known: Sequence[Version]) -> list[Version]:
    """Of the versions, lowest first, those next to where a range that names none of them begins: the last before, the first after, the
    highest of all."""
    numbers = [int(number) for number in re.findall(r"\d+", text)[:3]]
    start = Version(*[*numbers, 0, 0, 0][:3])
    below = [version for version in known if version < start]
    return sorted({*below[-1:], *known[len(below) :][:1], *known[-1:]})


def _long(part: str) -> str:
    """A short form as PEP 440 has it; anything else as it is."""
    match = SHORT.fullmatch(part)
    if not match:
        return part
    numbers = [int(number) for number in match["numbers"].split(".")]
    if match["rest"] and (match["sign"] or len(numbers) == 3):
        return part
    if not match["sign"]:
        return f"=={'.'.join(map(str, numbers))}{'' if len(numbers) == 3 else '.*'}"
    # npm: a caret lets everything change but the first number that is not 0, a tilde but the second, or the first where it is alone.
    if match["sign"] == "~":
        place = min(1, len(numbers) - 1)
    else:
        place = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
    end = [*numbers[:place], numbers[place] + 1]
    return f">={'.'.join(map(str, numbers))},<{'.'.join(map(str, end))}"
