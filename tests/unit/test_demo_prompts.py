"""What the demo model is trained on, and what is kept from it."""

from __future__ import annotations

import random

from demo import parts
from demo.prompts import (
    BACKGROUND_WORDS,
    COLOUR_WORDS,
    HELD_OUT_ORDERS,
    SHAPE_WORDS,
    TRAINED_ORDERS,
    ask,
    describe,
    vocabulary,
)
from demo.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, scenes

# "from top to bottom": named by both ends.
OPPOSITE = {"down": ("top", "bottom"), "up": ("top", "bottom"), "left": (), "right": ()}


def test_some_combinations_are_kept_from_training() -> None:
    """Each is on one side; those kept have every colour, shape, direction and background."""
    trained, kept = set(scenes(held_out=False)), set(scenes(held_out=True))
    assert not trained & kept
    assert len(trained | kept) == len(COLOURS) * len(SHAPES) * len(DIRECTIONS) * len(BACKGROUNDS)
    assert 0.08 < len(kept) / len(trained | kept) < 0.2
    for side in (trained, kept):
        assert {scene.colour for scene in side} == set(COLOURS)
        assert {scene.shape for scene in side} == set(SHAPES)
        assert {scene.direction for scene in side} == set(DIRECTIONS)
        assert {scene.background for scene in side} == set(BACKGROUNDS)


def test_a_prompt_of_the_evaluation_says_all_of_its_scene() -> None:
    """Colour, shape, direction and background are named, in one of their words."""
    rng = random.Random(1)
    for scene in scenes(held_out=True):
        words = set(ask(scene, rng).replace(",", " ").replace(":", " ").split())
        assert words & set(COLOUR_WORDS[scene.colour])
        assert words & set(SHAPE_WORDS[scene.shape])
        assert words & set(BACKGROUND_WORDS[scene.background])
        for way in scene.direction.split():
            assert {way, f"{way}wards", *OPPOSITE[way]} & words


def test_orders_of_the_evaluation_are_never_trained() -> None:
    """The lists have nothing in common, and a colon, which one of them has, is in no prompt."""
    assert not set(TRAINED_ORDERS) & set(HELD_OUT_ORDERS)
    rng, trained = random.Random(1), scenes(held_out=False)
    assert not [1 for _ in range(2000) if ":" in describe(rng.choice(trained), rng)]


def test_words_are_tokens_and_capitals_mean_the_same() -> None:
    """No word that matters is spelt by letters; a capital has a token with a small twin."""
    words = parts.tokenizer()
    twins = parts.same_tokens(words)
    for word in vocabulary():
        (small,) = words(word, add_special_tokens=False).input_ids
        (capital,) = words(word.capitalize(), add_special_tokens=False).input_ids
        assert twins[capital] == small


def test_what_is_unknown_is_spelt() -> None:
    """A word that was never seen is letters, not one token for everything unknown."""
    words = parts.tokenizer()
    spelt = words("giraffe", add_special_tokens=False).input_ids
    assert len(spelt) >= len("giraffe")
    assert words.unk_token_id not in spelt
