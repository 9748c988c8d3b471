"""Nodes: frozen, typed, lazily computed values, and the ports that connect them.

A node is a frozen pydantic model with one output type. A field annotated `In[T]` is a port: it
takes a literal `T` or any node that makes one. These references between nodes are the graph.
"""

from __future__ import annotations

from abc import ABCMeta
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, Union

from pydantic import BaseModel, ConfigDict, ValidationError

from sdgraph.errors import InvalidNodeError, NodeDefinitionError, Problem
from sdgraph.progress import Progress
from sdgraph.values import content_of

from . import ports
from .class_identity import SHIPPED_PACK
from .definition import COUNT, Category, Definition, check_defaults, define
from .hooks import NodeHooks
from .parameters import freeze_lists, from_plain
from .ports import DeferredValue, SourceFile, SourceFolder, TargetFile
from .validation import problems_of

__all__ = ["In", "Node", "Progress", "SourceFile", "SourceFolder", "TargetFile"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

if TYPE_CHECKING:
    In = Union[T, "Node[T]"]
else:
    In = ports.In


# Pydantic has no use for type parameters: no field has their types.
_NOT_GENERIC: Any = {"origin": None, "args": (), "parameters": ()}


class Node(BaseModel, NodeHooks, DeferredValue, Generic[T_co]):
    """A computation that has not run yet and whose result is a `T`.

    A subclass declares fields: `In[...]` for ports, any other type for parameters. Its method `run`
    takes exactly the ports, by name, and may take services as further arguments: `models` (the
    components of `parts`, loaded), `progress` (a function that reports `progress(step, total)`),
    and `provenance` (the record of how the result was made, as text, for a file).

    A node is frozen, hashable and equal to any node that computes the same.

    Example:
        >>> from sdgraph import In, Node, run
        >>> class Repeat(Node[str]):
        ...     "Repeats a text."
        ...
        ...     text: In[str]
        ...     times: int = 2
        ...
        ...     def run(self, text: str) -> str:
        ...         return text * self.times
        >>> run(Repeat(text="ha", times=3))
        'hahaha'
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_default=True,
        revalidate_instances="never",
        allow_inf_nan=False,
        defer_build=True,  # most classes of a module are not those that a workflow uses
    )
    __slots__ = ("_hash", "identity", "own_identity", "wires")

    version: ClassVar[int] = 1
    """The author raises it when the same parameters give another result than before."""
    effect: ClassVar[bool] = False
    """Whether it does something besides making a value, such as writing a file; it always runs."""
    exclusive: ClassVar[bool] = False
    """Whether no node with models and no other exclusive one may run at the same time.

    For a node that loads or trains networks itself: libraries do that in one thread at a time, and
    torch's random numbers are those of the process. A node that takes `models` needs no such word.
    """
    category: ClassVar[Category] = "other"
    """The heading under which lists of nodes show it."""
    scatters: ClassVar[bool] = False
    """Whether `run` returns a Series; nodes that read it then run once for each of its items."""
    gathers: ClassVar[bool] = False
    """Whether `run` takes a whole Series and makes one value of it."""
    gathers_copies: ClassVar[bool] = False
    """Whether a list of values takes all that a node with a `count` stands for.

    Otherwise there is a node for each of them. A node that gathers takes all of them as well.
    """
    counted: ClassVar[bool] = False
    """Whether it has the fields `count` and `seed`, and stands for `count` nodes.

    These have the seeds seed, seed + 1, …; nodes that read it are there once for each of them.
    """
    scatter_advice: ClassVar[str] = ""
    """For a node that scatters: the fix in the error when no node gathers its Series."""
    wire_advice: ClassVar[Mapping[str, tuple[type, str]]] = {}
    """By port: a kind that the port does not take, and the fix in the error for it."""
    definition: ClassVar[Definition]

    if TYPE_CHECKING:
        # Properties, so that a type checker takes none of them for a field.
        @property
        def identity(self) -> bytes:
            """16 bytes that are equal for nodes that compute the same."""

        @property
        def _hash(self) -> int:
            """The hash of the identity."""

        @property
        def own_identity(self) -> bytes:
            """The same without the nodes it reads: of type, version, parameters and literals."""

        @property
        def wires(self) -> tuple[tuple[str, Node[Any]], ...]:
            """The nodes this one reads, each with the port it is wired to, in field order."""

    else:

        def __class_getitem__(cls, kind: Any) -> Any:
            return cls if isinstance(kind, TypeVar) else _with_output(cls, kind)

        def __init__(self, /, **fields: Any) -> None:
            definition = getattr(type(self), "definition", None)
            if definition is not None and definition.converted:
                for name in definition.converted.keys() & fields.keys():
                    fields[name] = from_plain(definition.converted[name], fields[name])
            try:
                self.__pydantic_validator__.validate_python(fields, self_instance=self)
            except ValidationError as error:
                problems = problems_of(type(self), error, fields)
                name = type(self).__name__
                raise InvalidNodeError(problem.under(name) for problem in problems) from None

        def copy(self, **how: Any) -> Self:
            """Does what `model_copy` does: pydantic's own `copy` would leave a stale identity."""
            return self.model_copy(**how)

    def run(self, *args: Any, **kwargs: Any) -> T_co:
        """Computes the result from the values of the ports, passed by name, and from `self`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it runs")

    __get_pydantic_core_schema__: ClassVar[Any] = classmethod(ports.lenient_schema)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.__pydantic_generic_metadata__ = _NOT_GENERIC
        if cls.run is not Node.run:
            cls.definition = define(cls, Node)
            cls.output = cls.definition.output
            if cls.definition.identity.pack != SHIPPED_PACK:
                check_defaults(cls)

    def model_post_init(self, context: Any, /) -> None:
        """Computes the identity, once, from the fields and the identities of the wired nodes."""
        cls, fields = type(self), self.__dict__
        try:
            definition = cls.definition
        except AttributeError:
            problem = Problem(cls.__name__, "a class that cannot run", "a method `run`")
            raise NodeDefinitionError(problem) from None
        contents = [definition.identity.tag]
        wires: list[tuple[str, Node[Any]]] = []
        for name in definition.key_fields:
            value = fields[name]
            if type(value) is list:
                value = fields[name] = freeze_lists(value)
            elif type(value) is set:
                value = fields[name] = frozenset(value)
            if name not in definition.ports:
                contents.append(content_of(value))
            elif isinstance(value, Node):
                wires.append((name, value))
                contents.append("$")
            elif type(value) is tuple:
                for index, item in enumerate(value):
                    if isinstance(item, Node):
                        wires.append((f"{name}[{index}]", item))
                        contents.append("$")
                    else:
                        contents.append(content_of(item))
                contents.append("]")
            else:
                contents.append(content_of(value))
        if definition.counted and fields[COUNT] != 1:
            contents.append(f"count:{fields[COUNT]}")
        # No content holds a comma: no two lists of contents are joined to one text.
        digest = blake2b(",".join(contents).encode(), digest_size=16).digest()
        object.__setattr__(self, "own_identity", digest)
        object.__setattr__(self, "wires", tuple(wires))
        identity = blake2b(digest, digest_size=16)
        for _, node in wires:
            identity.update(node.identity)
        object.__setattr__(self, "identity", identity.digest())
        # Kept, because a plan and a run look a node up some fifty times.
        object.__setattr__(self, "_hash", hash(self.identity))

    def arguments(self, results: Mapping[Node[Any], Any]) -> dict[str, Any]:
        """The arguments of `run`: the value of every port by name.

        Args:
            results: The results of the nodes that this one reads.
        """
        fields = self.__dict__
        values = {name: fields[name] for name in type(self).definition.ports}
        for port, child in self.wires:
            if port in values:
                values[port] = results[child]
                continue
            name = port.partition("[")[0]  # an item of a list
            if values[name] is fields[name]:
                items = fields[name]
                values[name] = tuple(results[v] if isinstance(v, Node) else v for v in items)
        return values

    def replace(self, **changes: Any) -> Self:
        """A node with some fields changed, validated again.

        Args:
            **changes: New values by field name.
        """
        return type(self)(**{**self.non_default_fields(), **changes})

    def non_default_fields(self) -> dict[str, Any]:
        """The fields whose values differ from their defaults."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in self.__dict__.items()
            if fields[name].is_required() or not _same(value, fields[name].get_default())
        }

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Node) and self.identity == other.identity)

    def __repr__(self) -> str:
        given = self.non_default_fields().items()
        fields = ", ".join(f"{name}={_brief(value)}" for name, value in given)
        return f"{type(self).__name__}({fields})"

    __str__ = __repr__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same as `replace(**update)`: a copy is never left with a stale identity."""
        return self.replace(**update) if update else self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (flatten(self),)


Node.__pydantic_generic_metadata__ = _NOT_GENERIC


@cache
def _with_output(cls: type[Node[Any]], kind: Any) -> type[Node[Any]]:
    """The class `Node[kind]`: a base class that differs from `Node` in nothing but its output.

    Pydantic's own would be a model that collects all fields once more and builds their schema.
    """
    name = f"{cls.__name__}[{kind.__name__ if isinstance(kind, type) else kind}]"
    space = {"__module__": cls.__module__, "__qualname__": name, "output": kind}
    return ABCMeta.__new__(type(cls), name, (cls,), space)


class _Ref(int):
    """The index of a node in a flattened list."""


def ancestry(*targets: Node[Any]) -> list[Node[Any]]:
    """The targets and all nodes they read, each once, every node after the nodes it reads.

    Depth first in the order of the ports; iterative, so that a chain may have any length.
    """
    order: dict[Node[Any], None] = {}
    stack: list[tuple[Node[Any], bool]] = [(target, False) for target in reversed(targets)]
    while stack:
        node, read = stack.pop()
        if node in order:
            continue
        if read or not node.wires:
            order[node] = None
        else:
            stack.append((node, True))
            stack.extend((child, False) for _, child in reversed(node.wires))
    return list(order)


def flatten(node: Node[Any]) -> list[tuple[type[Node[Any]], dict[str, Any]]]:
    """A node and its ancestry as a list of classes and fields; nodes in fields are indices."""
    places: dict[Node[Any], _Ref] = {}
    flat: list[tuple[type[Node[Any]], dict[str, Any]]] = []
    for ancestor in ancestry(node):
        places[ancestor] = _Ref(len(flat))
        fields = {name: _map_nodes(value, places) for name, value in ancestor.__dict__.items()}
        flat.append((type(ancestor), fields))
    return flat


def _map_nodes(value: Any, places: Mapping[Node[Any], _Ref]) -> Any:
    if isinstance(value, Node):
        return places[value]
    if type(value) is tuple:
        return tuple(_map_nodes(item, places) for item in value)
    return value


def _rebuild(flat: list[tuple[type[Node[Any]], dict[str, Any]]]) -> Node[Any]:
    nodes: list[Node[Any]] = []

    def place(value: Any) -> Any:
        if type(value) is _Ref:
            return nodes[value]
        return [place(item) for item in value] if type(value) is tuple else value

    for cls, fields in flat:
        nodes.append(cls(**{name: place(value) for name, value in fields.items()}))
    return nodes[-1]


def _same(value: Any, default: Any) -> bool:
    """Whether two values give the same identity: 1 and 1.0 do not, nor do 0.0 and -0.0."""
    if value is default:
        return True
    if isinstance(value, Node):
        return bool(value == default)
    if type(value) is tuple:
        alike = isinstance(default, list | tuple) and len(value) == len(default)
        return alike and all(map(_same, value, default))
    return type(value) is type(default) and content_of(value) == content_of(default)


def _brief(value: Any) -> str:
    if isinstance(value, Node):
        return f"<{type(value).__name__} {value.identity.hex()[:6]}>"
    if type(value) is tuple:
        return "[" + ", ".join(_brief(item) for item in value) + "]"
    return repr(value)
