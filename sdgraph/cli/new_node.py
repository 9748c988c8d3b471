"""A first node of the user's own, as a file with a test or as a package."""

from __future__ import annotations

import keyword
import re
import sys
from typing import NoReturn

from sdgraph.errors import Problem
from sdgraph.formatting import snake_case
from sdgraph.graph import installed_registry

from .argument_error import ArgumentError
from .new_files import NewFile

_NODE = '''"""@SUMMARY@"""

from __future__ import annotations

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.values import Image

__all__ = ["@CLASS@"]


class @CLASS@(Node[Image]):
    """The picture, brighter or darker."""

    category = "picture"

    image: In[Image] = Field(description="a picture of any size")
    amount: float = Field(default=1.5, gt=0, le=10, description="1 changes nothing, 2 doubles it")

    def run(self, image: Image) -> Image:
        from PIL import ImageEnhance

        return Image.from_pil(ImageEnhance.Brightness(image.pil).enhance(self.amount))
'''

_TEST = '''"""What @CLASS@ promises: run `pytest`."""

from __future__ import annotations

from sdgraph import run
from sdgraph.testing import check_node, grey_square

from @MODULE@ import @CLASS@


def test_it_keeps_the_promises_of_every_node() -> None:
    check_node(@CLASS@(image=grey_square(8)))


def test_a_grey_picture_becomes_brighter() -> None:
    picture = run(@CLASS@(image=grey_square(8, grey=100), amount=2.0))
    assert picture.numpy.tolist() == [[[200] * 3] * 8] * 8
'''

_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "@DIST@"
version = "0.1.0"
description = "Nodes for sdgraph"
requires-python = ">=3.11"
dependencies = ["sdgraph"]

[project.optional-dependencies]
dev = ["pytest"]

# sdgraph finds the nodes of installed packages by this entry point.
[project.entry-points."sdgraph.nodes"]
@MODULE@ = "@MODULE@"

[tool.setuptools.packages.find]
where = ["src"]
"""

_INIT = '''"""Nodes for sdgraph; `__all__` offers them."""

from .brighten import @CLASS@

__all__ = ["@CLASS@"]
'''

_README = """# @DIST@

Nodes for sdgraph.

```bash
pip install -e '.[dev]'
pytest
sdgraph nodes @CLASS@
```
"""


def new_node(name: str) -> list[NewFile]:
    """A Python file with a node, and its test.

    Args:
        name: The name of the node in CapWords or in snake case, such as Sharpen or sharpen.

    Raises:
        ArgumentError: The name is none for a node or a module, or is taken.
    """
    stem = name.removesuffix(".py")
    module = snake_case(stem)
    cls = "".join(word[:1].upper() + word[1:] for word in stem.split("_"))
    _check(name, module)
    if cls in installed_registry():
        _refuse(f"the node type {cls}, which is there already", "choose another name")
    words = {"CLASS": cls, "MODULE": module, "SUMMARY": f"The node {cls}."}
    return [
        NewFile.text(f"test_{module}.py", _fill(_TEST, words)),
        NewFile.text(f"{module}.py", _fill(_NODE, words)),
    ]


def new_pack(name: str) -> list[NewFile]:
    """A folder with a package that offers a node, with its test and all that pip needs.

    Args:
        name: The name of the package, such as my_nodes or my-nodes.

    Raises:
        ArgumentError: The name is none for a package, or is taken.
    """
    module = name.replace("-", "_")
    _check(name, module)
    cls = "Brighten" if "Brighten" not in installed_registry() else f"Brighten{module.title()}"
    words = {"CLASS": cls, "MODULE": module, "DIST": module.replace("_", "-")}
    words["SUMMARY"] = "Brighter pictures."
    contents = {
        "README.md": _README,
        "pyproject.toml": _PROJECT,
        f"src/{module}/__init__.py": _INIT,
        f"src/{module}/brighten.py": _NODE,
        f"src/{module}/py.typed": "",
        "tests/test_brighten.py": _TEST,
    }
    return [NewFile.text(f"{module}/{path}", _fill(text, words)) for path, text in contents.items()]


def _check(name: str, module: str) -> None:
    """Raises ArgumentError for the name of a module that cannot be one, or hides another."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", module) or keyword.iskeyword(module):
        fix = "write letters, digits and _, a letter first, such as sharpen"
        _refuse(repr(name[:100]), fix)
    if module in {*sys.stdlib_module_names, *_LIBRARIES}:
        _refuse(f"the module {module}, which Python or a library has", "choose another name")


_LIBRARIES = (
    "av",
    "cv2",
    "diffusers",
    "networkx",
    "numpy",
    "peft",
    "pil",
    "pydantic",
    "pytest",
    "rich",
    "scipy",
    "sdgraph",
    "torch",
    "transformers",
    "typer",
    "yaml",
)
"""Modules that sdgraph imports, which a file of that name in a folder with tests would hide."""


def _refuse(found: str, fix: str) -> NoReturn:
    raise ArgumentError(Problem("NAME", found, "a name for a new module of Python", fix))


def _fill(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
