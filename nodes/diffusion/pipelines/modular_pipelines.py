"""Makes diffusers' modular pipelines from loaded components, and gives them what they take.

A modular pipeline is made of blocks, which describe what they take and make. Blocks are taken from
diffusers alone: a checkpoint that brings blocks of its own brings code, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from sdgraph.errors import CheckpointError, InvalidValueError, Problem, did_you_mean
from sdgraph.graph import Progress
from sdgraph.models import (
    LIBRARIES,
    MODULAR_INDEX,
    ComponentPlace,
    Models,
    newer_version_advice,
    places_elsewhere,
    quiet_libraries,
    read_config,
    resolve,
)
from sdgraph.nodes.diffusion.families import SCHEDULER
from sdgraph.nodes.diffusion.sampling.schedulers import make_scheduler
from sdgraph.values import COMPONENTS, Checkpoint, ComponentSource, Part

_OWN_BLOCKS = "modular_config.json"
"""The file of a checkpoint that brings blocks of its own."""

_DENOISERS = ("transformer", "unet")
"""The components that a checkpoint's quantization applies to."""

_TEXT_ENCODER = "text_encoder"
"""What the names of text encoders begin with."""

_SCALARS = (bool, int, float, str)
_PICTURES = ("images", "image")
"""What the outputs with pictures are called."""


def index_problems(checkpoint: Checkpoint) -> Iterator[Problem]:
    """The problems of a checkpoint that names no modular pipeline of diffusers, or names code.

    Args:
        checkpoint: The checkpoint; one that is not on this disk has none.
    """
    resolved = resolve(checkpoint)
    root, index = resolved.root, resolved.index
    if root is None or index is None:
        return
    try:
        read_config(root / _OWN_BLOCKS)
        entries = read_config(root / MODULAR_INDEX) or {}
    except CheckpointError as error:
        yield from error.as_problems_of("checkpoint", "a checkpoint without code")
        return
    class_name = str(index.get("_class_name") or "")
    if not re.fullmatch(r"\w+Pipeline", class_name):
        found = f"{checkpoint.source}, which names no pipeline"
        wanted = f"a folder with a {MODULAR_INDEX} or a model_index.json"
        yield Problem("checkpoint", found, wanted)
    for name, entry in entries.items():
        if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[2], Mapping):
            continue
        hint = list(entry[2].get("type_hint") or entry[:2])
        if hint != entry[:2] or entry[0] not in (*LIBRARIES, None):
            found = f"{checkpoint.source}, whose {name} is a {'.'.join(map(str, hint))}"
            fix = "the file is damaged or made to run code: copy the checkpoint again"
            yield Problem("checkpoint", found, f"a class of {' or '.join(LIBRARIES)}", fix)


def modular_parts(checkpoint: Checkpoint) -> dict[str, Part]:
    """The components of a modular pipeline: in its folder, or where its index says they are.

    The scheduler is one only if it is elsewhere: one in the folder is made from its config.

    Args:
        checkpoint: The checkpoint; one that is not on this disk has none.
    """
    resolved = resolve(checkpoint)
    places = {} if resolved.root is None else places_elsewhere(checkpoint.source, resolved.root)
    names = (name for name in resolved.classes if name not in checkpoint.parts)
    return {
        **{name: _part(checkpoint, name) for name in checkpoint.parts if name in resolved.classes},
        **{
            name: _part(checkpoint, name, places.get(name))
            for name in names
            if name != SCHEDULER or name in places
        },
    }


def with_places(checkpoint: Checkpoint) -> Checkpoint:
    """A checkpoint that names the networks which its index takes from elsewhere, for their configs.

    Args:
        checkpoint: The checkpoint of a modular pipeline.
    """
    root = resolve(checkpoint).root
    places = {} if root is None else places_elsewhere(checkpoint.source, root)
    named = {
        name: {"source": place.source, "subfolder": place.subfolder, "revision": place.revision}
        for name, place in places.items()
        if name in COMPONENTS
    }
    return Checkpoint(**{**named, **checkpoint.fields}) if named else checkpoint


def _part(checkpoint: Checkpoint, name: str, place: ComponentPlace | None = None) -> Part:
    quantized, encodes_text = name in _DENOISERS, name.startswith(_TEXT_ENCODER)
    if place is None:
        return Part(checkpoint, name, quantized=quantized, encodes_text=encodes_text)
    source = ComponentSource(
        place.source,
        component=name,
        base=checkpoint,
        subfolder=place.subfolder,
        variant=place.variant,
        revision=place.revision,
    )
    return Part(
        source,
        quantized=quantized,
        encodes_text=encodes_text,
        tokenizer="Tokenizer" in place.class_name,
        processor=place.class_name.endswith(("Processor", "FeatureExtractor")),
    )


def component_problems(checkpoint: Checkpoint) -> Iterator[Problem]:
    """The problems of components that are not here, and of which the index says no other place.

    Args:
        checkpoint: The checkpoint, with an index without problems.
    """
    resolved = resolve(checkpoint)
    if resolved.root is None or resolved.must_fetch:
        return
    places = places_elsewhere(checkpoint.source, resolved.root)
    for name in resolved.classes:
        if name not in (*checkpoint.parts, *places) and not (resolved.root / name).is_dir():
            found = f"{checkpoint.source}, which has no folder {name}"
            yield Problem("checkpoint", found, "its components in folders of their names")


