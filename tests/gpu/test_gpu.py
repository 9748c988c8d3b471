"""The script for a card works on a CPU in small, and no check can stop the others."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdgraph.nodes.diffusion.tuning.performance import Knobs
from tests.gpu import __main__ as script
from tests.gpu.check import Bench, Check, SkippedError, table
from tests.gpu.knobs import checks
from tests.gpu.runner import run_checks


def _skip(bench: Bench) -> tuple[bool, str]:
    raise SkippedError("no card")


def _raise(bench: Bench) -> tuple[bool, str]:
    raise ValueError("a | b")


def _end(bench: Bench) -> tuple[bool, str]:
    os._exit(3)


def _hang(bench: Bench) -> tuple[bool, str]:
    time.sleep(60)
    return True, "woke up"


def toy_checks() -> Sequence[Check]:
    return [
        Check("skips", "", _skip),
        Check("raises", "", _raise),
        Check("ends", "", _end),
        Check("hangs", "", _hang, limit=0.5),
        Check("works", "1", lambda bench: (True, "1")),
        Check("is wrong", "1", lambda bench: (False, "2")),
    ]


def test_one_check_that_fails_ends_or_hangs_never_stops_the_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "cpu")
    results = list(run_checks(toy_checks, range(6), bench, 120))
    assert [(result.verdict, result.measured) for result in results] == [
        ("skipped", "no card"),
        ("failed", "ValueError: a | b"),
        ("failed", "its process ended with code 3"),
        ("failed", "no result within 0 seconds"),
        ("ok", "1"),
        ("failed", "2"),
    ]
    assert "ValueError: a \\| b" in table(results)


def test_after_the_deadline_the_rest_is_skipped(tmp_path: Path) -> None:
    (result,) = run_checks(toy_checks, [4], Bench(tmp_path, "cpu"), 0)
    assert result.verdict == "skipped" and "were over" in result.measured


def test_every_choice_of_every_knob_is_a_check() -> None:
    names = {check.name for check in checks()}
    assert {"vae: tiled", "attention: sliced", "compile: True", "quantization: nf4"} <= names
    assert not {knob for knob in Knobs.__annotations__ if f"{knob}: " not in " ".join(names)}
    assert "channels_last: False" not in names, "it changes nothing"


@pytest.mark.torch
def test_in_small_it_runs_on_a_cpu_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = script.RESULTS.exists()
    assert script.main(["--small", "--only", "turbo, float16", "peak of text", "fits"]) == 0
    printed = capsys.readouterr().out
    assert "no card" in printed and "| ok |" in printed and "| skipped |" in printed
    assert script.RESULTS.exists() is before
