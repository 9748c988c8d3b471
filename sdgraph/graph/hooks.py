"""What the planner, the checks and the records ask of a node besides its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sdgraph.errors import Problem

if TYPE_CHECKING:
    from sdgraph.progress import Progress
    from sdgraph.values import Part

    from .stage import Stage


class NodeHooks:
    """The methods of `Node` that a node overrides where their defaults do not hold for it."""

    __slots__ = ()

    batch_fields: ClassVar[frozenset[str]] = frozenset()
    """The fields in which nodes may differ that `run_batch` computes at once; {} for no batches."""

    def parts(self) -> Mapping[str, Part]:
        """The model components that `run` needs, by name; read from configs without loading any."""
        return {}

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        """An estimate of the bytes that `run` takes on the device in addition to its components.

        The planner calls it before anything is loaded, and keeps as many bytes free while the node
        runs. The default is none.

        Args:
            sizes: The bytes of each component on the device, by the names of `parts`.
            dtype: The dtype that the run computes in, such as "float16".
        """
        return 0

    def low_memory_variants(self) -> Iterator[tuple[str, Self]]:
        """Nodes that make nearly the same value with less memory, the fastest first.

        They are tried in this order after the node itself has run out of memory. Each comes with a
        sentence about the change, such as "the autoencoder works by slices and tiles". The record
        in a saved file holds that sentence, and the result is not remembered.
        """
        yield from ()

    def stages(self) -> Iterator[Stage]:
        """The parts of its work whose results are remembered separately.

        When only other fields change, such a part is not computed again and its components are not
        loaded: a new seed does not change the embedding of a prompt, so the text encoder stays on
        disk.
        """
        yield from ()

    def run_stage(self, name: str, models: Any, arguments: Mapping[str, Any]) -> bytes:
        """Makes the result of a stage that runs alone, bit for bit as `run` would make it.

        Args:
            name: The name of the stage.
            models: The components of the stage, loaded, by the names of `parts`.
            arguments: The values of all ports by name; None for a node that the stage does not
                read, which has not run yet.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it makes its {name}")

    def stage_memory(self, name: str, sizes: Mapping[str, int], dtype: str) -> int:
        """An estimate of the bytes that a stage takes on the device besides its components.

        Args:
            name: The name of the stage.
            sizes: The bytes of each of its components on the device, by the names of `parts`.
            dtype: The dtype that the run computes in, such as "float16".
        """
        return 0

    def can_batch(self) -> bool:
        """Whether `run_batch` can compute it with others; asked if no node makes its checkpoint."""
        return bool(self.batch_fields)

    def is_batch_exact(self, device: str, dtype: str) -> bool:
        """Whether `run_batch` makes the same bits as `run`, so that nodes are batched unasked.

        Args:
            device: Where it runs, such as "cpu" or "cuda:0".
            dtype: The dtype that the run computes in, such as "float16".
        """
        return False

    def best_batch(self, device: str, dtype: str) -> int:
        """How many nodes at once take the least time for each; 1 for one after another."""
        return 1

    def batch_memory(self, count: int, sizes: Mapping[str, int], dtype: str) -> int:
        """An estimate of the bytes that a batch takes on the device besides its components.

        Args:
            count: How many nodes are computed at once.
            sizes: The bytes of each component on the device, by the names of `parts`.
            dtype: The dtype that the run computes in.
        """
        return count * self.working_memory(sizes, dtype)

    @classmethod
    def run_batch(
        cls,
        nodes: Sequence[Self],
        models: Sequence[Any],
        arguments: Sequence[Mapping[str, Any]],
        progress: Progress,
    ) -> Sequence[Any]:
        """Computes several nodes at once that differ in no other fields than `batch_fields`.

        If it raises an exception, the nodes run one after another instead.

        Args:
            nodes: The nodes.
            models: The same components for each, and what recalls the results of its stages.
            arguments: The values of the ports of each.
            progress: Called after each step of the batch.

        Returns:
            The values in the order of the nodes.
        """
        raise NotImplementedError(f"{cls.__name__} does not say how it runs several at once")

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of the picture it makes from one of the given size, both as (width, height).

        The planner calls it to estimate how much memory the nodes that read the picture take. A
        node that makes its picture larger or smaller overrides it; the default is the same size.
        """
        return size

    def size_source(self) -> object:
        """What the exact size of its picture follows from, through `output_size`.

        That is the value of a port, the path of a picture's file, or a (width, height). It is asked
        for before the run, where two pictures must have one size. The default is None: only the
        run tells.
        """
        return None

    def frame_range(self) -> tuple[int, int] | None:
        """The fewest and the most frames of its video or series, if known before the run."""
        return None

    def chosen_fields(self) -> Mapping[str, object]:
        """What it uses for fields that were left unset, by name; the record in a file holds it."""
        return {}

    @property
    def random_seed(self) -> int | None:
        """The seed of its random numbers: the field `seed`, None without one.

        It is shown in the records of saved pictures and in tables. Where another node makes the
        seed, it is None.
        """
        seed = self.__dict__.get("seed")
        return seed if type(seed) is int else None

    def check(self) -> Iterator[Problem]:
        """Yields problems that depend on files, such as a checkpoint of the wrong kind.

        It is called before anything is loaded and imports no torch. The subject of each problem is
        the name of a field.
        """
        yield from ()

    def warnings(self) -> Iterator[Problem]:
        """What is allowed and probably not meant, such as a field that has no effect.

        Warnings are printed and stop nothing. They are asked for before the run, of a node without
        problems; the subject is the field's name.
        """
        yield from ()
