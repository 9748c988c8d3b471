"""Several pictures of one kind made by one call of a pipeline, with the bits of each one alone.

1. Each node says what its call of the pipeline takes, and what becomes of the pixels.
2. Calls that agree in the shapes of their embeddings and pictures are joined: tensors one after the
   other, pictures and random generators as lists.
3. The denoiser gives each picture the bits that it has alone (`batch_invariant`). The decoder takes
   one picture after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sdgraph.graph import Progress
from sdgraph.models import Models, quiet_libraries
from sdgraph.nodes.diffusion.pipelines.batch_invariance import batch_invariant
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator, to_pixels
from sdgraph.nodes.diffusion.pipelines.pipeline_settings import step_callback, with_size
from sdgraph.nodes.diffusion.tuning.working_memory import peak_bytes
from sdgraph.values import Checkpoint, Image

from .families import Config
from .node_stages import PromptedNode

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


BEST_ON_CPU = 12
"""The pictures at once from which on more take no less time for each (`benchmarks batches`)."""


@dataclass(frozen=True)
class PictureCall:
    """What a node calls its pipeline with, and what it makes of the pixels."""

    arguments: Mapping[str, Any]
    """The arguments besides the prompts, the random generator and the settings of sampling."""
    finish: Callable[[npt.NDArray[np.uint8]], Image]
    """Makes the picture of the pixels, uint8, height × width × 3."""


class BatchedNode(PromptedNode, Protocol):
    """What a batch reads of a diffusion node, which documents it."""

    @property
    def seed(self) -> int: ...
    @property
    def chosen_steps(self) -> int: ...

    def planned_size(self) -> tuple[int, int] | None: ...
    def control_configs(self) -> Sequence[Config]: ...
    def guidance_arguments(self) -> dict[str, Any]: ...
    def pipeline(self, models: Models, checkpoint: Checkpoint) -> Any: ...
    def prepare(self, pipe: Any, models: Models) -> AbstractContextManager[None]: ...
    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall: ...
    def embed_prompts(
        self, pipe: Any, models: Models, prompt: str, negative_prompt: str, pictures: Any = None
    ) -> dict[str, Any]: ...


def is_exact(node: BatchedNode, device: str, dtype: str) -> bool:
    """Whether a batch has the bits of each picture alone, as tests prove of a U-Net on a CPU.

    Args:
        node: One of the nodes of the batch.
        device: The device of the run.
        dtype: The dtype of the run.
    """
    checkpoint = node.known_checkpoint
    if device != "cpu" or node.offload != "none":
        return False
    if node.loras or node.embeddings or node.tuning:
        return False
    dtypes = [checkpoint.dtype or dtype, *[part.dtype for part in checkpoint.parts.values()]]
    if any(each not in ("float32", None) for each in dtypes) or checkpoint.quantization:
        return False
    files = [checkpoint.source, *[part.source for part in checkpoint.parts.values()]]
    return not any(file.endswith(".gguf") for file in files)


def further_bytes(node: BatchedNode, count: int, dtype: str) -> int:
    """The bytes that a batch takes in addition to those of one picture.

    Args:
        node: One of the nodes of the batch.
        count: The number of pictures.
        dtype: The dtype of the run.
    """
    checkpoint, size = node.known_checkpoint, node.planned_size()
    one, all_at_once = (
        peak_bytes(
            node.family,
            checkpoint,
            checkpoint.dtype or dtype,
            size,
            images=images,
            guided=node.is_guided,
            controls=node.control_configs(),
            task=node.task(),
            decoded=1,
        )
        for images in (1, count)
    )
    return all_at_once - one


def run_batch(
    nodes: Sequence[BatchedNode],
    models: Sequence[Models],
    arguments: Sequence[Mapping[str, Any]],
    progress: Progress,
) -> list[Image]:
    """The pictures of several nodes, as `Node.run_batch` says."""
    first, checkpoint = nodes[0], arguments[0]["checkpoint"]
    pipe = first.pipeline(models[0], checkpoint)
    calls: list[dict[str, Any]] = []
    made = [node.picture_call(values) for node, values in zip(nodes, arguments, strict=True)]
    with quiet_libraries(), first.prepare(pipe, models[0]):
        for node, own, values, call in zip(nodes, models, arguments, made, strict=True):
            prompts = values["prompt"], values["negative_prompt"]
            pictures = call.arguments.get("image")
            embedded = node.embed_prompts(pipe, own, *prompts, pictures)
            calls.append({**call.arguments, **embedded})
    pictures_made: dict[int, Image] = {}
    groups = _groups_of_shapes(calls)
    for number, group in enumerate(groups):
        pipe = first.pipeline(models[0], checkpoint)  # a scheduler makes one series of steps
        joined = join_calls([calls[index] for index in group])
        seeds = [nodes[index].seed for index in group]
        report = _part_of(progress, number, len(groups))
        pixels = _call_pipeline(first, pipe, models[0], report, seeds, joined)
        for index, picture in zip(group, pixels, strict=True):
            pictures_made[index] = made[index].finish(to_pixels(picture))
    return [pictures_made[index] for index in range(len(nodes))]


def _part_of(progress: Progress, number: int, count: int) -> Progress:
    """The progress of one of several calls with equally many steps, numbered from 0."""

    def report(step: int, total: int, **more: Any) -> None:
        progress(number * total + step, count * total, **more)

    return report


def _call_pipeline(
    node: BatchedNode,
    pipe: Any,
    models: Models,
    progress: Progress,
    seeds: Sequence[int],
    call: Mapping[str, Any],
) -> Any:
    """The pictures of one call of a pipeline, as floats 0..1."""
    family = node.family
    call = with_size(pipe, family, node.task(), call)
    networks = [getattr(pipe, name, None) for name in (*family.denoisers, "controlnet")]
    exact = is_exact(node, models.device, models.dtype)
    with (
        quiet_libraries(),
        node.prepare(pipe, models),
        batch_invariant(networks if exact else (), len(seeds)),
        _decoded_one_by_one(getattr(pipe, family.decoder.name)),
    ):
        return pipe(
            num_inference_steps=node.chosen_steps,
            **node.guidance_arguments(),
            generator=[random_generator(seed) for seed in seeds],
            **step_callback(pipe, progress),
            output_type="np",
            **family.call_options(node.chosen_steps),
            **call,
        ).images


@contextmanager
def _decoded_one_by_one(decoder: Any) -> Iterator[None]:
    """A block in which an autoencoder decodes one picture after another."""
    before = decoder.use_slicing
    decoder.use_slicing = True
    try:
        yield
    finally:
        decoder.use_slicing = before


def _groups_of_shapes(calls: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The indices of the calls, in groups whose tensors and pictures have the same shapes."""
    groups: dict[object, list[int]] = {}
    for index, call in enumerate(calls):
        shapes = tuple((name, _shape(call[name])) for name in sorted(call))
        groups.setdefault(shapes, []).append(index)
    return list(groups.values())


def _shape(value: Any) -> object:
    """The shape of a tensor, the size of a picture, or None."""
    return getattr(value, "shape", getattr(value, "size", None))


def join_calls(calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments of one call for the pictures of several.

    Tensors are joined in their first dimension, pictures in a list; others are equal in all calls.
    """
    import numpy as np
    import PIL.Image
    import torch

    joined: dict[str, Any] = {}
    for name, value in calls[0].items():
        values = [call[name] for call in calls]
        if isinstance(value, torch.Tensor):
            joined[name] = torch.cat(values)
        else:
            joined[name] = values if isinstance(value, np.ndarray | PIL.Image.Image) else value
    return joined
