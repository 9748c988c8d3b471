"""Every way sdgraph can fail, as one tree.

SdgraphError                    the root: catch this to catch them all; holds every problem found
├── InvalidError                something a person wrote is wrong
│   ├── InvalidNodeError        a node was given a wrong value or input (also a ValueError)
│   └── InvalidWorkflowError    a workflow file, its inputs or its graph
├── InvalidValueError           a value that cannot be what it claims (also a ValueError)
├── NodeDefinitionError         a node class breaks the rules of nodes (also a TypeError)
├── PackError                   a node pack cannot be loaded, or two packs share a name
├── CheckpointError             a checkpoint is missing, damaged or of the wrong kind
├── MediaError                  a picture or video file cannot be read or written
├── OutOfMemoryError            a node needs more memory than there is, whatever was tried
└── NodeFailedError             a node raised an exception, which is the `__cause__`
    └── NodesFailedError        several nodes failed in a run with `keep_going`

The command line and the node library derive a few more from SdgraphError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .problems import MAX_PROBLEMS as MAX_PROBLEMS
from .problems import UNLISTED as UNLISTED
from .problems import Mark as Mark
from .problems import Problem as Problem
from .problems import first_problems as first_problems
from .problems import in_file_order as in_file_order
from .suggestions import did_you_mean as did_you_mean
from .suggestions import nearest as nearest


class SdgraphError(Exception):
    """The base of the exceptions of sdgraph; its text is written for users.

    Args:
        what: One or more problems, or a text, which becomes one problem.

    Raises:
        ValueError: If `what` holds no problem.

    Example:
        >>> error = MediaError(Problem("man.png", "no such file", "a picture"))
        >>> print(error)
        man.png
          found:  no such file
          wanted: a picture
        >>> error.problems[0].found
        'no such file'
    """

    problems: tuple[Problem, ...]
    """Every problem that was found; those with a place in a file are in the order of the file."""

    def __init__(self, what: str | Problem | Iterable[Problem]) -> None:
        self.problems = _problems(what)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))

    def as_problems_of(self, field: str, wanted: str) -> list[Problem]:
        """The problems with a node's field as their subject, such as the field with a path.

        Args:
            field: The name of the field; the old subject is put in front of "found".
            wanted: What the field should name, for a problem that does not say so itself.

        Example:
            >>> error = MediaError(Problem("man.png", "no such file", "a picture"))
            >>> error.as_problems_of("path", wanted="a picture that can be opened")
            [Problem(subject='path', found='man.png: no such file', wanted='a picture', ...)]
        """
        return [
            replace(
                problem,
                subject=field,
                found=": ".join(filter(None, (problem.subject, problem.found))),
                wanted=problem.wanted or wanted,
            )
            for problem in self.problems
        ]


class InvalidError(SdgraphError):
    """Something a person wrote is wrong; `problems` holds every mistake, in file order.

    Example:
        >>> from sdgraph.language import workflow_from_yaml
        >>> text = "nodes: {photo: {type: LoadImag, path: man.png}}"
        >>> try:
        ...     workflow_from_yaml(text, file="portrait.yaml").graph()
        ... except InvalidError as error:
        ...     print(error)
        portrait.yaml:1:23: photo.type
          found:  the type 'LoadImag'
          wanted: a known node type
          fix:    did you mean 'LoadImage'?
    """


class InvalidNodeError(InvalidError, ValueError):
    """A node was given a value or an input that it does not accept.

    Example:
        >>> from sdgraph.nodes import LoadImage
        >>> LoadImage(pat="man.png")
        Traceback (most recent call last):
        sdgraph.errors.InvalidNodeError: LoadImage.path
          found:  nothing
          ...
    """


class InvalidWorkflowError(InvalidError):
    """A workflow file, the inputs given to it, or the graph it makes is wrong.

    It holds the first 100 problems and the number of the others.

    Args:
        what: The problems, or the only one, or its subject.
    """

    def __init__(self, what: str | Problem | Iterable[Problem]) -> None:
        super().__init__(first_problems(_problems(what)))


class InvalidValueError(SdgraphError, ValueError):
    """A value cannot be what it claims: a wrong shape, kind, range or size.

    Example:
        >>> from sdgraph import Checkpoint
        >>> Checkpoint("tiny/inpaint", dtype="float61")
        Traceback (most recent call last):
        sdgraph.errors.InvalidValueError: Checkpoint.dtype
          found:  'float61'
          wanted: one of float32, float16, bfloat16
          fix:    did you mean 'float16'?
    """


class NodeDefinitionError(SdgraphError, TypeError):
    """A node class breaks a rule for nodes; raised when the class is defined."""


class PackError(SdgraphError):
    """A node pack cannot be loaded, or two packs claim one name."""


class CheckpointError(SdgraphError):
    """A checkpoint is missing, damaged, or of a kind the node cannot use."""


class MediaError(SdgraphError):
    """A picture or video file cannot be read or written."""


class OutOfMemoryError(SdgraphError):
    """A node needs more memory than there is, whatever was tried."""


class NodeFailedError(SdgraphError):
    """A node raised an exception while it ran; `__cause__` is that exception.

    Args:
        node: The node's name in its graph.
        what: What went wrong, without the node's name; `problems_in` gives it for any exception.
        at: Where the node stands in its workflow file, if it does.

    Attributes:
        message: What went wrong as text, without the node's name and place.

    Example:
        >>> str(NodeFailedError("edges", "RuntimeError: broken", Mark("portrait.yaml", 4, 3)))
        'portrait.yaml:4:3: edges: RuntimeError: broken'
    """

    def __init__(
        self, node: str, what: str | Problem | Iterable[Problem], at: Mark | None = None
    ) -> None:
        problems = _problems(what)
        super().__init__(_problem_of_node(problem, node, at) for problem in problems)
        self.node = node
        self.at = at
        self.message = "\n".join(str(replace(problem, at=None)) for problem in problems)
        self.args = (node, problems, at)


class NodesFailedError(NodeFailedError):
    """Several nodes failed in a run with `keep_going`; `node` and `message` are the first one's.

    Args:
        failures: The failure of each node, in order of time; at least one.

    Attributes:
        failures: The failures as a tuple.
    """

    def __init__(self, failures: Iterable[NodeFailedError]) -> None:
        self.failures = tuple(failures)
        first = self.failures[0]
        super().__init__(first.node, first.message, first.at)
        self.problems = tuple(problem for failure in self.failures for problem in failure.problems)
        self.args = (self.failures,)


def problems_in(error: BaseException) -> tuple[Problem, ...]:
    """The problems that an exception of sdgraph holds; for any other, one with its class and text.

    Args:
        error: Any exception.

    Example:
        >>> problems_in(KeyError("left"))
        (Problem(subject='', found="KeyError: 'left'", wanted='', fix='', at=None),)
    """
    if isinstance(error, SdgraphError):
        return error.problems
    if isinstance(error, SystemExit):
        wanted = "a result, or an exception that says what is wrong"
        return (Problem("", f"it ended the program with sys.exit({error.code!r})", wanted),)
    text = str(error).strip() or "it gave no reason"
    return (Problem("", f"{type(error).__name__}: {text}"),)


def out_of_memory(error: BaseException) -> str | None:
    """The message of an error that says memory ran out, on any device; None for another error.

    Args:
        error: Any exception, also one of torch.
    """
    text = error.problems[0].found if isinstance(error, OutOfMemoryError) else str(error)
    message = (text.strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError | OutOfMemoryError):
        return message or type(error).__name__
    if not isinstance(error, RuntimeError):
        return None
    # Accelerators raise torch.OutOfMemoryError, found by its name because torch may not be
    # installed; torch's CPU allocator, and MPS in older versions, raise a plain RuntimeError.
    is_from_torch = any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__)
    is_memory_error = is_from_torch or any(text in message.lower() for text in _OUT_OF_MEMORY)
    return message if is_memory_error else None


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def _problems(what: str | Problem | Iterable[Problem]) -> tuple[Problem, ...]:
    if isinstance(what, str):
        return (Problem("", what),)
    problems = (what,) if isinstance(what, Problem) else tuple(what)
    if not problems:
        raise ValueError("an error needs at least one problem")
    return problems


def _problem_of_node(problem: Problem, node: str, at: Mark | None) -> Problem:
    subject = f"{node}: {problem.subject}" if problem.subject else node
    return replace(problem, subject=subject, at=problem.at or at)
