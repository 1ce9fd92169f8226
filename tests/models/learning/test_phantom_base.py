"""What a base of phantoms is pretrained on, and that it can tell words apart that it never met."""

import numpy as np
import torch

from models.learning.phantom_base import PhantomBase, recoloured
from models.learning.tokens import rare_tokens, token_ids
from tests.models.learning.test_stable_diffusion import small

ASKED = PhantomBase(phantoms="dermoscopy", n=6, autoencoder={"steps": 1}, steps=1)


def test_phantoms_come_with_their_labels_in_turn_and_the_same_each_time():
    pixels, places = ASKED.draw(16, 24, 3)
    assert pixels.shape == (6, 16, 24, 3)
    assert places.tolist() == [0, 1, 2, 0, 1, 2]
    assert np.array_equal(pixels, ASKED.draw(16, 24, 3)[0])
    assert np.abs(ASKED.draw(16, 24, 1)[0][..., 0] - pixels.mean(3)).max() <= 0.5
    assert [*ASKED.condition().values] == ["naevus", "melanoma", "seborrhoeic-keratosis"]


def test_every_second_phantom_is_recoloured_and_keeps_its_shape():
    pixels, _ = ASKED.draw(32, 32, 3)
    made = recoloured(pixels, 0)
    assert np.array_equal(made[::2], pixels[::2])
    for before, after in zip(pixels[1::2], made[1::2], strict=True):
        assert not np.array_equal(before, after)
        # A gamma keeps the order of grey levels: each new channel rises with one of the old.
        for channel in np.moveaxis(after, 2, 0):
            rises = [np.diff(channel.ravel()[np.argsort(old.ravel())].astype(int)).min() >= 0 for old in np.moveaxis(before, 2, 0)]
            assert any(rises)


def test_words_that_the_base_never_met_are_far_apart_to_it():
    """As far apart at their own place as any two states of the text encoder: a fifth of it would go unheard for thousands of steps."""
    parts = small()
    prompts = [f"a photograph of {word} melanoma" for word in rare_tokens(parts.tokenizer, 7)]
    with torch.no_grad():
        states = torch.cat([parts.text_encoder(token_ids(parts.tokenizer, [prompt]))[0] for prompt in prompts])
    assert states.std(0)[4].mean() > 0.5 * states.std()
    assert torch.equal(states[0, :4], states[1, :4])
