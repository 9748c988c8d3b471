"""Examples in docstrings work, and argument sections name the arguments that there are."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"sdgraph": ROOT / "sdgraph", "sdgraph.nodes": ROOT / "nodes"}
SOURCES = {
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)): path
    for package, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
}
WITH_EXAMPLES = [
    name.removesuffix(".__init__") for name, path in SOURCES.items() if ">>>" in path.read_text()
]

Documented = ast.FunctionDef | ast.ClassDef

SHOWN = (
    "sdgraph.errors",
    "sdgraph.language.workflow",
    "sdgraph.language.writer",
    "sdgraph.sweep.runner",
)
"""Modules whose examples must not get lost."""


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_work(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0 and result.attempted > 0


def test_the_modules_that_a_user_meets_first_have_examples() -> None:
    assert set(SHOWN) <= set(WITH_EXAMPLES)


def documented_arguments(tree: ast.Module) -> Iterator[tuple[Documented, list[str], list[str]]]:
    """Each function and class with an argument section: the names in it, and those there are."""
    methods = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef)
        and not any(
            getattr(decorator, "id", "") == "staticmethod" for decorator in inner.decorator_list
        )
    }
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
            if section:
                names = re.findall(r"^    \*{0,2}(\w+)(?: \(.*?\))?:", section[1], re.MULTILINE)
                yield node, names, arguments(node)[1 if node in methods else 0 :]


def arguments(node: Documented) -> list[str]:
    """The names of the arguments of a function, or of what makes an object of a class."""
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return arguments(inner)[1:]
        fields = (inner.target for inner in node.body if isinstance(inner, ast.AnnAssign))
        return [field.id for field in fields if isinstance(field, ast.Name)]
    signature = node.args
    every = [
        *signature.posonlyargs,
        *signature.args,
        signature.vararg,
        *signature.kwonlyargs,
        signature.kwarg,
    ]
    return [argument.arg for argument in every if argument is not None]


def test_an_argument_section_names_every_argument_and_no_other() -> None:
    wrong = []
    for path in SOURCES.values():
        for node, names, there in documented_arguments(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not there:
                continue  # its arguments are those of its base
            # A class may describe its fields where they stand.
            missing = set() if isinstance(node, ast.ClassDef) else set(there) - set(names)
            inherited = isinstance(node, ast.ClassDef) and not there
            if missing or not (inherited or set(names) <= set(there)):
                wrong.append(f"{path.name}:{node.lineno} {node.name}: {names}, not {there}")
    assert not wrong


USER_MODULES = (
    "sdgraph",
    "sdgraph.values",
    "sdgraph.errors",
    "sdgraph.events",
    "sdgraph.testing",
)
"""Modules whose names a Python user meets."""

NOT_CALLED = {"ArrayValue", "In", "Node", "Progress", "Value"}
"""Names that users annotate with or derive from, and never call."""

EXAMPLES_WANTED = {
    "Checkpoint",
    "Graph",
    "Image",
    "Lora",
    "Mask",
    "Mark",
    "Node",
    "NodeFailedError",
    "Problem",
    "SdgraphError",
    "Session",
    "Store",
    "Video",
    "Workflow",
    "load_workflow",
    "plan",
    "run",
    "run_many",
    "to_yaml",
}


def user_names() -> Iterator[tuple[str, object]]:
    """Each public name of the modules that a user meets, once, with what it is."""
    objects: dict[str, object] = {}
    for module_name in USER_MODULES:
        module = importlib.import_module(module_name)
        defined = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module_name
        ]
        for name in getattr(module, "__all__", defined):
            objects.setdefault(name, getattr(module, name, None))
    yield from objects.items()


USER_CALLABLES = {name: value for name, value in user_names() if callable(value)}


def constructor_docs(value: object) -> str:
    """The docstring of a callable, with that of the class from which it has its constructor."""
    if not isinstance(value, type):
        return value.__doc__ or ""
    docs = []
    for cls in value.__mro__:
        docs.append(cls.__dict__.get("__doc__") or "")
        if "__init__" in cls.__dict__:
            break
    return "\n".join(docs)


@pytest.mark.parametrize("name", sorted(USER_CALLABLES))
def test_every_name_that_a_user_meets_is_documented_with_its_arguments(name: str) -> None:
    value = USER_CALLABLES[name]
    assert value.__doc__ and value.__doc__.strip()
    if name not in NOT_CALLED and inspect.signature(value).parameters:
        assert "Args:" in constructor_docs(value)


def test_the_main_names_have_an_example() -> None:
    missing = [
        name for name in EXAMPLES_WANTED if ">>>" not in (USER_CALLABLES[name].__doc__ or "")
    ]
    assert not missing
