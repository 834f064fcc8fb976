"""How many graphs a start compiles, and how many it takes from the cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local.stack import ROOT
from tests.patience import scaled

# torch's counters belong to the process, so each start is one of its own.
PROGRAM = """
import sys
from pathlib import Path
from functions.generate.engine.model.compile_cache import use_compile_cache
use_compile_cache(Path(sys.argv[1]), "CPU")
import torch
from functions.generate.engine.model.compilation import compile_blocks, count_graphs

class Block(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1

class Transformer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.transformer_blocks = torch.nn.ModuleList([Block(), Block()])

transformer = Transformer()
compile_blocks(transformer)
with torch.no_grad():
    for block in transformer.transformer_blocks:
        block(torch.ones(3, 5))
print(*count_graphs())
"""


def _start(folder: Path) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(120),
    )
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def test_a_start_tells_what_it_compiled_and_what_the_cache_had(tmp_path: Path) -> None:
    """Two equal blocks are one graph; the second start takes it from the cache."""
    assert _start(tmp_path) == [1, 0]
    assert _start(tmp_path) == [0, 1]
