"""Words as search compares them: the same whatever database holds them, because they are made here and not by it."""

import re
import unicodedata
from functools import lru_cache

LONGEST = 100
"""Letters of a word that count; no database takes words of any length."""

GAP = "x" * (LONGEST + 1)
"""Stands between the fields of a text, so that no phrase is found across two. No word is as long."""

SYNONYMS = {
    "xray": "radiograph",
    "xrays": "radiograph",
    "radiography": "radiograph",
    "radiogram": "radiograph",
    "cxr": "chest radiograph",
    "mri": "mr",
    "paediatric": "pediatric",
    "dermatoscopy": "dermoscopy",
    "dermoscopic": "dermoscopy",
    "colour": "color",
    "tumour": "tumor",
    "oedema": "edema",
    "grey": "gray",
    "licence": "license",
}
"""Words that mean the same in this field, and the one that stands for them."""


def tokens(text: str) -> list[str]:
    """The words of a text in order, each of a-z and 0-9 alone: no accents, no case, no plural (Harman 1991, the S stemmer), one word
    for those that mean the same. `Chest X-rays` gives chest, radiograph."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)).casefold()
    plain = re.sub(r"\bx[- ]rays?\b", "xray", plain)
    return [token[:LONGEST] for word in re.findall(r"[^\W_]+", plain) for token in _one(word).split()]


@lru_cache(4096)
def key(text: str) -> str:
    """By what labels and values of attributes are compared: their words; where signs may tell two apart (`<40`, `+`), the text itself
    but for case."""
    words = tokens(text)
    return " ".join(words) if words and not re.search(r"[^\w\s-]", text) else " ".join(text.split()).casefold()


def _one(word: str) -> str:
    # Both databases must cut and compare words alike: what is not ASCII is spelt out.
    word = "".join(letter if letter.isascii() else f"u{ord(letter):x}" for letter in word)
    stem = SYNONYMS.get(word) or _singular(word)
    return SYNONYMS.get(stem, stem)


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("us", "ss", "is")):
        return word[:-1]
    return word
