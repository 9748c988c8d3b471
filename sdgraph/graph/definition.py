"""The definition of a node class: read from the class, and checked, when the class is created."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ValidationError

from sdgraph.errors import NodeDefinitionError, Problem, did_you_mean
from sdgraph.files import Existing
from sdgraph.values import Checkpoint

from .class_identity import ClassIdentity, class_identity
from .parameters import SUPPORTED, needs_conversion, unsupported_type
from .ports import FileField, Port, is_nested_too_deep, marks_in

SERVICES = frozenset({"models", "progress", "provenance"})
"""Arguments of `run` that the engine passes in addition to the ports."""

RESERVED_NAMES = ("type", "output", "definition", "cache")
"""Names that a field cannot have, because workflow files or node classes use them."""

EXISTING = "existing"
"""The field of a node that writes files which says what happens to files that are there already."""

COUNT = "count"
"""The field of a node class that is `counted`: how many nodes one of them stands for."""

_SCALARS = (str, int, float, bool)


@dataclass(frozen=True)
class Definition:
    """The facts of one node class."""

    output: type
    fields: tuple[str, ...]
    key_fields: tuple[str, ...]
    """The fields that the value may depend on: all but `existing` and `count`."""
    ports: Mapping[str, Port]
    sources: tuple[str, ...]
    folders: tuple[str, ...]
    targets: tuple[str, ...]
    """The fields that hold paths to write to, of files and of folders."""
    target_files: tuple[str, ...]
    """Those of them that hold paths of files."""
    counted: bool
    """Whether the field `count` says how many nodes it stands for."""
    has_existing: bool
    """Whether the field `existing` says what happens to files that are there already."""
    weights: tuple[str, ...]
    """The fields that hold checkpoints, whether ports or parameters."""
    converted: Mapping[str, Any]
    """The parameters that plain data is converted for, with their types."""
    services: frozenset[str]
    """The services that `run` takes as arguments, of `SERVICES`."""
    identity: ClassIdentity

    @cached_property
    def reads_files(self) -> bool:
        """Whether nodes read files in their own code.

        Leased weights are not among them: they are compared with the plan when they are loaded.
        """
        reads_weights = self.weights and "models" not in self.services
        return bool(self.sources or self.folders or reads_weights)


Category = Literal["control", "file", "generate", "mask", "picture", "train", "video", "other"]
"""The headings under which lists of nodes show node types; packs use the same ones."""


def define(cls: Any, root: type) -> Definition:
    """The definition of a node class; raises NodeDefinitionError where it breaks a rule."""
    _check_category(cls)
    ports: dict[str, Port] = {}
    files: dict[str, FileField] = {}
    for name, field in cls.model_fields.items():
        if name in SERVICES or name in RESERVED_NAMES or hasattr(root, name):
            wanted = "another name"
            raise NodeDefinitionError(
                Problem(f"{cls.__name__}.{name}", "a name that is taken", wanted)
            )
        if is_nested_too_deep(field.annotation):
            found, wanted = "a port nested too deep", "In[T], In[T] | None or list[In[T]]"
            raise NodeDefinitionError(Problem(f"{cls.__name__}.{name}", found, wanted))
        for mark in marks_in(field.annotation, field.metadata):
            if isinstance(mark, FileField):
                files[name] = mark
            elif name in ports:
                kinds = dict.fromkeys((*ports[name].kinds, *mark.kinds))
                ports[name] = Port(tuple(kinds))
            else:
                ports[name] = mark
    output = _output(cls)
    target_files = tuple(
        name for name, mark in files.items() if mark.role == "target" and not mark.is_folder
    )
    has_existing = _has_existing(cls, target_files)
    left_out = [EXISTING] * has_existing + [COUNT] * _is_counted(cls)
    return Definition(
        output=output,
        fields=tuple(cls.model_fields),
        key_fields=tuple(name for name in cls.model_fields if name not in left_out),
        ports=ports,
        sources=tuple(name for name, mark in files.items() if mark.role == "source"),
        folders=tuple(name for name, mark in files.items() if mark.role == "folder"),
        targets=tuple(name for name, mark in files.items() if mark.role == "target"),
        target_files=target_files,
        counted=cls.counted,
        has_existing=has_existing,
        weights=tuple(
            name
            for name, field in cls.model_fields.items()
            if _of_weights(ports.get(name), field.annotation)
        ),
        converted=_converted(cls, {*ports, *files}),
        services=_services(cls, ports, output),
        identity=class_identity(cls),
    )


def _converted(cls: Any, others: set[str]) -> dict[str, Any]:
    """The parameters of types that plain data must be converted to; refuses unsupported types."""
    converted = {}
    for name, field in cls.model_fields.items():
        if name in others:
            continue
        annotation = field.annotation
        if field.metadata:
            annotation = Annotated[annotation, *field.metadata]
        if found := unsupported_type(annotation):
            fix = "write @dataclass(frozen=True)" if "dataclass" in found else ""
            problem = Problem(f"{cls.__name__}.{name}", found, SUPPORTED, fix)
            raise NodeDefinitionError(problem)
        if needs_conversion(annotation):
            converted[name] = annotation
    return converted


def _has_existing(cls: Any, target_files: tuple[str, ...]) -> bool:
    """Whether a class that writes files has the field `existing`, which must be an ExistingFile."""
    field = cls.model_fields.get(EXISTING)
    if field is None or not target_files:
        return False
    if field.annotation != Existing:
        subject, found = f"{cls.__name__}.{EXISTING}", "a field of another kind"
        wanted = "ExistingFile, in a node that writes files"
        raise NodeDefinitionError(Problem(subject, found, wanted, "rename it"))
    return True


def _is_counted(cls: Any) -> bool:
    """Whether a class stands for several nodes; raises NodeDefinitionError without the fields."""
    wanted = (COUNT, "seed")
    if cls.counted and any(
        name not in cls.model_fields or cls.model_fields[name].annotation is not int
        for name in wanted
    ):
        found = "a counted class without them"
        raise NodeDefinitionError(
            Problem(cls.__name__, found, "the fields `count: int` and `seed: int`")
        )
    return bool(cls.counted)


def _of_weights(port: Port | None, annotation: Any) -> bool:
    """Whether a field holds checkpoints or adapters, or lists of them."""
    if port is not None:
        return Checkpoint in port.kinds
    if isinstance(annotation, type) and issubclass(annotation, Checkpoint):
        return True
    return any(_of_weights(None, inner) for inner in get_args(annotation))


def _check_category(cls: Any) -> None:
    categories = get_args(Category)
    if cls.category not in categories:
        subject, wanted = f"{cls.__name__}.category", f"one of {', '.join(categories)}"
        fix = did_you_mean(str(cls.category), categories) or 'write "other"'
        raise NodeDefinitionError(Problem(subject, repr(cls.category), wanted, fix))


def _output(cls: Any) -> type:
    if not hasattr(cls, "output"):
        fix = f"write `class {cls.__name__}(Node[Image])`"
        problem = Problem(cls.__name__, "no kind of value", "what the node makes", fix)
        raise NodeDefinitionError(problem)
    kind = cls.output
    if isinstance(kind, type) and (
        kind in _SCALARS or hasattr(kind, "content") or hasattr(kind, "__fspath__")
    ):
        return kind
    found = f"Node[{kind}], which is no kind of value"
    wanted = (
        "a class with a `content` hash (Image, Mask, Video, Checkpoint …), str, int, float or Path"
    )
    raise NodeDefinitionError(Problem(cls.__name__, found, wanted))


def _services(cls: Any, ports: Mapping[str, Port], output: type) -> frozenset[str]:
    parameters = list(inspect.signature(cls.run).parameters.values())[1:]
    arguments = [
        str(parameter).partition(":")[0] for parameter in parameters
    ]  # "*rest" with its stars
    by_name = all(parameter.kind is not parameter.POSITIONAL_ONLY for parameter in parameters)
    services = SERVICES.intersection(arguments)
    if set(ports) != set(arguments) - services or not by_name:
        found = f"the arguments ({', '.join(arguments)}) for the ports ({', '.join(ports)})"
        wanted = f"exactly the ports by name, then any of {', '.join(sorted(SERVICES))}"
        fix = "parameters are read from self"
        raise NodeDefinitionError(Problem(f"{cls.__name__}.run", found, wanted, fix))
    try:
        hints = get_type_hints(cls.run)
    except NameError:
        # Names imported under TYPE_CHECKING do not exist here; type checkers check these hints.
        hints = {}
    returned = hints.get("return", output)
    if returned is not Any and not (isinstance(returned, type) and issubclass(returned, output)):
        name = getattr(returned, "__name__", returned)
        wanted = f"{output.__name__}, for the class is a Node[{output.__name__}]"
        raise NodeDefinitionError(
            Problem(f"{cls.__name__}.run", f"it returns {name}", wanted, "make the two agree")
        )
    for name, port in ports.items():
        hint = hints.get(name)
        if isinstance(hint, type) and not all(issubclass(kind, hint) for kind in port.kinds):
            found, wanted = f"{name}: {hint.__name__}", f"{port.kind}, which the port holds"
            raise NodeDefinitionError(
                Problem(f"{cls.__name__}.run", found, wanted, "make the two agree")
            )
    return frozenset(services)


def check_defaults(cls: Any) -> None:
    """Raises NodeDefinitionError for a default that its field does not accept."""
    try:
        # With an instance, so that the class's own __init__ does not convert the errors.
        cls.__pydantic_validator__.validate_python({}, self_instance=cls.__new__(cls))
    except ValidationError as error:
        for problem in error.errors():
            # An error without a place says that fields do not fit together, not that one is wrong.
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] not in ("missing", "refused") and name in cls.model_fields:
                default = cls.model_fields[name].get_default(call_default_factory=True)
                wanted = problem.get("ctx", {}).get("wanted", problem["msg"])
                wanted = wanted.removeprefix("Input should be ")
                raise NodeDefinitionError(
                    Problem(f"{cls.__name__}.{name}", f"the default {default!r}", wanted)
                ) from None
