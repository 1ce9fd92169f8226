"""Reads a search, in the query language of docs/search.md or in plain words, into a Filter. A parser by hand: one pass, no look back.

    read('modality:"chest radiograph" label:pneumonia>=500 fid<20 epsilon<10').filter
    read("frontal chest x-rays with pneumonia, at least 500, FID under 20, epsilon under 10").filter

A name that is none is refused; a piece that means nothing to us is given back, never dropped in silence.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from catalog.phrases import AFTER, BEFORE, CONNECTORS, FILLERS, IMAGES, LICENSED, NEGATIONS, match
from catalog.query import FIELDS, NUMBERS, RECALLED, STATUSES, Filter, make, nearest, shipped_gates
from catalog.words import tokens
from schema.errors import UsageError

LENGTH = 2000
"""Characters of a search."""

TOKEN = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<number>\d{1,3}(?:,\d{3})+(?![\w,]))|(?P<sign><=|>=|≤|≥|[<>=:])|(?P<comma>,)"""
    r"""|(?P<word>[^\s",:<>=≤≥]+))""",
    re.DOTALL,
)
NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\Z")
SIGNS = {"≤": "<=", "≥": ">="}
BOUNDS = ("<", "<=", ">", ">=", "=")


@dataclass(frozen=True)
class Reading:
    """What a search was understood as, and the pieces of it that were not."""

    filter: Filter
    not_understood: tuple[str, ...] = ()


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    spaced: bool

    @property
    def word(self) -> str:
        """The word, without the marks that end a sentence or a bracket."""
        return self.text.lstrip("([").rstrip(".;?!)]").casefold() if self.kind == "word" else ""


END = Token("end", "", True)


def read(text: str, gates: Collection[str] | None = None) -> Reading:
    """`gates`: the names that a gate may have; those of this checkout unless given. Raises UsageError naming the nearest that there is."""
    if len(text) > LENGTH:
        raise UsageError(f"the search has {len(text)} characters: {LENGTH} are allowed")
    return _Parser(_split(text), frozenset(gates) if gates is not None else shipped_gates()).run()


def _split(text: str) -> list[Token]:
    found, at = [], 0
    while text[at:].strip():
        piece = TOKEN.match(text, at)
        if piece is None:
            raise UsageError(f'a quote is not closed: {text[at:].strip()!r}; write it as "two words"')
        kind, said = piece.lastgroup, piece.group(piece.lastgroup)
        if kind == "quoted":
            said = re.sub(r"\\(.)", r"\1", said[1:-1], flags=re.DOTALL)
        elif kind == "number":
            kind, said = "word", said.replace(",", "")
        elif kind == "sign":
            said = SIGNS.get(said, said)
        found.append(Token(kind, said, piece.start(piece.lastgroup) > at))
        at = piece.end()
    return found


