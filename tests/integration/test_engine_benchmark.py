"""The benchmark of the engine: with the tiny model that needs no GPU, and with parts that fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from benchmarks.engine_bench import Bench
from benchmarks.engine_model import build_text_encoder, build_transformer, build_vae
from benchmarks.engine_summary import summarize
from benchmarks.supervised_parts import Figure, Part, run_parts

pytestmark = pytest.mark.long


def run(*options: str, **environment: str) -> list[dict[str, Any]]:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--smoke", *options],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # With a model this small, synchronizing threads takes longer than computing.
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_benchmark_prints_every_figure() -> None:
    """Steps and decoding of ours and stock, each attention kernel, T5, loading, a whole video."""
    # More than any machine that runs this needs: what ends early is tested below.
    lines = run("--budget", "3600")
    found = {
        (one["part"], one["figure"]): one for one in lines if "part" in one and "figure" in one
    }
    for figure in (
        ("step-eager", "step"),
        ("step-stock", "step"),
        ("step-stock-batched", "step"),
        ("attention", "attention"),
        ("decoding", "decoding"),
        ("decoding-channels-last", "decoding"),
        ("decoding-short-stock", "decoding"),
        ("decoding-stock", "decoding"),
        ("text", "text"),
        ("text", "loading"),
    ):
        assert found[figure]["seconds"] > 0, (figure, lines)
    kernels = {one["kernel"]: one for one in lines if one.get("part") == "attention"}
    assert kernels["flash"]["seconds"] > 0
    assert kernels["cudnn"]["failed"], "a CPU has none; the other kernels are measured"
    compared = {one["of"]: one for one in lines if one.get("figure") == "comparison"}
    assert compared["step"]["stock_by_ours"] > 0
    assert compared["decoding"]["stock_by_ours"] > 0
    assert 0 < compared["step"]["of_peak"] < 1
    (video,) = (one for one in lines if one.get("figure") == "video")
    assert video["seconds"] > found["step-eager", "step"]["seconds"] * 64


def test_decoding_on_cpus_prints_every_table() -> None:
    """Ours beside stock with freed memory returned and kept, operators, and memory formats."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.decoding_on_cpus"),
            *("--sizes", "32x32", "--lengths", "1", "--turns", "2"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "x" in line]
    compared, operators, formats = rows[:4], rows[4:6], rows[6:]
    assert [row[:3] for row in compared] == [["1", "32x32", "1"], ["2", "32x32", "1"]] * 2
    assert [row[2] for row in operators] == ["stock", "ours"]
    assert all(float(row[3]) > 0 for row in operators), "a frame this small is no case for oneDNN"
    assert [row[:2] for row in formats] == [
        [name, dtype] for dtype in ("float32", "bfloat16") for name in ("demo", "wider")
    ]
    assert all(float(row[-1].split()[0]) > 0 for row in compared + formats)


def test_without_a_c_compiler_the_others_are_measured() -> None:
    """What would be compiled is named with the reason; a budget of nothing still says all parts."""
    lines = run("--compile", "--budget", "5", PATH="/nowhere", CC="missing")
    reasons = {one["part"]: one["skipped"] for one in lines}
    assert reasons["step-compiled"] == "there is no C compiler"
    assert reasons["step-eager"] == "the budget of 0 s is used up"
    assert reasons["step-stock-batched"] == "the budget of 0 s is used up"


def test_parts_that_fail_die_or_hang_cost_only_themselves() -> None:
    """Each is named with its reason, and its figures so far count; the next has a new process."""
    figures: list[Figure] = []
    parts = [
        Part("first", "tests.faulty_parts:measure"),
        Part("second", "tests.faulty_parts:measure"),
        Part("fails", "tests.faulty_parts:fail"),
        Part("dies", "tests.faulty_parts:die"),
        Part("hangs", "tests.faulty_parts:hang", limit=0.1),
        Part("misspelt", "tests.faulty_parts:mesure"),
        Part("can't run here", "tests.faulty_parts:measure", unable="no GPU"),
        Part("last", "tests.faulty_parts:measure", {"seconds": 2.5}),
    ]
    run_parts(parts, 3600, figures.append)
    failed = {one["part"]: one["failed"] for one in figures if "failed" in one}
    assert failed["fails"].startswith("RuntimeError: CUDA error")
    assert failed["dies"] == "its process died"
    assert failed["hangs"] == "took more than 0.1 s"
    assert "mesure" in failed["misspelt"]
    assert len(failed) == 4
    measured = {one["part"]: one for one in figures if "figure" in one}
    assert list(measured) == ["first", "second", "fails", "hangs", "last"]
    assert measured["first"]["process"] == measured["second"]["process"]
    assert measured["last"]["process"] != measured["first"]["process"]
    assert measured["last"]["seconds"] == 2.5
    assert [one["part"] for one in figures if "skipped" in one] == ["can't run here"]


def test_the_budget_ends_a_run_with_what_it_has() -> None:
    """The part that runs is ended, and those after it are named."""
    figures: list[Figure] = []
    parts = [Part("hangs", "tests.faulty_parts:hang"), Part("next", "tests.faulty_parts:measure")]
    run_parts(parts, 10, figures.append)
    assert figures[-2:] == [
        {"part": "hangs", "failed": "was running when the budget was used up"},
        {"part": "next", "skipped": "the budget of 10 s is used up"},
    ]


def test_random_weights_keep_activations_normal() -> None:
    """Of the order of 1 from the first layer to the last: speeds depend on the values."""
    bench = Bench.open(smoke=True)
    size, device, dtype = bench.size, bench.device, bench.dtype
    with torch.no_grad():
        step = build_transformer(size, device, dtype)(**bench.inputs(7, 1))[0]
        text = build_text_encoder(size, device, dtype)(torch.ones(1, 8, dtype=torch.long))[0]
        frames = build_vae(size, device, dtype).decode(bench.latents(7)[..., :2, :2]).sample
    for values in (step, text, frames):
        assert 0.1 < float(values.std()) < 10


def test_comparisons_are_of_what_the_engine_does() -> None:
    """A faster setting that the engine does not have is no part of the comparison."""
    ours = {"part": "a", "figure": "step", "who": "ours", "frames": 7, "branches": 1, "tflops": 1}
    figures: list[Figure] = [
        ours | {"seconds": 2.0},
        ours | {"seconds": 1.0, "deterministic": False},
        ours | {"seconds": 1.0, "dynamic": False},
        ours | {"seconds": 3.0, "who": "stock"},
        ours | {"seconds": 1.0, "who": "stock", "branches": 2},
    ]
    (compared,) = summarize(figures)
    assert compared["stock_by_ours"] == 1.5
