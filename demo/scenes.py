"""What the demo model knows: one coloured shape that moves before a plain background."""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import dataclass
from typing import Final

# RGB, 0 to 255; far enough from each other and from both backgrounds to be told apart when blurred.
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
# Right and down, in lengths of the way; a diagonal is as long as a straight line.
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
# One in so many combinations is never trained, so that an evaluation asks for what nobody has seen.
_HELD_OUT_OF: Final = 8


@dataclass(frozen=True)
class Scene:
    """What a clip shows; each a key of the tables above."""

    colour: str
    shape: str
    direction: str
    background: str

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept from training."""
        name = f"{self.colour} {self.shape} {self.direction} {self.background}"
        return hashlib.sha256(name.encode()).digest()[0] % _HELD_OUT_OF == 0


def scenes(*, held_out: bool) -> list[Scene]:
    """All combinations that are, or that are not, kept from training."""
    parts = (COLOURS, SHAPES, DIRECTIONS, BACKGROUNDS)
    every = [Scene(*names) for names in itertools.product(*parts)]
    return [scene for scene in every if scene.held_out == held_out]


def draw(rng: random.Random, choices: list[Scene], count: int) -> list[Scene]:
    """`count` of `choices`, each as likely as any other."""
    return [rng.choice(choices) for _ in range(count)]
