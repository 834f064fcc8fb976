"""The benchmark of the engine, with the tiny model that needs no GPU."""

from __future__ import annotations

import os
import re
import subprocess
import sys


def test_the_benchmark_prints_every_table() -> None:
    """The matrix peak, steps and decoding (stock and ours), T5, loading, and a whole video."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--smoke"],
        capture_output=True,
        text=True,
        check=True,
        # With a model this small, synchronizing threads takes longer than computing.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    number = r"[\d.]+"
    for line in (
        rf"Measured matrix peak: {number} TFLOP/s",
        rf"\| 7 \| stock \| {number} \| {number} \| {number} \| {number}% \| 1.00 \|",
        rf"\| 7 \| ours \| {number} \| {number} \| {number} \| {number}% \| {number} \|",
        rf"\| 7 \| stock, tiled \| {number} \| {number} \| {number} \|",
        rf"\| 7 \| ours, streaming \| {number} \| {number} \| {number} \|",
        rf"T5, one prompt of 256 tokens: {number} s",
        rf"T5's weights .*: {number} GiB in {number} s, {number} GiB/s",
        rf"\| 7 \| {number} \|",
    ):
        assert re.search(f"^{line}$", done.stdout, re.MULTILINE), (line, done.stdout)
