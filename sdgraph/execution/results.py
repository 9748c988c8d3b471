"""The results of one run: kept in memory, taken from the store, and remembered there.

For each step, in this order:

1. `look_up` computes the key of the result. The plan has it already, unless it depends on the
   content of results that were not known then.
2. The result is taken from the store, if the plan found it there or another run has made it since.
3. Otherwise the node runs, and `keep` keeps its value in memory. If it takes longer to make again
   than to keep and fetch, or is a target, pinned or made by models, it is also kept on disk.
4. The value is remembered under the key, unless the node ran with other settings (see
   `oom_fallback`), or a file that was read has changed: then the key is wrong for it.
5. The key gets an alias, by which the next plan finds the result without its inputs' contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph import events
from sdgraph.errors import SdgraphError
from sdgraph.graph import (
    Node,
    code_state,
    has_computed_checkpoint,
    source_files,
)
from sdgraph.store import (
    LostRecordError,
    MemoryResult,
    Store,
    StoredResult,
    execution_context,
    has_cheap_content,
    result_key,
)
from sdgraph.store.spool import spooled
from sdgraph.values import Checkpoint, Series, Stream, content_of

from .event_emitter import EventEmitter
from .frame_chunks import ChunkResults, MakeChunk, stream_of
from .plan_data import Plan, Step


class Results:
    """The values that the steps of a run have made.

    A run that is planned again keeps them. Several threads may use them at the same time.
    """

    def __init__(self, store: Store | None, emitter: EventEmitter) -> None:
        self.values: dict[Node[Any], Any] = {}
        self.alterations: dict[Node[Any], list[str]] = {}
        """The nodes that ran with other settings because memory ran out, and the settings."""
        self.changed_files: set[Path] = set()
        """Files that were read and have changed since the plan was made."""
        self.store = store
        self._emitter = emitter
        self._content_hashes: dict[Node[Any], str] = {}
        self._remake_seconds: dict[Node[Any], float] = {}
        """How long it takes to make again what is not on disk, of each result."""
        self._lineages: dict[Node[Any], str | None] = {}
        """Of nodes that make frames of streams chunk by chunk (see `Stream.lineage`)."""
        self._inputs_changed = False
        """Whether files or weights changed after the plan was made."""
        self._reported: set[Node[Any]] = set()
        """The nodes that were finished and reported before the run was planned again."""

    def take_known(self) -> dict[Node[Any], StoredResult]:
        """Removes all results and returns them, for a new plan of the rest of the run."""
        results = {
            node: MemoryResult(value, remake_seconds=self._remake_seconds.get(node, 0.0))
            for node, value in self.values.items()
            if stream_of(value) is None  # the frames of a stream are made by the steps that end now
        }
        self._reported = set(results)
        self.values.clear()
        self._content_hashes.clear()  # a node that runs again may read a file that has changed
        return dict(results)

    def look_up(self, step: Step, plan: Plan) -> bytes | None:
        """Takes a step's result from the store, if it is remembered there.

        Returns the key under which the result is or will be remembered; None if it will not be.
        Raises LostRecordError if the plan reuses a result that is gone.
        """
        is_stored = self.store is not None and self.is_same_each_time(step, plan)
        if step.remembered is not None:
            self._take(step, step.remembered)
            return step.key if is_stored else None
        if self.store is None or not is_stored:
            return None
        read = [self.values[child] for _, child in step.node.wires]
        if self._reads_stream(step, read):
            return None
        key = self._key_of(step, plan, read) if step.key is None else step.key
        remembered = self.store.get(key)
        if remembered is not None:
            self._add_alias(step, key)
            self._take(step, remembered)
        return key

    def is_same_each_time(self, step: Step, plan: Plan) -> bool:
        """Whether a step's node gives the same result each time, as far as is known."""
        node = step.node
        if node.effect:
            return False
        if step.context is not None:  # nodes that are not remembered have none
            return True
        return plan.graph.is_remembered(node) and code_state(type(node)) is not None

    def keep(self, step: Step, plan: Plan, key: bytes | None, value: Any, seconds: float) -> None:
        """Keeps the value that a step has made, and remembers it if the key is right for it."""
        node = step.node
        self.values[node] = value
        stream, lineage = stream_of(value), self._lineages.pop(node, None)
        is_right = (
            key is not None
            and node not in self.alterations
            and self._is_key_right(step, plan, key)
            and (key != step.alias or self.is_lineage_right)
        )
        if stream is not None:  # its chunks are remembered, each by itself
            if node not in self.alterations:
                stream.lineage = key.hex() if is_right and key is not None else lineage
        elif is_right and key is not None and self.store is not None:
            self._remember(step, plan, self.store, key, value, seconds)
            self._add_alias(step, key)
        self._report_warnings()

    def _remember(
        self, step: Step, plan: Plan, store: Store, key: bytes, value: Any, seconds: float
    ) -> None:
        """Puts a value into the store, with how long it takes to make it again."""
        node, kind = step.node, type(step.node).__name__
        if store.on_disk is None:  # nobody asks what it takes: all of it is lost at once
            store.put(key, value, node=kind, seconds=seconds)
            return
        remake_seconds = seconds
        for child in {child for _, child in node.wires}:
            remake_seconds += self._remake_seconds.get(child, 0.0)
        result = store.put(
            key,
            value,
            node=kind,
            seconds=seconds,
            remake_seconds=remake_seconds,
            always=node in plan.graph.always_kept or step.runs_models,
        )
        self._remake_seconds[node] = result.remake_seconds

    def _reads_stream(self, step: Step, read: Sequence[Any]) -> bool:
        """Whether a step reads frames of a stream, and no key of it is needed.

        The frames that it makes are remembered by chunks (see `frame_chunks`). A key of the content
        of all frames would read or make them all.
        """
        if not [value for value in read if stream_of(value) is not None]:
            return False
        is_per_frame = not type(step.node).gathers and any(isinstance(v, Series) for v in read)
        return is_per_frame or (step.alias is None and not step.runs_models)

    def wrap_chunks(
        self, step: Step, plan: Plan, make: MakeChunk, first: Stream, *, always: bool
    ) -> tuple[MakeChunk, Callable[[int], str] | None]:
        """The functions that make, look up and remember the chunks of frames of a step.

        The arguments and the result are those of `sdgraph.values.frames.WrapChunks`.
        """
        if self.store is None or not self.is_same_each_time(step, plan):
            return make, None
        node, context = step.node, step.context
        if context is None:
            whole = self.with_checkpoints(node) if has_computed_checkpoint(node) else node
            context = execution_context(whole, plan.device, plan.dtype)
        chunks = ChunkResults(
            node,
            self.values,
            context,
            self.store,
            always=always,
            may_keep=lambda: node not in self.alterations,
        )
        self._lineages[node] = chunks.lineage
        return chunks(make, first)

    def spooled(self, value: Any) -> Any:
        """A value whose frames are made now, in a temporary file, if they come from a stream."""
        disk = None if self.store is None else self.store.on_disk
        return spooled(value, None if disk is None else disk.folder)

    def with_checkpoints(self, node: Node[Any]) -> Node[Any]:
        """The node, in which checkpoints replace the nodes that made them."""
        checkpoints = {
            port: self.values[child]
            for port, child in node.wires
            if child.output is Checkpoint and "[" not in port
        }
        return node.replace(**checkpoints) if checkpoints else node

    def alterations_by_name(self, names: Mapping[Node[Any], str]) -> dict[str, list[str]]:
        """The other settings with which some of these nodes ran, by the nodes' names."""
        return {names[node]: self.alterations[node] for node in names if node in self.alterations}

    def _take(self, step: Step, remembered: StoredResult) -> None:
        """Keeps a remembered result, if it can be read."""
        try:
            value = remembered.value if self.store is None else self.store.read(remembered)
        except LostRecordError:
            self._report_warnings()
            if step.action == "reuse":
                raise
            return
        self.values[step.node] = value
        self._remake_seconds[step.node] = remembered.remake_seconds
        if step.node not in self._reported:
            self._emitter.emit(events.Reused, step.name, remembered.seconds)

    def _key_of(self, step: Step, plan: Plan, read: Sequence[Any]) -> bytes:
        """The key of a result: of the contents that it is made from, or only of their lineage.

        Hashing large inputs could take longer than making a result without models. A result that
        is also made from files has a key of contents, by which a changed file is noticed.
        """
        node, alias = step.node, step.alias
        if (
            alias is None
            or all(map(has_cheap_content, read))
            or step.runs_models
            or type(node).definition.reads_files
        ):
            return self._key(node, plan, step.context)
        return alias

    def _key(self, node: Node[Any], plan: Plan, context: str | None = None) -> bytes:
        """The key of a result whose inputs are known."""
        known = self._content_hashes
        inputs = [known.get(child) or self._content_hash(child) for _, child in node.wires]
        if context is None:
            whole = self.with_checkpoints(node) if has_computed_checkpoint(node) else node
            context = execution_context(whole, plan.device, plan.dtype)
        return result_key(node, inputs, context)

    def _is_key_right(self, step: Step, plan: Plan, key: bytes) -> bool:
        """Whether the files that a step has read are those that its key was made from."""
        if not type(step.node).definition.reads_files:
            return True
        try:
            same = self._key(step.node, plan) == key
        except (OSError, SdgraphError):
            same = False
        if not same:
            self._inputs_changed = True
            self.changed_files.update(path for _, path in source_files(step.node))
            text = f"{step.name}: a file that it reads changed meanwhile; its result is not kept"
            self._emitter.emit(events.Warned, text)
        return same

    def _add_alias(self, step: Step, key: bytes) -> None:
        """Adds the alias of a result, unless a node ran with other settings or a file changed."""
        if step.alias is not None and self.store is not None and self.is_lineage_right:
            self.store.add_alias(step.alias, key)

    @property
    def is_lineage_right(self) -> bool:
        """Whether every result is what its lineage says: no settings or files have changed."""
        return not self.alterations and not self._inputs_changed

    def _content_hash(self, node: Node[Any]) -> str:
        content = self._content_hashes[node] = content_of(self.values[node])
        return content

    def _report_warnings(self) -> None:
        if self.store is not None and self.store.on_disk is not None:
            for warning in self.store.take_warnings():
                self._emitter.emit(events.Warned, warning)
