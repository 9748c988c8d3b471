"""What authors of node packs test their nodes with: a check of all promises, a session, toy nodes.

    from sdgraph.testing import check_node
    from mypack import Blur

    def test_blur() -> None:
        check_node(Blur(image=grey_square(8), radius=2))

Importing it imports no torch; `fake_session` loads no weights.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic import Field

from sdgraph.errors import InvalidNodeError
from sdgraph.execution import Session, run
from sdgraph.graph import In, Node
from sdgraph.models import ModelCache, ResolvedPart
from sdgraph.values import Image, content_of

__all__ = [
    "CountingLoader",
    "FakeModule",
    "FakeTensor",
    "ToyAdd",
    "ToyNumber",
    "ToySquare",
    "check_node",
    "fake_session",
    "grey_square",
    "node_problems",
]


@dataclass
class FakeTensor:
    """As much of a tensor as counting its bytes takes."""

    size: int

    def numel(self) -> int:
        """The number of its bytes, each of which counts as an element."""
        return self.size

    def element_size(self) -> int:
        """One byte."""
        return 1


@dataclass(eq=False)
class FakeModule:
    """What `CountingLoader` loads: as much of a torch module as the engine looks at."""

    name: str
    """The folder of the checkpoint that it stands for: "unet", "vae"."""
    size: int
    """Its bytes."""
    device: str = ""

    def parameters(self) -> list[FakeTensor]:
        """One tensor of all its bytes."""
        return [FakeTensor(self.size)]

    def buffers(self) -> list[FakeTensor]:
        """None."""
        return []

    def to(self, device: str) -> FakeModule:
        """Notes where it is now."""
        self.device = device
        return self


@dataclass
class CountingLoader:
    """Loads fakes of the components that a node asks for, and notes which.

    A fake weighs as many bytes as the files of the component.

    Args:
        failing: The components that fail to load, as `str(part)` names them.
        swollen: How many times the bytes of its files a component takes once it is loaded.

    Example:
        >>> loader = CountingLoader()
        >>> session = fake_session(loader)
        >>> loader.loaded
        []
    """

    loaded: list[str] = field(default_factory=list)
    """What was loaded, in order, by name."""
    failing: set[str] = field(default_factory=set)
    swollen: int = 1
    overlaps: int = 0
    """How often a load began while another was going on."""
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, part: ResolvedPart, dtype: str, device: str) -> FakeModule:
        """A fake of the part; raises OSError for one of `failing`."""
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            raise RuntimeError("two loads at once")
        try:
            if str(part) in self.failing:
                raise OSError("the file is torn")
            self.loaded.append(str(part))
            return FakeModule(part.part.folder, part.footprint(dtype) * self.swollen, device)
        finally:
            self._busy.release()


def fake_session(loader: CountingLoader | None = None, *, free_bytes: int = 2**40) -> Session:
    """A session on the CPU that loads fakes and remembers nothing between runs.

    Args:
        loader: Says afterwards what was loaded; a new one if left out.
        free_bytes: The memory that there seems to be, so that evictions can be tested.
    """
    models = ModelCache(loader or CountingLoader(), probe=lambda device: free_bytes, reserve=0)
    return Session(device="cpu", models=models, store=None)


class ToyNumber(Node[int]):
    """A whole number, to wire to ports of the node under test."""

    value: int = Field(default=0, description="the number")

    def run(self) -> int:
        """The number."""
        return self.value


class ToyAdd(Node[int]):
    """The sum of two numbers."""

    a: In[int] = Field(description="a number")
    b: In[int] = Field(default=0, description="another")

    def run(self, a: int, b: int) -> int:
        """The sum."""
        return a + b


class ToySquare(Node[Image]):
    """A grey square, to wire to ports that take a picture."""

    size: int = Field(default=8, ge=1, description="pixels of a side")
    grey: int = Field(default=128, ge=0, le=255, description="from black to white")

    def run(self) -> Image:
        """The square."""
        return grey_square(self.size, self.grey)


def grey_square(size: int = 8, grey: int = 128) -> Image:
    """A picture of size × size pixels of one grey from 0 to 255."""
    return Image(np.full((size, size, 3), grey, np.uint8))


def check_node(
    node: Node[Any],
    *,
    changes: Mapping[str, Any] | None = None,
    session: Session | None = None,
    runs: bool = True,
) -> None:
    """Checks what every node promises, and fails with a line for each promise that is broken.

    1. Its class and each of its fields are described.
    2. Equal fields make an equal node, with the same key; it survives pickling.
    3. Another value of any field makes another key.
    4. It makes a value of the kind that it declares, twice the same, and its inputs stay as they
       were.

    Args:
        node: A node whose ports hold literals or nodes that can run.
        changes: Another valid value for fields where none can be guessed. Numbers, texts,
            switches, choices and pictures need none.
        session: Where it runs; `fake_session()` if left out, which has no real models.
        runs: False leaves out the fourth, for a node whose models are not there.

    Raises:
        AssertionError: A promise is broken; the message says which.

    Example:
        >>> check_node(ToyAdd(a=1, b=2))
        >>> from sdgraph.nodes import Resize
        >>> check_node(Resize(image=grey_square(8), width=4, height=4))
    """
    problems = list(node_problems(node, changes=changes, session=session, runs=runs))
    assert not problems, "\n".join(problems)


def node_problems(
    node: Node[Any],
    *,
    changes: Mapping[str, Any] | None = None,
    session: Session | None = None,
    runs: bool = True,
) -> Iterator[str]:
    """The promises that a node breaks, each in a line; takes what `check_node` takes."""
    yield from _description_problems(type(node))
    yield from _equality_problems(node)
    yield from _key_problems(node, changes or {})
    if runs:
        yield from _run_problems(node, session or fake_session())


def _description_problems(cls: type[Node[Any]]) -> Iterator[str]:
    first = (cls.__doc__ or "").strip().partition("\n")[0]
    if not first or cls.__doc__ == Node.__doc__:
        yield f"{cls.__name__} has no docstring, which lists of nodes show"
    elif not first.endswith("."):
        yield f"{cls.__name__}: the docstring begins with no sentence: {first!r}"
    for name, info in cls.model_fields.items():
        if not info.description:
            yield f"{cls.__name__}.{name} has no description: write Field(description=…)"
    if type(cls.version) is not int or cls.version < 1:
        yield f"{cls.__name__}.version is {cls.version!r}, wanted a whole number from 1"


def _equality_problems(node: Node[Any]) -> Iterator[str]:
    name = type(node).__name__
    again = node.replace()
    if again != node or hash(again) != hash(node) or again.identity != node.identity:
        yield f"{name}: the same fields make another node"
    if "<locals>" not in type(node).__qualname__:
        try:
            if pickle.loads(pickle.dumps(node)) != node:
                yield f"{name}: it is another node after pickling"
        except Exception as error:
            yield f"{name} cannot be pickled: {type(error).__name__}: {error}"


def _key_problems(node: Node[Any], changes: Mapping[str, Any]) -> Iterator[str]:
    cls = type(node)
    for name in cls.model_fields:
        changed = None
        for value in [changes[name]] if name in changes else _other_values(node, name):
            try:
                changed = node.replace(**{name: value})
            except InvalidNodeError:
                continue
            if changed.identity == node.identity:
                yield f"{cls.__name__}.{name}: the key is the same for {value!r}"
            break
        if changed is None:
            yield f"{cls.__name__}.{name}: no other value was found; give one by `changes`"


def _other_values(node: Node[Any], name: str) -> Iterator[Any]:
    """Values that a field may take beside its own, the likely ones first."""
    value = getattr(node, name)
    annotation = type(node).model_fields[name].annotation
    for inner in (annotation, *get_args(annotation)):
        if get_origin(inner) is Literal:
            yield from (choice for choice in get_args(inner) if choice != value)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2, value / 2)
    elif isinstance(value, str):
        yield f"{value} and more"
    elif isinstance(value, Image):
        yield Image(255 - value.numpy)
    elif isinstance(value, Node):
        yield from _other_nodes(value)
    elif isinstance(value, tuple) and value:
        yield from (value[:-1], (*value, value[-1]))
    yield from (None, 1, 1.5, "a text", True)


def _other_nodes(node: Node[Any]) -> Iterator[Node[Any]]:
    """Nodes of the same type with another value in one field."""
    for name in type(node).model_fields:
        for value in _other_values(node, name):
            try:
                yield node.replace(**{name: value})
            except InvalidNodeError:
                continue


def _run_problems(node: Node[Any], session: Session) -> Iterator[str]:
    name, output = type(node).__name__, type(node).definition.output
    literals = {port: getattr(node, port) for port in type(node).definition.ports}
    before = pickle.dumps(literals)
    results = [run(node, session=session) for _ in range(2)]
    if not isinstance(results[0], output):
        yield f"{name} makes a {type(results[0]).__name__}, but declares {output.__name__}"
    elif content_of(results[0]) != content_of(results[1]):
        yield f"{name} makes another value when it runs again"
    if pickle.dumps(literals) != before:
        yield f"{name} changes its inputs"
