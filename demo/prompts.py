"""Prompts for scenes: synonyms, several word orders, omitted parts, and filler words."""

from __future__ import annotations

import random
import string
from typing import Final

from demo.scenes import Scene

# Words are drawn uniformly; repeated ones are more likely.
COLOUR_WORDS: Final = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "orange": ("orange", "orange", "amber"),
    "yellow": ("yellow", "yellow", "yellow", "golden"),
    "green": ("green", "green", "green", "emerald"),
    "cyan": ("cyan", "turquoise", "teal"),
    "blue": ("blue", "blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet", "magenta"),
}
SHAPE_WORDS: Final = {
    "circle": ("circle", "circle", "ball", "disc", "dot"),
    "square": ("square", "square", "box", "block"),
    "triangle": ("triangle", "triangle", "pyramid"),
    "cross": ("cross", "cross", "plus"),
}
BACKGROUND_WORDS: Final = {
    "black": ("black", "black", "dark"),
    "white": ("white", "white", "bright", "light"),
}
_VERBS: Final = (
    "moving", "moving", "moves", "going", "sliding", "flying", "drifting", "floating", "travelling",
)  # fmt: skip
_SETTINGS: Final = ("on a", "on a", "over a", "against a", "before a", "in front of a", "with a")
# Filler around the subject. Most of it is tokenized letter by letter, like any unknown word.
_FILLER: Final = (
    "cinematic", "beautiful", "a video of", "an animation of", "4k", "highly detailed", "please",
    "smooth", "minimal", "simple", "a clip of", "in high quality", "slowly", "quickly", "big",
)  # fmt: skip
TRAINED_ORDERS: Final = (
    "{subject} {motion} {place}",
    "{subject} {motion} {place}",
    "{subject} {place} {motion}",
    "{subject} {motion}, {place}",
    "{place}, {subject} {motion}",
    "{motion}, {subject} {place}",
    "{subject}, {motion}, {place}",
)
# Used only in evaluations.
HELD_OUT_ORDERS: Final = (
    "{place} {motion} {subject}",
    "{motion} {place}, {subject}",
    "{subject}: {place}, {motion}",
)
# Share of prompts that omit a part, which the clip then shows at random.
_OMITTED: Final = {"colour": 0.1, "shape": 0.1, "motion": 0.1, "place": 0.4}

PUNCTUATION: Final = ".,;:'\"!?-()"


def training_prompt(scene: Scene, rng: random.Random) -> str:
    """A training prompt for `scene`; it may omit some parts and add filler."""
    skipped = {part for part, share in _OMITTED.items() if rng.random() < share}
    prompt = _fill(rng.choice(TRAINED_ORDERS), scene, rng, skipped)
    if rng.random() < 0.2:  # noqa: PLR2004 - often enough to learn to ignore filler
        filler = rng.choice((*_FILLER, _gibberish(rng)))
        prompt = rng.choice((f"{filler} {prompt}", f"{prompt}, {filler}", f"{prompt} {filler}"))
    if rng.random() < 0.3:  # noqa: PLR2004 - many users write full sentences
        prompt += rng.choice((".", "!", "..."))
    return prompt


def evaluation_prompt(scene: Scene, rng: random.Random) -> str:
    """A prompt that names all parts of `scene`, in a word order that is held out of training."""
    return _fill(rng.choice(HELD_OUT_ORDERS), scene, rng, set())


def vocabulary() -> list[str]:
    """The words with a token of their own: all that describe scenes, and common function words."""
    words = {
        word
        for table in (COLOUR_WORDS, SHAPE_WORDS, BACKGROUND_WORDS)
        for choices in table.values()
        for word in choices
    }
    words |= {word for setting in _SETTINGS for word in setting.split()} | set(_VERBS)
    words |= set("left right up down top bottom upwards downwards diagonally from to the".split())  # noqa: SIM905 - a sentence is easier to read and to extend than a list
    words |= set("an and in of at for by it is that shape background video animation".split())  # noqa: SIM905 - as above
    return sorted(words)


def _fill(order: str, scene: Scene, rng: random.Random, skipped: set[str]) -> str:
    colour = "" if "colour" in skipped else rng.choice(COLOUR_WORDS[scene.colour])
    shape = "shape" if "shape" in skipped else rng.choice(SHAPE_WORDS[scene.shape])
    subject = f"{colour} {shape}".strip()
    if rng.random() < 0.1:  # noqa: PLR2004 - some users write "circle in red"
        subject = f"{shape} in {colour}" if colour else shape
    article = "an" if subject[0] in "aeiou" else "a"
    subject = rng.choice(
        (f"{article} {subject}", f"{article} {subject}", f"the {subject}", subject)
    )
    motion = "" if "motion" in skipped else _motion(scene.direction, rng)
    place = "" if "place" in skipped else _place(scene.background, rng)
    filled = order.format(subject=subject, motion=motion, place=place)
    words = filled.replace(" ,", ",").strip(" ,").split()
    return " ".join(words).replace(",,", ",")


def _motion(direction: str, rng: random.Random) -> str:
    verb = rng.choice(_VERBS)
    if " " in direction:
        vertical, horizontal = direction.split()
        toward = rng.choice(
            (
                f"{vertical} and to the {horizontal}",
                f"{vertical} and {horizontal}",
                f"diagonally {vertical} and {horizontal}",
                f"{vertical} {horizontal}",
            )
        )
        return f"{verb} {toward}"
    sideways = {"right": "from left to right", "left": "from right to left"}
    upright = {"up": "from bottom to top", "down": "from top to bottom"}
    crossing = (sideways | upright)[direction]
    plain = f"to the {direction}" if direction in sideways else f"{direction}wards"
    return f"{verb} {rng.choice((direction, direction, plain, crossing))}"


def _place(background: str, rng: random.Random) -> str:
    word = rng.choice(BACKGROUND_WORDS[background])
    return rng.choice((f"{rng.choice(_SETTINGS)} {word} background", f"on {word}"))


def _gibberish(rng: random.Random) -> str:
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 9)))
