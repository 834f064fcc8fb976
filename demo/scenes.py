"""The scenes that the demo model can show: one coloured shape moving over a plain background."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import dataclass
from typing import Final

# RGB, 0 to 255; distinct enough from each other and from both backgrounds even when blurred.
COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (225, 40, 45),
    "orange": (250, 135, 25),
    "yellow": (245, 220, 50),
    "green": (40, 165, 70),
    "cyan": (50, 205, 220),
    "blue": (45, 80, 235),
    "purple": (150, 55, 195),
}
BACKGROUNDS: Final[dict[str, tuple[int, int, int]]] = {
    "black": (20, 20, 24),
    "white": (238, 238, 234),
}
SHAPES: Final = ("circle", "square", "triangle", "cross")
# Unit vectors, x to the right and y downwards.
_D: Final = 0.5**0.5
DIRECTIONS: Final[dict[str, tuple[float, float]]] = {
    "right": (1.0, 0.0),
    "down right": (_D, _D),
    "down": (0.0, 1.0),
    "down left": (-_D, _D),
    "left": (-1.0, 0.0),
    "up left": (-_D, -_D),
    "up": (0.0, -1.0),
    "up right": (_D, -_D),
}
# One in this many combinations is held out of training, for evaluation.
_HELD_OUT_OF: Final = 8


@dataclass(frozen=True)
class Scene:
    """What a clip shows; each field is a name from the tables above."""

    colour: str
    shape: str
    direction: str
    background: str

    @property
    def held_out(self) -> bool:
        """Whether this combination is held out of training."""
        name = f"{self.colour} {self.shape} {self.direction} {self.background}"
        return hashlib.sha256(name.encode()).digest()[0] % _HELD_OUT_OF == 0


def list_scenes(*, held_out: bool) -> list[Scene]:
    """All combinations that are held out of training, or all that are not."""
    parts = (COLOURS, SHAPES, DIRECTIONS, BACKGROUNDS)
    every = [Scene(*names) for names in itertools.product(*parts)]
    return [scene for scene in every if scene.held_out == held_out]


def sample_scenes(rng: random.Random, choices: list[Scene], count: int) -> list[Scene]:
    """`count` of `choices`, drawn uniformly with replacement."""
    return [rng.choice(choices) for _ in range(count)]
