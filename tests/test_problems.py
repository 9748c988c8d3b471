"""A problem says where, what was found and wanted, and how to fix it."""

from __future__ import annotations

from sdgraph.problems import Mark, Problem

FULL = Problem("edges.low", "3.5", "a whole number", "write 3", Mark("a.yaml", 4, 9))


def test_a_problem_reads_place_subject_found_wanted_fix() -> None:
    assert str(FULL) == (
        "a.yaml:4:9: edges.low\n  found:  3.5\n  wanted: a whole number\n  fix:    write 3"
    )


def test_a_problem_without_fix_or_place_has_no_empty_lines() -> None:
    assert str(Problem("low", "3", "4")) == "low\n  found:  3\n  wanted: 4"


def test_a_problem_that_only_says_what_was_found_is_one_line() -> None:
    assert str(Problem("", "broken")) == "broken"
    assert str(Problem("edges", "broken", at=Mark("f", 1, 2))) == "f:1:2: edges: broken"
    assert str(Problem("edges", "broken", fix="mend it")) == "edges: broken\n  fix:    mend it"


def test_a_problem_seen_from_outside_keeps_its_own_place() -> None:
    inner, outer = Mark("in.yaml", 1, 1), Mark("out.yaml", 2, 2)
    assert Problem("low", "a", "b", at=inner).under("edges", outer).at == inner
    assert Problem("low", "a", "b").under("edges", outer) == Problem(
        "edges.low", "a", "b", at=outer
    )
    assert Problem("", "a", "b").under("edges").subject == "edges"