@dataclass
class _Parser:
    tokens: list[Token]
    gates: frozenset[str]
    at: int = 0
    said: dict[str, Any] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    topic: str = ""
    """What a bare `at least 500` is about: a label just named, else images."""

    def run(self) -> Reading:
        while self.at < len(self.tokens):
            self._item()
        return Reading(make(**self.said), tuple(self.strange))

    def peek(self, ahead: int = 0) -> Token:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else END

    def take(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def add(self, name: str, *values: Any) -> None:
        self.said[name] = (*self.said.get(name, ()), *values)

    def _item(self) -> None:
        token, after = self.peek(), self.peek(1)
        if token.kind == "word" and after.kind == "sign":
            self.at += 2
            self._field(token.text) if after.text == ":" else self._bound(token.text, after.text)
        elif token.kind == "quoted":
            self.add("text", self.take().text)
        elif token.kind == "sign":
            self.strange.append(self.take().text)
        elif token.kind == "comma":
            self.take()
        else:
            self._words()

    # The query language

    def _field(self, given: str) -> None:
        name = given.casefold()
        if name.startswith("attribute."):
            self.add("attribute", {"attribute": given[len("attribute.") :], **self._count(given)})
        elif name == "label":
            self.add("label", self._count(given))
        elif name in ("text", "dataset", "release", "modality", "license", "licence"):
            self.add("license" if name == "licence" else name, *self._values(given))
        elif name == "seed":
            self.said["seed"] = self._seeds(self._text(given))
        elif name == "latest":
            self.said["latest"] = self._one_of(given, ("yes", "no")) == "yes"
        elif name == "recalled":
            self.said["recalled"] = self._one_of(given, RECALLED)
        elif name in self.gates:
            self.add("verdict", {"gate": name, "status": self._one_of(given, STATUSES)})
        elif name in NUMBERS or name == "published":
            raise UsageError(f"{given} is compared with <, <=, >, >= or =, as in {given}<10")
        else:
            known = (*FIELDS, *NUMBERS, "published", *sorted(self.gates))
            raise UsageError(f"no field is called {given!r}{nearest(name, known)}; there are: {', '.join(known)}, and attribute.NAME")

    def _bound(self, given: str, op: str) -> None:
        name = given.casefold()
        if name == "published":
            self.add("published", {"op": op, "day": self._day(self._text(given))})
        elif name in NUMBERS or name in self.gates:
            self.add("number" if name in NUMBERS else "gate", {"name": name, "op": op, "value": self._number(given)})
        elif name in FIELDS or name.startswith("attribute."):
            raise UsageError(f"{given} takes a colon, as in {given}:{'pneumonia>=500' if name == 'label' else 'VALUE'}")
        else:
            known = (*NUMBERS, "published", *sorted(self.gates))
            raise UsageError(f"{given!r} is no number of a release and no gate{nearest(name, known)}; there are: {', '.join(known)}")

    def _text(self, name: str) -> str:
        if self.peek().kind not in ("word", "quoted"):
            raise UsageError(f"{name} has no value: write one after it, in quotes if it has spaces")
        token = self.take()
        return token.text if token.kind == "quoted" else token.text.rstrip(";?!)")

    def _values(self, name: str) -> list[str]:
        """One value, or several with commas and no spaces between them."""
        found = [self._text(name)]
        while self.peek().kind == "comma" and self.peek(1).kind in ("word", "quoted") and not (self.peek().spaced or self.peek(1).spaced):
            self.take()
            found.append(self._text(name))
        return found

    def _count(self, name: str) -> dict[str, Any]:
        label = self._text(name)
        if self.peek().kind == "sign" and self.peek().text in BOUNDS:
            op = self.take().text
            return {"name": label, "op": op, "value": self._whole(self._number(f"{name}:{label}"))}
        return {"name": label}

    def _one_of(self, name: str, known: tuple[str, ...]) -> str:
        given = self._text(name)
        found = next((each for each in known if each.casefold() == given.casefold()), None)
        if found is None:
            raise UsageError(f"{name}:{given} is not possible{nearest(given, known)}; it is one of: {', '.join(known)}")
        return found

    def _number(self, name: str) -> float:
        given = self._text(name).replace(",", "")
        if not NUMBER.match(given):
            raise UsageError(f"{name} is compared with {given!r}, which is no number")
        return float(given)

    def _whole(self, number: float) -> int:
        if not number.is_integer():
            raise UsageError(f"{number:g} is no number of images: it must be whole")
        return int(number)

    def _seeds(self, given: str) -> tuple[int, int]:
        match_ = re.fullmatch(r"(\d{1,19})(?:\.\.(\d{1,19}))?", given)
        if not match_:
            raise UsageError(f"seed:{given} is no range: write seed:500 or seed:500..600")
        return int(match_[1]), int(match_[2] or match_[1])

    def _day(self, given: str) -> date:
        try:
            return date.fromisoformat(given)
        except ValueError:
            raise UsageError(f"{given!r} is no day: write it as 2026-01-31") from None

    # Plain words

    def _words(self) -> None:
        """A comparison (`FID under 20`), a label (`with pneumonia`), a licence, or a word to be found."""
        ahead = [self.peek(number).word for number in range(8)]
        named = self._named(ahead[0])
        skip = 1 if named else 0
        while named and ahead[skip] in FILLERS:
            skip += 1
        phrase = match(BEFORE, ahead[skip:])
        if phrase and self._numeric(self.peek(skip + phrase[1])):
            self.at += skip + phrase[1]
            return self._compare(phrase[0], named)
        postfix = match(AFTER, ahead[1:])
        if postfix and self._numeric(self.peek()):
            number = self.take()
            self.at += postfix[1]
            return self._about(postfix[0], float(number.word), None)
        if phrase and not named:
            return self._not_understood(phrase[1] + 1)
        if ahead[0] in NEGATIONS:
            return self._not_understood(1, to_the_end=True)
        if ahead[0] in ("or", "between") or self._numeric(self.peek()) or (named and ahead[0] not in IMAGES):
            return self._not_understood(1)
        if ahead[0] in LICENSED and self._is_license(1 + (ahead[1] in ("under", "as"))):
            self.at += 1 + (ahead[1] in ("under", "as"))
            return self.add("license", self.take().text.rstrip(".;?!)"))
        if ahead[0] == "with":
            self.take()
            return self._labels()
        token = self.take()
        if token.word in FILLERS or token.word in IMAGES:
            return None
        return self.add("text", token.text.strip(".;?!()[]")) if tokens(token.text) else self.strange.append(token.text)

    def _named(self, word: str) -> str | None:
        return word if word in NUMBERS or word in self.gates else "images" if word in IMAGES else None

    def _numeric(self, token: Token) -> bool:
        return token.kind == "word" and bool(NUMBER.match(token.word))

    def _is_license(self, ahead: int) -> bool:
        return bool(re.match(r"[A-Z][\w.+-]*[\d.-]", self.peek(ahead).text))

    def _compare(self, op: str, named: str | None) -> None:
        self._about(op, float(self.take().word), named)

    def _about(self, op: str, number: float, named: str | None) -> None:
        """Files a comparison under what it is about: what was named before it or after it, else the label just named, else images."""
        following = self._named(self.peek().word) if named is None else None
        if following and not match(BEFORE, [self.peek(ahead).word for ahead in range(1, 6)]):
            self.take()
            named = following
        if named is None and self.topic:
            *others, last = self.said["label"]
            self.said["label"] = (*others, {**last, "op": op, "value": self._whole(number)})
        elif named in self.gates and named not in NUMBERS:
            self.add("gate", {"name": named, "op": op, "value": number})
        else:
            self.add("number", {"name": named or "images", "op": op, "value": number})
        self.topic = ""

    def _labels(self) -> None:
        """`with pneumonia and lung opacity`: each run of words is a label."""
        run: list[str] = []
        while True:
            token, word = self.peek(), self.peek().word
            ahead = [self.peek(number).word for number in range(8)]
            stop = token.kind != "word" or self.peek(1).kind == "sign" or self._numeric(token) or self._starts_other(ahead)
            if stop or word in CONNECTORS:
                if run:
                    self.add("label", {"name": " ".join(run)})
                    self.topic = run[-1]
                run = []
                if (
                    stop
                    or word != "and"
                    or self._starts_other([*ahead[1:], ""])
                    or self.peek(1).kind != "word"
                    or self.peek(2).kind == "sign"
                ):
                    return
                self.take()
            elif word in FILLERS and not run:
                self.take()
            else:
                run.append(self.take().text.strip(".;?!()[]"))

    def _starts_other(self, ahead: list[str]) -> bool:
        """Whether what follows is a comparison, a licence or what we do not understand, and no label."""
        at = next((number for number, word in enumerate(ahead) if word not in FILLERS), 0)
        if ahead[at] in NEGATIONS or ahead[at] in LICENSED or match(BEFORE, ahead[at:]) or match(AFTER, ahead[at + 1 :]):
            return True
        return bool(self._named(ahead[at])) and (
            ahead[at] in IMAGES or bool(match(BEFORE, [word for word in ahead[at + 1 :] if word not in FILLERS]))
        )

    def _not_understood(self, count: int, to_the_end: bool = False) -> None:
        """Gives back `count` tokens, or all up to the next comma, connector or field."""
        piece = [self.take().text]
        while self.peek().kind in ("word", "quoted") and self.peek(1).kind != "sign" and (to_the_end or len(piece) < count):
            if to_the_end and self.peek().word in ("and", "with", *CONNECTORS):
                break
            piece.append(self.take().text)
        self.strange.append(" ".join(piece))
