"""A mistake as data: what it is about, what was found and wanted, where, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a text file; str() is "FILE:LINE:COLUMN", which editors and terminals open.

    Args:
        file: The path of the file, as it was given.
        line: The line, counted from 1.
        column: The character in the line, counted from 1.

    Example:
        >>> str(Mark("portrait.yaml", 4, 9))
        'portrait.yaml:4:9'
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake: what it is about, what was found, what was wanted, and how to fix it.

    Args:
        subject: What is wrong, such as "edges.low" (a node and its field) or a file's path.
        found: What is there; the whole message if it cannot be split into these parts.
        wanted: What should be there.
        fix: What to do about it, if that is known.
        at: Where it stands in a file, if it does.
        count: How many problems it stands for: more than 1 for those that are not listed.

    Example:
        >>> print(Problem("edges.low", "3.5", "a whole number", "write 3"))
        edges.low
          found:  3.5
          wanted: a whole number
          fix:    write 3
        >>> print(Problem("edges", "RuntimeError: broken"))
        edges: RuntimeError: broken
    """

    subject: str
    found: str
    wanted: str = ""
    fix: str = ""
    at: Mark | None = None
    count: int = field(default=1, repr=False)

    def under(self, subject: str, at: Mark | None = None) -> Problem:
        """The same problem with `subject` and a dot in front of its own subject.

        Args:
            subject: What this problem's own subject is a part of.
            at: Where it stands, if the problem does not say so itself.

        Example:
            >>> Problem("low", "3.5", "a whole number").under("edges").subject
            'edges.low'
        """
        joined = f"{subject}.{self.subject}" if self.subject else subject
        return replace(self, subject=joined, at=self.at or at)

    def as_data(self) -> dict[str, Any]:
        """The problem as plain data for JSON: subject, found, wanted, fix, and where it stands.

        Example:
            >>> Problem("low", "3.5", "a whole number", at=Mark("a.yaml", 4, 9)).as_data()["line"]
            4
        """
        at = self.at
        place = {"file": at.file, "line": at.line, "column": at.column} if at else {}
        parts = {"subject": self.subject, "found": self.found, "wanted": self.wanted}
        return {**place, **parts, "fix": self.fix}

    def as_line(self) -> str:
        """The problem in one line, for a warning: what it is about, what was found, what to do.

        Example:
            >>> Problem("star.steps", "300", "at most 100", "write 50").as_line()
            'star.steps: 300; write 50'
        """
        place = [str(self.at)] if self.at else []
        advice = self.fix or (f"wanted: {self.wanted}" if self.wanted else "")
        text = f"{self.found}; {advice}" if advice else self.found
        return ": ".join([*place, *([self.subject] if self.subject else []), text])

    def __str__(self) -> str:
        head = [str(self.at)] if self.at else []
        head += [self.subject] if self.subject else []
        if self.wanted:
            lines = [": ".join(head), f"  found:  {self.found}", f"  wanted: {self.wanted}"]
        else:
            lines = [": ".join([*head, self.found])]
        if self.fix:
            lines.append(f"  fix:    {self.fix}")
        return "\n".join(lines)


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems in the order of their marks; those without one last.

    Args:
        problems: The problems, with marks in one file.
    """
    no_mark = Mark("", 0, 0)
    return sorted(problems, key=lambda problem: (problem.at is None, problem.at or no_mark))


MAX_PROBLEMS = 100
"""How many problems of a workflow are listed; the others are counted."""

UNLISTED = Problem("", "a problem that is not listed")
"""Stands for a problem that is found after MAX_PROBLEMS others: wording it would take time."""


def first_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The first problems, and if there are more than MAX_PROBLEMS, one that counts the others.

    Args:
        problems: The problems in order; those that were not worded are `UNLISTED`.

    Example:
        >>> print(first_problems([Problem("a", "b")] * 4900)[-1])
        4,800 more problems
    """
    count = sum(problem.count for problem in problems)
    if count <= MAX_PROBLEMS:
        return [*problems]
    listed = [problem for problem in problems if problem is not UNLISTED and problem.count == 1]
    listed = listed[:MAX_PROBLEMS]
    more = count - len(listed)
    return [*listed, Problem("", f"{more:,} more problems", count=more)]
