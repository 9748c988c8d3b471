"""The checks of all diffusion nodes that need a checkpoint, in the order of their messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from sdgraph.errors import Problem
from sdgraph.graph import In
from sdgraph.nodes.diffusion.pipelines import compatibility
from sdgraph.nodes.diffusion.pipelines.motion_problems import motion_problems
from sdgraph.nodes.diffusion.prompts import prompt_syntax, prompt_warnings, textual_inversion
from sdgraph.nodes.diffusion.sampling import guidance_options
from sdgraph.nodes.diffusion.sampling.schedulers import scheduler_warnings
from sdgraph.nodes.diffusion.sampling.strength import strength_problems
from sdgraph.nodes.diffusion.tuning import step_caches
from sdgraph.nodes.diffusion.tuning.performance import Knobs
from sdgraph.values import Checkpoint, Lora

from .families import ModelFamily, Purpose, Task, family_of


class CheckedNode(Protocol):
    """What the checks read of a diffusion node, which documents it."""

    purposes: ClassVar[tuple[Purpose, ...]]

    @property
    def prompt(self) -> In[str]: ...
    @property
    def negative_prompt(self) -> In[str]: ...
    @property
    def checkpoint(self) -> In[Checkpoint]: ...
    @property
    def embeddings(self) -> Sequence[Lora]: ...
    @property
    def steps(self) -> int | None: ...
    @property
    def chosen_steps(self) -> int: ...
    @property
    def chosen_guidance(self) -> float: ...
    @property
    def guidance_rescale(self) -> float: ...
    @property
    def skip_layers(self) -> Sequence[int]: ...
    @property
    def is_guided(self) -> bool: ...
    @property
    def scheduler(self) -> str | None: ...
    @property
    def schedule(self) -> str | None: ...
    @property
    def tuning(self) -> Knobs: ...
    @property
    def family(self) -> ModelFamily: ...

    def task(self) -> Task: ...
    def denoising_share(self) -> float | None: ...
    def max_steps(self) -> int: ...


def checkpoint_problems(
    node: CheckedNode, checkpoint: Checkpoint, family: ModelFamily | None
) -> Iterator[Problem]:
    """The problems of a node's fields with its checkpoint, by configs.

    Args:
        node: The node.
        checkpoint: Its checkpoint.
        family: The checkpoint's family; None if it is not on this disk.
    """
    if family is None:
        yield from compatibility.size_problems(node, checkpoint, node.family)
        return
    task = node.task()
    problems = list(compatibility.task_problems(type(node).__name__, task, checkpoint, family))
    yield from problems
    if problems:
        return
    yield from compatibility.package_problems(task, family)
    yield from compatibility.class_problems(checkpoint, family)
    yield from compatibility.width_problems(checkpoint, family)
    yield from motion_problems(checkpoint, family)
    yield from compatibility.clip_skip_problems(checkpoint, family)
    yield from compatibility.purpose_problems(node.purposes, checkpoint, family)
    yield from compatibility.scheduler_problems(
        checkpoint, node.scheduler, node.schedule, family, task
    )
    yield from guidance_options.guidance_problems(
        checkpoint, family, task, rescale=node.guidance_rescale, skipped_layers=node.skip_layers
    )
    yield from step_caches.cache_problems(
        node.tuning.get("cache"), checkpoint, family, task, guided=node.is_guided
    )
    yield from compatibility.size_problems(node, checkpoint, family)
    yield from compatibility.step_problems(node.chosen_steps, node.scheduler, checkpoint, family)
    strength = node.denoising_share()
    if node.steps is None and strength is not None:
        yield from strength_problems(node.chosen_steps, strength, node.max_steps())


def node_warnings(node: CheckedNode) -> Iterator[Problem]:
    """The warnings of fields that do not mean what they mean elsewhere, or have no effect."""
    checkpoint = node.checkpoint
    prompts = {"prompt": node.prompt, "negative_prompt": node.negative_prompt}
    yield from prompt_syntax.syntax_warnings(prompts)
    if not isinstance(checkpoint, Checkpoint):
        return
    steps, guidance = node.chosen_steps, node.chosen_guidance
    yield from compatibility.distilled_warnings(checkpoint, steps, guidance)
    family = family_of(checkpoint)
    if family is not None:
        own_words = textual_inversion.words_of_files(node.embeddings)
        yield from prompt_warnings.wording_warnings(prompts, checkpoint, family, own_words)
        yield from scheduler_warnings(checkpoint, node.scheduler)
    yield from guidance_options.guidance_warnings(
        checkpoint,
        guided=node.is_guided,
        rescale=node.guidance_rescale,
        skipped_layers=node.skip_layers,
    )
    if not node.family.text_encoders:
        yield from prompt_warnings.no_words_warnings(prompts, checkpoint, node.family)
    elif node.negative_prompt and not node.is_guided:
        yield prompt_warnings.negative_prompt_warning(checkpoint, node.family, guidance)
