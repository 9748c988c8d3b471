"""Makes pipelines from loaded components, with their settings and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import cache, partial
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any

from sdgraph.graph import Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import DISABLED_EXTRAS, ModelFamily, Task
from sdgraph.values import Checkpoint

from . import compatibility


def make_pipeline(
    family: ModelFamily,
    task: Task,
    checkpoint: Checkpoint,
    components: Mapping[str, Any],
    *,
    class_name: str = "",
) -> Any:
    """A pipeline without a progress bar; to make one takes less than a millisecond.

    Args:
        family: The checkpoint's family.
        task: What the pipeline does.
        checkpoint: The checkpoint, whose index has settings of the pipeline.
        components: The scheduler, the loaded components, and further arguments of the pipeline;
            components of the family that are missing are None.
        class_name: The pipeline's class in diffusers; that of the task if it is not given.

    Raises:
        InvalidValueError: A package that the pipeline imports is not installed.
    """
    import diffusers

    compatibility.refuse_missing_packages(task, family)
    with quiet_libraries():
        cls = getattr(diffusers, class_name or family.pipelines[task])
    settings = pipeline_settings(cls, checkpoint, family)
    # Text encoders are not loaded if the embeddings are in the cache.
    with quiet_libraries():
        joined = family.join_components(components)
        pipe = cls(**{**settings, **dict.fromkeys(family.components), **joined})
    add_missing_settings(getattr(pipe, family.denoiser.name), family.missing_settings)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_text_pipeline(
    family: ModelFamily,
    task: Task,
    checkpoint: Checkpoint,
    components: Mapping[str, Any],
    *,
    class_name: str = "",
) -> Any:
    """A pipeline that only embeds prompts, with nothing but text encoders and tokenizers.

    Args:
        family: The checkpoint's family.
        task: What the whole pipeline does.
        checkpoint: The checkpoint, whose index has settings of the pipeline.
        components: The loaded text encoders and what belongs to them.
        class_name: The whole pipeline's class in diffusers; that of the task if it is not given.

    Raises:
        InvalidValueError: A package that the pipeline imports is not installed.
    """
    import diffusers

    compatibility.refuse_missing_packages(task, family)
    name = family.prompt_encoding.encode_prompt_of or class_name or family.pipelines[task]
    with quiet_libraries():
        cls = getattr(diffusers, name)
        settings = pipeline_settings(cls, checkpoint, family)
        absent = {**dict.fromkeys(_required(cls)), **family.prompt_encoding.read_by_constructor}
        pipe = cls(**{**absent, **settings, **components})
    # Without T5 that of Stable Diffusion 3 reads the width of its embeddings there.
    config = SimpleNamespace(**family.denoiser_config(checkpoint))
    setattr(pipe, family.denoiser.name, SimpleNamespace(config=config))
    return pipe


def pipeline_settings(
    pipeline: type, checkpoint: Checkpoint, family: ModelFamily
) -> dict[str, object]:
    """The settings in a checkpoint's index, and those that switch off what is not needed.

    Args:
        pipeline: The pipeline's class in diffusers.
        checkpoint: The checkpoint.
        family: Its family.
    """
    accepted = _parameters(pipeline)
    settings = {name: value for name, value in DISABLED_EXTRAS.items() if name in accepted}
    in_index = resolve(checkpoint).index or {}
    for name in family.index_settings:
        if name in accepted and name in in_index:
            settings[name] = in_index[name]
    return settings


def add_missing_settings(network: Any, settings: Mapping[str, object]) -> None:
    """Adds settings that a pipeline reads to the config of a network that lacks them."""
    missing = {name: value for name, value in settings.items() if name not in network.config}
    if missing:
        network.register_to_config(**missing)


def with_size(
    pipe: Any, family: ModelFamily, task: Task, call: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a pipeline's call, after the pipeline was given a size in its own way.

    Args:
        pipe: The pipeline.
        family: Its family.
        task: What it does.
        call: The arguments, among them `width` and `height`.
    """
    if family.apply_size is None:
        return dict(call)
    others = {name: value for name, value in call.items() if name not in ("width", "height")}
    return {**others, **family.apply_size(pipe, task, call["width"], call["height"])}


def step_callback(pipe: Any, progress: Progress) -> dict[str, object]:
    """The argument of a pipeline's call by which it tells of each step.

    Args:
        pipe: The pipeline.
        progress: Called after each step with its number and the number of all steps.
    """

    def report(pipeline: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        progress(step + 1, pipeline.num_timesteps)
        return tensors

    def report_old(step: int, _: Any, __: Any) -> None:
        # It is called for whole steps: a scheduler of second order has two timesteps for each
        # step, and one for the last.
        total = -(-len(pipe.scheduler.timesteps) // pipe.scheduler.order)
        progress(min(step + 1, total), total)

    accepted = _parameters(type(pipe).__call__)
    if "callback_on_step_end" in accepted:
        return {"callback_on_step_end": report}
    if "callback" not in accepted:
        pipe.progress_bar = partial(_ReportingBar, progress)
        return {}
    return {"callback": report_old, "callback_steps": 1}


class _ReportingBar:
    """Stands for the progress bar of a pipeline that tells of its steps in no other way.

    Args:
        progress: Called after each step with its number and the number of all steps.
        total: The number of all steps.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._step = progress, total, 0

    def __enter__(self) -> _ReportingBar:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be closed."""

    def update(self) -> None:
        """Tells of one more step."""
        self._step += 1
        self._progress(self._step, self._total)


@cache
def _parameters(function: Callable[..., object]) -> Container[str]:
    """The names of the parameters of a function, or of a pipeline's class."""
    return frozenset(signature(function).parameters)


@cache
def _required(pipeline: type) -> tuple[str, ...]:
    """The names of the parameters of a pipeline's class that have no default."""
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(pipeline).parameters.items()
    return tuple(
        name for name, each in parameters if each.default is Parameter.empty and each.kind in named
    )
