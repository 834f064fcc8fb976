"""The demo model's training prompts, and the scenes and word orders that are held out."""

from __future__ import annotations

import random

from demo import components
from demo.prompts import (
    BACKGROUND_WORDS,
    COLOUR_WORDS,
    HELD_OUT_ORDERS,
    SHAPE_WORDS,
    TRAINED_ORDERS,
    evaluation_prompt,
    training_prompt,
    vocabulary,
)
from demo.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, SHAPES, list_scenes

# "from top to bottom" names both ends.
BOTH_ENDS = {"down": ("top", "bottom"), "up": ("top", "bottom"), "left": (), "right": ()}


def test_some_combinations_are_held_out() -> None:
    """Each is on one side, and both sides have every colour, shape, direction and background."""
    trained, held_out = set(list_scenes(held_out=False)), set(list_scenes(held_out=True))
    every = trained | held_out
    assert not trained & held_out
    assert len(every) == len(COLOURS) * len(SHAPES) * len(DIRECTIONS) * len(BACKGROUNDS)
    assert 0.08 < len(held_out) / len(every) < 0.2
    for side in (trained, held_out):
        assert {scene.colour for scene in side} == set(COLOURS)
        assert {scene.shape for scene in side} == set(SHAPES)
        assert {scene.direction for scene in side} == set(DIRECTIONS)
        assert {scene.background for scene in side} == set(BACKGROUNDS)


def test_an_evaluation_prompt_names_its_whole_scene() -> None:
    """Colour, shape, direction and background are named, each by one of its words."""
    rng = random.Random(1)
    for scene in list_scenes(held_out=True):
        words = set(evaluation_prompt(scene, rng).replace(",", " ").replace(":", " ").split())
        assert words & set(COLOUR_WORDS[scene.colour])
        assert words & set(SHAPE_WORDS[scene.shape])
        assert words & set(BACKGROUND_WORDS[scene.background])
        for direction in scene.direction.split():
            assert {direction, f"{direction}wards", *BOTH_ENDS[direction]} & words


def test_evaluation_word_orders_are_never_trained() -> None:
    """The lists are disjoint, and no training prompt has a colon, which one held-out order has."""
    assert not set(TRAINED_ORDERS) & set(HELD_OUT_ORDERS)
    rng, trained = random.Random(1), list_scenes(held_out=False)
    assert not [1 for _ in range(2000) if ":" in training_prompt(rng.choice(trained), rng)]


def test_each_word_is_one_token_in_both_cases() -> None:
    """No word of the vocabulary is split, and capitalized tokens map to lower-case ones."""
    tokenizer = components.tokenizer()
    lowercase_of = components.lowercase_tokens(tokenizer)
    for word in vocabulary():
        (lowercase,) = tokenizer(word, add_special_tokens=False).input_ids
        (capitalized,) = tokenizer(word.capitalize(), add_special_tokens=False).input_ids
        assert lowercase_of[capitalized] == lowercase


def test_unknown_words_are_split_into_letters() -> None:
    """An unknown word becomes its letters, not the token for unknown words."""
    tokenizer = components.tokenizer()
    ids = tokenizer("giraffe", add_special_tokens=False).input_ids
    assert len(ids) >= len("giraffe")
    assert tokenizer.unk_token_id not in ids
