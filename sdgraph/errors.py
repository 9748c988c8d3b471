"""Every way sdgraph can fail, as one tree.

SdgraphError                       the root: catch this to catch them all
├── InvalidError                   something a person wrote is wrong; holds all problems found
│   ├── InvalidNodeError           a node was given a wrong field or wire (also a ValueError)
│   └── InvalidWorkflowError       a workflow file, its inputs or its graph
├── NodeDefinitionError            a node class breaks the rules of nodes (also a TypeError)
├── PackError                      a node pack cannot be loaded, or two packs share a name
├── ReportError                    a failure that may keep what was found and wanted apart
│   ├── CheckpointError            a checkpoint is missing, damaged or of the wrong kind
│   ├── MediaError                 a picture or video file cannot be read or written
│   └── OutOfMemoryError           a node wants more memory than there is, whatever was tried
├── InvalidValueError              a value that cannot be what it claims (also a ValueError)
└── NodeFailedError                a node raised while it ran; the cause is chained
    └── NodesFailedError           several nodes raised in a run that kept going
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches


class SdgraphError(Exception):
    """Any failure that sdgraph foresees; its text is meant for the person at the keyboard."""


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake: where, about what, what was found, what was wanted, and how to mend it."""

    subject: str
    found: str
    wanted: str
    fix: str = ""
    at: Mark | None = None

    def under(self, subject: str, at: Mark | None = None) -> Problem:
        """The same problem seen from the outside: `subject` put before its own."""
        joined = f"{subject}.{self.subject}" if self.subject else subject
        return replace(self, subject=joined, at=self.at or at)

    def __str__(self) -> str:
        head = f"{self.at}: {self.subject}" if self.at else self.subject
        lines = [head, f"  found:  {self.found}", f"  wanted: {self.wanted}"]
        if self.fix:
            lines.append(f"  fix:    {self.fix}")
        return "\n".join(lines)


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems by their marks; those without one last."""
    nowhere = Mark("", 0, 0)
    return sorted(problems, key=lambda problem: (problem.at is None, problem.at or nowhere))


class InvalidError(SdgraphError):
    """Something a person wrote is wrong; `problems` holds every mistake, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InvalidError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class InvalidNodeError(InvalidError, ValueError):
    """A node was given a field or a wire it does not take."""


class InvalidWorkflowError(InvalidError):
    """A workflow file, the inputs given to it, or the graph it makes is wrong."""


class NodeDefinitionError(SdgraphError, TypeError):
    """A node class breaks the rules that every node keeps; raised while the class is made."""


class PackError(SdgraphError):
    """A node pack cannot be loaded, or two packs claim one name."""


class ReportError(SdgraphError):
    """A failure told as a text, or as a `problem` that keeps what was found and wanted apart."""

    def __init__(self, what: str | Problem) -> None:
        self.problem = what if isinstance(what, Problem) else None
        super().__init__(str(what))

    def __reduce__(self) -> tuple[type[ReportError], tuple[str | Problem]]:
        return type(self), (self.problem or str(self),)

    def about(self, subject: str, wanted: str) -> Problem:
        """The failure as a problem of `subject`; `wanted` where the text says all else."""
        if self.problem is None:
            return Problem(subject, str(self), wanted)
        found = f"{self.problem.subject}: {self.problem.found}"
        return Problem(subject, found, self.problem.wanted, self.problem.fix)


class CheckpointError(ReportError):
    """A checkpoint is missing, damaged, or of a kind the node cannot use."""


class MediaError(ReportError):
    """A picture or video file cannot be read or written."""


class OutOfMemoryError(ReportError):
    """A node wants more memory than there is, whatever was tried."""


class InvalidValueError(SdgraphError, ValueError):
    """A value cannot be what it claims: a wrong shape, kind, range or size."""


class NodeFailedError(SdgraphError):
    """A node raised while it ran; `__cause__` is what it raised."""

    def __init__(self, node: str, message: str, at: Mark | None = None) -> None:
        self.node = node
        self.message = message
        self.at = at
        super().__init__(f"{at}: {node}: {message}" if at else f"{node}: {message}")

    def __reduce__(self) -> tuple[type[NodeFailedError], tuple[str, str, Mark | None]]:
        return type(self), (self.node, self.message, self.at)


class NodesFailedError(NodeFailedError):
    """Several nodes raised in a run that kept going; it stands for the first of `failures`."""

    def __init__(self, failures: Iterable[NodeFailedError]) -> None:
        self.failures = tuple(failures)
        first = self.failures[0]
        super().__init__(first.node, first.message, first.at)
        self.args = ("\n".join(map(str, self.failures)),)

    def __reduce__(self) -> tuple[type[NodesFailedError], tuple[tuple[NodeFailedError, ...]]]:  # type: ignore[override]
        return type(self), (self.failures,)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` most resembles, or None when nothing is near."""
    candidates = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return candidates[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A fix that names the nearest of `known`, or nothing."""
    found = nearest(word, known)
    return f"did you mean {found!r}?" if found else ""


def out_of_memory(error: BaseException) -> str | None:
    """What an error says if it is one of too little memory, on any device; else None."""
    said = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError | OutOfMemoryError):
        return said or type(error).__name__
    if not isinstance(error, RuntimeError):
        return None
    # torch.OutOfMemoryError on accelerators, by its name for torch need not be here; its
    # allocator for the CPU, and MPS in older versions, raise a plain RuntimeError.
    named = any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)
    return said if named or any(words in said.lower() for words in _WORDS) else None


_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