def make_modular_pipeline(checkpoint: Checkpoint, models: Models) -> Any:
    """The modular pipeline of a checkpoint, with loaded components and a fresh scheduler.

    Args:
        checkpoint: The checkpoint, which is on this disk.
        models: The leased components.

    Raises:
        InvalidValueError: diffusers has no such modular pipeline.
    """
    import diffusers

    root = str(resolve(checkpoint).root)
    with quiet_libraries():
        try:
            pipe = diffusers.ModularPipeline.from_pretrained(
                root, trust_remote_code=False, local_files_only=True
            )
        except (AttributeError, ImportError, TypeError, ValueError) as error:
            found = f"{checkpoint.source}: {' '.join(str(error).split())[:200]}"
            wanted = f"a checkpoint of a modular pipeline of diffusers {diffusers.__version__}"
            fix = newer_version_advice("diffusers", resolve(checkpoint).index)
            raise InvalidValueError(Problem("checkpoint", found, wanted, fix)) from None
        components = dict(models)
        if SCHEDULER in pipe.component_names:
            components[SCHEDULER] = _fresh_scheduler(checkpoint, models.get(SCHEDULER))
        taken = {name: each for name, each in components.items() if name in pipe.component_names}
        pipe.update_components(**taken)
    return pipe


def _fresh_scheduler(checkpoint: Checkpoint, loaded: Any) -> Any:
    """A new scheduler with the config of one that is shared, or else of the checkpoint."""
    return type(loaded).from_config(loaded.config) if loaded else make_scheduler(checkpoint, None)


def called_arguments(pipe: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a modular pipeline's call, checked against its own description.

    Args:
        pipe: The pipeline.
        given: The values by the names of the pipeline's inputs.

    Raises:
        InvalidValueError: The pipeline has no such input, needs another one, or takes another type.
    """
    inputs = {each.name: each for each in pipe.blocks.inputs if each.name}
    problems = [
        Problem(
            f"inputs: {name}",
            "an input that the pipeline does not have",
            f"one of {', '.join(sorted(inputs))}",
            did_you_mean(name, inputs),
        )
        for name in given
        if name not in inputs
    ]
    for name, each in inputs.items():
        if name not in given and each.required and each.default is None:
            fix = f"set it in `inputs`: {each.description}".rstrip(": ")
            problems.append(Problem(f"inputs: {name}", "none", "a value: it is required", fix))
        value = given.get(name)
        if value is not None and each.type_hint in _SCALARS and not _fits(value, each.type_hint):
            wanted = f"a value of type {each.type_hint.__name__}"
            problems.append(Problem(f"inputs: {name}", repr(value)[:80], wanted))
    if problems:
        raise InvalidValueError(problems)
    return dict(given)


def _fits(value: Any, wanted: type) -> bool:
    return type(value) is wanted or (wanted is float and type(value) is int)


def first_picture(pipe: Any, state: Any) -> Any:
    """The first picture that a modular pipeline made: floats 0..1, height × width × 3.

    Args:
        pipe: The pipeline.
        state: What its call returned.

    Raises:
        InvalidValueError: It made no picture, but a video or sound.
    """
    import numpy as np

    for name in _PICTURES:
        pictures = state.get(name)
        if pictures is not None and name in pipe.blocks.output_names:
            first = pictures[0] if isinstance(pictures, list) or pictures.ndim == 4 else pictures
            picture = np.asarray(first)
            return picture / 255 if picture.dtype == np.uint8 else picture
    made = ", ".join(pipe.blocks.output_names) or "nothing"
    found = f"a pipeline that makes {made}"
    raise InvalidValueError(Problem("checkpoint", found, "one that makes images"))


class _StepReporter:
    """What a loop of blocks takes for its progress bar, which reports each step."""

    def __init__(self, progress: Progress, total: int, items: Iterable[Any] = ()) -> None:
        self._progress, self._total, self._items, self._done = progress, total, items, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        self._progress(self._done, self._total)


def report_steps(pipe: Any, progress: Progress) -> None:
    """Makes a modular pipeline report each step instead of drawing a bar.

    Args:
        pipe: The pipeline. It gets copies of its blocks, some of which all pipelines share.
        progress: Called after each step; what it raises ends the run.
    """

    def bar(iterable: Any = None, total: int | None = None) -> _StepReporter:
        return _StepReporter(progress, len(iterable) if total is None else total, iterable or ())

    pipe._blocks = pipe.blocks
    _set_bars(pipe._blocks, bar)


def _set_bars(blocks: Any, bar: Callable[..., _StepReporter]) -> None:
    for block in blocks.sub_blocks.values():
        if hasattr(block, "progress_bar"):
            block.progress_bar = bar
        if getattr(block, "sub_blocks", None):
            _set_bars(block, bar)
