"""The vocabulary of a small text-to-image model, and the words that classes take as theirs."""

import numpy as np
import pytest
import torch

from models.learning import tokens
from schema.errors import UsageError
from tests.models.learning.test_stable_diffusion import WORDS, small


def test_each_word_of_the_small_vocabulary_is_one_token_and_any_text_is_spelled():
    tokenizer = tokens.build_tokenizer(WORDS)
    assert all(tokens.is_one_token(tokenizer, word) for word in [*WORDS, *tokens.TRIPLES])
    assert tokenizer.get_vocab() == tokens.build_tokenizer(WORDS).get_vocab()
    # CLIP's own layout: 256 bytes, 256 that end a word, what was merged, start and end.
    assert tokenizer.eos_token_id == len(tokenizer) - 1
    assert tokenizer.unk_token_id not in tokenizer("señor Müller, 76 y/o", add_special_tokens=False).input_ids


def test_rare_tokens_differ_and_a_new_word_gets_an_embedding_of_its_own():
    parts = small()
    rare = tokens.rare_tokens(parts.tokenizer, 7)
    assert len({*rare}) == 7
    assert all(tokens.is_one_token(parts.tokenizer, word) for word in rare)
    with pytest.raises(ValueError, match=r"rare tokens and there are 99 classes: name a token for each in train\.tokens"):
        tokens.rare_tokens(parts.tokenizer, 99)
    before = parts.text_encoder.get_input_embeddings().weight.detach().clone()
    tokens.add_tokens(parts.tokenizer, parts.text_encoder, ["<mel>", "melanoma"], seed=1)
    after = parts.text_encoder.get_input_embeddings().weight.detach()
    assert len(after) == len(before) + 1
    assert torch.equal(after[:-1], before)
    assert tokens.token_ids(parts.tokenizer, ["<mel>"])[0, 1] == len(before)
    again = small()
    tokens.add_tokens(again.tokenizer, again.text_encoder, ["<mel>"], seed=1)
    assert np.array_equal(again.text_encoder.get_input_embeddings().weight.detach(), after)


def test_a_prompt_that_would_lose_its_end_is_refused():
    with pytest.raises(UsageError, match=r"is 82 tokens long and the text encoder reads 77: shorten train\.prompt"):
        tokens.token_ids(small().tokenizer, ["nevus " * 80])
