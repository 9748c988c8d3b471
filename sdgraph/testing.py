"""Tools for testing the nodes of a pack: a check of a node's promises, a session, toy nodes.

    from sdgraph.testing import check_node
    from mypack import Blur

    def test_blur() -> None:
        check_node(Blur(image=grey_square(8), radius=2))

Importing it imports no torch; `fake_session` loads no weights.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic import Field

from sdgraph.errors import InvalidNodeError
from sdgraph.execution import Session, run
from sdgraph.graph import In, Node
from sdgraph.models import ModelCache, ResolvedPart
from sdgraph.values import Image, Mask, Value, content_of

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
    """A stand-in for a tensor, whose bytes can be counted.

    Args:
        size: Its bytes.
    """

    size: int

    def numel(self) -> int:
        """The number of its elements, of one byte each."""
        return self.size

    def element_size(self) -> int:
        """One byte."""
        return 1


@dataclass(eq=False)
class FakeModule:
    """A stand-in for a torch module, as `CountingLoader` loads it.

    Args:
        name: The folder of the component in its checkpoint: "unet", "vae".
        size: Its bytes.
        device: The device it is on.
    """

    name: str
    size: int
    device: str = ""

    def parameters(self) -> list[FakeTensor]:
        """One tensor that has all of its bytes."""
        return [FakeTensor(self.size)]

    def buffers(self) -> list[FakeTensor]:
        """An empty list: it has no buffers."""
        return []

    def to(self, device: str) -> FakeModule:
        """Sets the device it is on."""
        self.device = device
        return self


@dataclass
class CountingLoader:
    """Loads a `FakeModule` for each component that a node needs, and lists them.

    A fake has as many bytes as the files of the component.

    Args:
        failing: The components that fail to load, as `str(part)` names them.
        size_factor: How many times the bytes of its files a component takes once it is loaded.

    Example:
        >>> loader = CountingLoader()
        >>> session = fake_session(loader)
        >>> loader.loaded
        []
    """

    loaded: list[str] = field(default_factory=list)
    """The names of the components that were loaded, in order."""
    failing: set[str] = field(default_factory=set)
    size_factor: int = 1
    overlaps: int = 0
    """How often a load began before another had ended."""
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, part: ResolvedPart, dtype: str, device: str) -> FakeModule:
        """A fake of the component; raises OSError for one of `failing`."""
        if not self._busy.acquire(blocking=False):
            self.overlaps += 1
            raise RuntimeError("two loads at once")
        try:
            if str(part) in self.failing:
                raise OSError("the file cannot be read")
            self.loaded.append(str(part))
            return FakeModule(part.part.folder, part.footprint(dtype) * self.size_factor, device)
        finally:
            self._busy.release()


def fake_session(loader: CountingLoader | None = None, *, free_bytes: int = 2**40) -> Session:
    """A session on the CPU that loads fakes and remembers nothing between runs.

    Args:
        loader: Loads the fakes and lists what was loaded; a new one if left out.
        free_bytes: The free memory that the session assumes; with few bytes it evicts components.
    """
    models = ModelCache(loader or CountingLoader(), probe=lambda device: free_bytes, reserve=0)
    return Session(device="cpu", models=models, store=None)


class ToyNumber(Node[int]):
    """A whole number, to wire to ports of the node under test.

    Args:
        value: The number.
    """

    value: int = Field(default=0, description="the number")

    def run(self) -> int:
        """The number."""
        return self.value


class ToyAdd(Node[int]):
    """The sum of two numbers.

    Args:
        a: A number, or a node that makes one.
        b: Another; 0 if left out.
    """

    a: In[int] = Field(description="a number")
    b: In[int] = Field(default=0, description="another")

    def run(self, a: int, b: int) -> int:
        """The sum."""
        return a + b


class ToySquare(Node[Image]):
    """A grey square, to wire to ports that take a picture.

    Args:
        size: The pixels of a side, 1 or more.
        grey: From 0 (black) to 255 (white).
    """

    size: int = Field(default=8, ge=1, description="pixels of a side")
    grey: int = Field(default=128, ge=0, le=255, description="from black to white")

    def run(self) -> Image:
        """The square."""
        return grey_square(self.size, self.grey)


def grey_square(size: int = 8, grey: int = 128) -> Image:
    """A square picture with the same grey in every pixel.

    Args:
        size: The pixels of a side, 1 or more.
        grey: From 0 (black) to 255 (white).
    """
    return Image(np.full((size, size, 3), grey, np.uint8))


def check_node(
    node: Node[Any],
    *,
    changes: Mapping[str, Any] | None = None,
    fixed: Collection[str] = (),
    session: Session | None = None,
    runs: bool = True,
) -> None:
    """Checks what every node promises, and fails with a line for each promise that is broken.

    1. The class and each of its fields have a description.
    2. Equal fields make an equal node with the same key, also after pickling.
    3. A different value of any field gives a different key (but for `existing` of a node that
       writes files).
    4. The node makes a value of the kind that it declares, makes an equal one when it runs again,
       and does not change its inputs.

    Args:
        node: A node whose ports hold literals or nodes that can run.
        changes: By field name, a different valid value for fields where none can be guessed.
            Numbers, texts, switches, choices, pictures and masks need none.
        fixed: Fields that have no other valid value while the other fields stay as they are, such
            as one of two fields that exclude each other.
        session: Where it runs; `fake_session()` if left out, which has no real models.
        runs: False leaves out the fourth check, for a node whose models are not on this machine.

    Raises:
        AssertionError: A promise is broken; the message says which.

    Example:
        >>> check_node(ToyAdd(a=1, b=2))
        >>> from sdgraph.nodes import Resize
        >>> check_node(Resize(image=grey_square(8), width=4, height=4))
    """
    problems = list(node_problems(node, changes=changes, fixed=fixed, session=session, runs=runs))
    assert not problems, "\n".join(problems)


def node_problems(
    node: Node[Any],
    *,
    changes: Mapping[str, Any] | None = None,
    fixed: Collection[str] = (),
    session: Session | None = None,
    runs: bool = True,
) -> Iterator[str]:
    """The promises that a node breaks, each in a line; `check_node` says what they are.

    Args:
        node: As for `check_node`.
        changes: As for `check_node`.
        fixed: As for `check_node`.
        session: As for `check_node`.
        runs: As for `check_node`.
    """
    yield from _description_problems(type(node))
    yield from _equality_problems(node)
    yield from _key_problems(node, changes or {}, fixed)
    if runs:
        yield from _run_problems(node, session or fake_session())


def _description_problems(cls: type[Node[Any]]) -> Iterator[str]:
    first = (cls.__doc__ or "").strip().partition("\n")[0]
    if not first or cls.__doc__ == Node.__doc__:
        yield f"{cls.__name__} has no docstring, which lists of nodes show"
    elif not (first[0].isupper() and first.endswith(".")):
        yield f"{cls.__name__}: the docstring does not begin with a sentence: {first!r}"
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


def _key_problems(
    node: Node[Any], changes: Mapping[str, Any], fixed: Collection[str]
) -> Iterator[str]:
    cls = type(node)
    for name in cls.definition.key_fields:
        if name in fixed:
            continue
        subject = f"{cls.__name__}.{name}"
        try:
            changed = _change_field(node, name, changes)
        except InvalidNodeError as error:
            yield f"{subject}: the value in `changes` is refused: {error}"
            continue
        if changed is None:
            yield f"{subject}: no other value was found; give one in `changes`"
        elif changed.identity == node.identity:
            yield f"{subject}: the key is the same for {getattr(changed, name)!r}"


def _change_field(node: Node[Any], name: str, changes: Mapping[str, Any]) -> Node[Any] | None:
    """The node with another value of a field; None if no valid value can be guessed.

    Raises InvalidNodeError if the node refuses the one in `changes`.
    """
    if name in changes:
        return node.replace(**{name: changes[name]})
    for value in _other_values(node, name):
        try:
            changed = node.replace(**{name: value})
        except InvalidNodeError:
            continue
        if getattr(changed, name) != getattr(node, name):
            return changed
    return None


def _other_values(node: Node[Any], name: str) -> Iterator[Any]:
    """Different values that a field may accept, the likely ones first.

    Some of them may not fit the field, or be equal to its own value.
    """
    value = getattr(node, name)
    choices = list(_choices(type(node).model_fields[name].annotation))
    yield from choices
    port = type(node).definition.ports.get(name)
    yield from (example for example in _examples() if port and port.takes(type(example)))
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2, value / 2)
    elif isinstance(value, str):
        yield f"{value} and more"
    elif isinstance(value, Value):
        yield from _other_contents(value)
    elif isinstance(value, Node):
        yield from _other_nodes(value)
    elif isinstance(value, tuple):
        yield from (value[:-1], (*value, *value[-1:]), *((*value, choice) for choice in choices))
        yield from ((*value[:-1], item + 1) for item in value[-1:] if type(item) in (int, float))
    yield from (None, 1, 1.5, 64, "a text", "red", True, ("a text",), (1,))


def _examples() -> tuple[Image, Mask]:
    return grey_square(8), Mask(np.full((8, 8), 255, np.uint8))


def _choices(annotation: Any) -> Iterator[Any]:
    """The choices of every Literal in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _other_contents(value: Value) -> Iterator[Value]:
    """Values of the same kind in which one array is inverted."""
    for name, array in value.fields.items():
        if isinstance(array, np.ndarray):
            inverted = ~array if array.dtype.kind in "bu" else -array
            yield type(value)(**{**value.fields, name: inverted})


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
