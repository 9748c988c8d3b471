"""A shipped workflow as a file of the user's own, with all files that it reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sdgraph.errors import Problem
from sdgraph.files import shipped_workflows

from .argument_error import ArgumentError
from .new_files import NewFile
from .workflow_list import unknown_workflow

SCHEMA_FILE = "sdgraph.schema.json"
SCHEMA_COMMENT = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
"""The first line of a workflow, by which editors know what may be in it."""

_FILE = re.compile(r"(?:\.\./)*[\w-]+(?:/[\w-]+)*\.(?:png|jpg|mp4|yaml)\b")
_NAME = re.compile(r"[A-Za-z0-9_][\w .-]*")
_PLAIN = re.compile(r"[A-Za-z_][\w-]*")
_NOT_TEXT = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
"""Words that stand for something else than text, in YAML 1.2 or in older readers."""


def new_workflow(name: str, source: str) -> list[NewFile]:
    """The files of a copy of a shipped workflow: its samples, its schema and last itself.

    Comments and layout stay. Its `name` becomes that of the file.

    Args:
        name: The name of the file, with or without `.yaml`.
        source: The name of the shipped workflow.

    Raises:
        ArgumentError: The name is none for a file here, or no workflow of that name ships.
    """
    stem = _stem(name)
    shipped = shipped_workflows()
    if source not in shipped:
        raise ArgumentError(unknown_workflow(source))
    path = shipped[source]
    text = path.read_text("utf-8")
    own = re.sub(r"^name: .*$", lambda _: f"name: {_yaml_text(stem)}", text, count=1, flags=re.M)
    copied = dict(_files_read(text, path.parent))
    copied = {file: copied[file] for file in sorted(copied)}
    return [
        *(NewFile(file, content) for file, content in copied.items()),
        NewFile.text(SCHEMA_FILE, _schema(), shared=True),
        NewFile.text(f"{stem}.yaml", SCHEMA_COMMENT + _with_paths_inside(own)),
    ]


def _stem(name: str) -> str:
    """The name of a workflow's file without `.yaml`; raises ArgumentError for none of a file."""
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    if _NAME.fullmatch(stem):
        return stem
    wanted = "the name of a file in the current folder, such as mine.yaml"
    path = Path(name)
    fix = f"cd {path.parent} and write {path.name}" if path.name and "/" in name else ""
    raise ArgumentError(Problem("NAME", repr(name[:100]), wanted, fix))


def _files_read(text: str, folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files that a workflow names, also in comments, with their content.

    Those in a folder beside the workflow's own are copied to one below the new file. Other
    workflows are copied with what they name.

    Args:
        text: The workflow.
        folder: Its folder.
    """
    for reference in dict.fromkeys(_FILE.findall(text)):
        path = folder / reference
        if not path.is_file():
            continue  # a file that it writes, or an example in a comment
        content = path.read_bytes()
        if path.suffix == ".yaml":
            inner = content.decode()
            yield from _files_read(inner, path.parent)
            content = _with_paths_inside(inner).encode()
        yield Path(reference.replace("../", "")), content


def _with_paths_inside(text: str) -> str:
    """A workflow's text in which `../samples/a.png` and the like are `samples/a.png`."""
    return _FILE.sub(lambda match: match[0].replace("../", ""), text)


def _yaml_text(text: str) -> str:
    """A text as YAML."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT
    return text if is_plain else json.dumps(text, ensure_ascii=False)


@cache
def _schema() -> str:
    from sdgraph.graph import installed_registry
    from sdgraph.language import workflow_schema

    schema = workflow_schema(installed_registry())
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
