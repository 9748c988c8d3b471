"""A small share of the stress tests, the same cases each time; `python -m tests.stress` has all."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from .disks import SCENARIOS
from .fuzz import SHARES, run_cases
from .kills import SIGNALS, kill_once
from .memory import ALLOWED, measure
from .mutated_runs import run_cases as run_mutated
from .mutations import mutate_bytes, mutate_data, mutate_text
from .place import Place

MODELS = (pytest.mark.slow, pytest.mark.torch)


KINDS = [pytest.param(kind, marks=MODELS if kind == "loads" else ()) for kind in SHARES]


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_makes_the_command_line_fail_in_an_unknown_way(kind: str) -> None:
    counts, failures = run_cases(range(2 * SHARES[kind]), 1, kind)
    assert counts[kind] == 2 * SHARES[kind] and failures == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_mutation_of_many_does(kind: str) -> None:
    assert run_cases(range(20 * SHARES[kind]), 2, kind)[1] == {}


def test_the_same_seed_makes_the_same_mutations() -> None:
    data = {"a": [1, 2.5, "x"], "b": {"c": None}}
    for seed in range(50):
        first, second = Random(seed), Random(seed)
        assert mutate_text("one: two\n", first, 3) == mutate_text("one: two\n", second, 3)
        assert repr(mutate_data(data, first, 3)) == repr(mutate_data(data, second, 3))
        assert mutate_bytes(b"abc" * 9, first, 3) == mutate_bytes(b"abc" * 9, second, 3)
    assert data == {"a": [1, 2.5, "x"], "b": {"c": None}}


@pytest.mark.slow
@pytest.mark.torch
def test_a_mutated_workflow_makes_what_its_nodes_make_in_python() -> None:
    counts, faults = run_mutated(10, 1)
    assert faults == [] and counts["equal"] >= 5


@pytest.mark.slow
def test_no_kill_leaves_half_a_file_or_a_store_that_is_wrong(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in SIGNALS:
        random = Random(name)
        assert [fault for _ in range(4) if (fault := kill_once(place, random, name)[2])] == []


@pytest.mark.slow
def test_no_disk_makes_a_run_wrong(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for scenario in SCENARIOS:
        place.clear()
        assert scenario(place) == "", scenario.__name__


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_runs() -> None:
    first, last = measure(200)
    assert last <= first * (1 + ALLOWED)
