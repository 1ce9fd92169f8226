"""The words of a text-to-image model: CLIP's tokenizer with a vocabulary of one's own, and words that mean nothing yet."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from schema.errors import UsageError

END = "</w>"
"""What CLIP's vocabulary puts behind a piece that ends a word."""
TRIPLES = (
    "bgk",
    "dvx",
    "fzq",
    "gwj",
    "hxk",
    "jbv",
    "kfz",
    "lqx",
    "mzk",
    "nvj",
    "pxq",
    "qgd",
    "rzf",
    "sqk",
    "tjx",
    "vkb",
    "wqz",
    "xdf",
    "zbn",
    "cgx",
    "fjw",
    "khq",
    "ljz",
    "mxv",
    "npz",
    "qkv",
    "rjg",
    "svz",
    "twx",
    "vqh",
)
"""Words of the tiny vocabulary that mean nothing, for classes to take as theirs."""


def build_tokenizer(words: Iterable[str], length: int = 77) -> Any:
    """A CLIP tokenizer to which each of `words`, and each of TRIPLES, is one token; anything else it spells byte by byte.

    Its vocabulary is laid out as CLIP's own: the bytes, the bytes that end a word, what was merged, start and end.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(bytes_of.alphabet())
    merges = learn_merges([bytes_of.pre_tokenize_str(word.lower())[0][0] for word in dict.fromkeys([*words, *TRIPLES])])
    entries = [*alphabet, *(f"{byte}{END}" for byte in alphabet), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: place for place, entry in enumerate(dict.fromkeys(entries))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """The merges of byte pairs that make each word whole, the most frequent pair first and of equals the first in the alphabet.

    Sennrich, Haddow, Birch, "Neural machine translation of rare words with subword units", ACL 2016 (arXiv:1508.07909), algorithm 1. The
    trainer of the package tokenizers orders equals by chance, so that a seed would not mean the same weights."""
    spelled = [[*word[:-1], word[-1] + END] for word in words]
    merges = []
    while pairs := Counter(pair for word in spelled for pair in itertools.pairwise(word)):
        pair = min(pairs, key=lambda each: (-pairs[each], each))
        merges.append(pair)
        spelled = [_merge(word, pair) for word in spelled]
    return merges


def _merge(word: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(word):
        width = 2 if tuple(word[place : place + 2]) == pair else 1
        found.append("".join(word[place : place + width]))
        place += width
    return found


def is_one_token(tokenizer: Any, word: str) -> bool:
    return len(tokenizer(word, add_special_tokens=False).input_ids) == 1


def rare_tokens(tokenizer: Any, n: int) -> list[str]:
    """`n` words of three letters that are one token each and that the vocabulary learned last, so seldom had to do with anything.

    Ruiz et al. 2023 (arXiv:2208.12242), section 3.2, look for rare tokens of up to three characters; in a vocabulary of byte pairs the
    rarest are the ones merged last. Words with a vowel may mean something and are passed over. Raises ValueError for too few.
    """
    added, found = tokenizer.get_added_vocab(), []
    for entry, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: -item[1]):
        word = entry.removesuffix(END)
        if entry.endswith(END) and entry not in added and re.fullmatch(r"[b-df-hj-np-tv-xz]{3}", word) and is_one_token(tokenizer, word):
            found.append(word)
            if len(found) == n:
                return found
    raise ValueError(f"the vocabulary has {len(found)} rare tokens and there are {n} classes: name a token for each in train.tokens")


def add_tokens(tokenizer: Any, text_encoder: Any, words: Iterable[str], seed: int) -> None:
    """Makes each of `words` one token: one that is not yet is added, its embedding drawn like those there are.

    Raises ValueError for a word that the tokenizer cannot keep whole."""
    strange = [word for word in words if not is_one_token(tokenizer, word)]
    if not strange:
        return
    tokenizer.add_tokens(strange)
    for word in strange:
        if not is_one_token(tokenizer, word):
            raise ValueError(f"the tokenizer cannot make {word!r} one token: give its class another in train.tokens")
    old = text_encoder.get_input_embeddings().weight.detach()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((len(tokenizer) - len(old), old.shape[1]), generator=generator)
    mean, spread = old.mean(0), old.std(0)
    text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        text_encoder.get_input_embeddings().weight[len(old) :] = mean + spread * drawn.to(mean.device)


def token_ids(tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
    """int64, N x the tokenizer's length. Raises UsageError for a prompt that is longer, which would lose its end unseen."""
    longest = tokenizer.model_max_length
    for prompt in prompts:
        length = len(tokenizer(prompt).input_ids)
        if length > longest:
            raise UsageError(f"the prompt {prompt!r} is {length} tokens long and the text encoder reads {longest}: shorten train.prompt")
    return tokenizer(list(prompts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt").input_ids
