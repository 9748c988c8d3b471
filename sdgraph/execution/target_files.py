"""The files that a node writes: to temporary paths first, and then where they belong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdgraph.graph import Node, existing_rule
from sdgraph.provenance import OutputFile, open_output
from sdgraph.values import Checkpoint


class TargetFiles:
    """A context in which a node writes to temporary paths.

    At the end of the block the files are moved to their places, or removed after an exception.

    Args:
        node: The node. One that makes a checkpoint writes in place, because the checkpoint names
            the files.
        overwrite: Whether the run replaces all files that are there already.
        reserved: Absolute paths that a numbered file must not take.
        record: Makes the record of how the files were made.
    """

    def __init__(
        self,
        node: Node[Any],
        *,
        overwrite: bool = False,
        reserved: Collection[Path] = (),
        record: Callable[[], str] | None = None,
    ) -> None:
        self.node = node
        """The node; inside the block, with the temporary paths in its fields."""
        self._rule = existing_rule(node, overwrite=overwrite)
        self._reserved = reserved
        self._record = record
        self._outputs: list[OutputFile] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        definition = type(self.node).definition
        if not definition.target_files or issubclass(definition.output, Checkpoint):
            return self
        with ExitStack() as files:
            fields = {
                name: self._open(getattr(self.node, name), files)
                for name in definition.target_files
                if getattr(self.node, name) is not None
            }
            self.node = self.node.replace(**fields)
            self._files = files.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._files.__exit__(kind, error, trace)

    def path_of(self, value: Any) -> Any:
        """The value that a node has returned, with the path that a file has in the end.

        Args:
            value: The value; a temporary path, or its text, is replaced.
        """
        if not isinstance(value, Path | str):
            return value
        for output in self._outputs:
            if Path(value) == output.temporary:
                return type(value)(output.path)
        return value

    @property
    def first(self) -> Path | None:
        """The first file that was written; None if the node writes no files."""
        return self._outputs[0].path if self._outputs else None

    def _open(self, value: Any, files: ExitStack) -> Any:
        outputs = [
            files.enter_context(open_output(path, self._rule, self._reserved, self._record))
            for path in (value if isinstance(value, tuple) else (value,))
        ]
        self._outputs += outputs
        temporary = [output.temporary for output in outputs]
        return temporary if isinstance(value, tuple) else temporary[0]
