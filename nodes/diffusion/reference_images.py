"""What nodes share that take what a subject looks like from pictures of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, refuse
from sdgraph.models import Models, resolve
from sdgraph.values import Checkpoint, Image, Lora, Part

from . import ip_adapter, lora
from .families import family_of
from .node import Diffusion

T_co = TypeVar("T_co", covariant=True)

_ADAPTER, _ENCODER = "ip_adapter", "image_encoder"
"""The adapter and its image encoder among a node's components."""


class Referenced(Diffusion[T_co], Generic[T_co]):
    """A diffusion node whose subject may be given by pictures (IP-Adapter, Ye et al. 2023)."""

    reference: In[Image] | Sequence[In[Image]] | None = Field(
        default=None, description="what the subject looks like: a picture of it, or several"
    )
    ip_adapter: lora.Adapter | None = Field(
        default=None,
        description="reads the reference: a folder, a file or a hub id, with scale; by the "
        "checkpoint if unset",
    )
    image_encoder: In[Checkpoint] | None = Field(
        default=None, description="what the adapter sees by; the one beside it if unset"
    )

    @model_validator(mode="after")
    def _there_is_something_to_read(self) -> Self:
        for name in (_ADAPTER, _ENCODER):
            if self.reference is None and getattr(self, name) is not None:
                found, fix = f"none, and {name} is set", f"or leave out {name}"
                raise refuse("reference", found=found, wanted="a picture of it", fix=fix)
        if isinstance(self.reference, list | tuple) and not self.reference:
            raise refuse("reference", found="an empty list", wanted="at least one picture")
        return self

    def _adapter(self) -> Lora:
        return self.ip_adapter or ip_adapter.default_adapter(self.checkpoint)

    def _seen_by(self) -> Any:
        return self.image_encoder or ip_adapter.default_encoder(self._adapter())

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.reference is not None:
            encoder = self._seen_by()
            assert isinstance(encoder, Checkpoint), "a checkpoint from a node is put in before"
            # What it sees is read by the U-Net's own layers.
            parts[_ENCODER] = self.part(encoder.in_dtype(parts["unet"].checkpoint.dtype))
            parts[_ADAPTER] = Part(self._adapter().unscaled, on_host=True)
        return parts

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        read = ip_adapter.held(self._adapter()) if self.reference is not None else 0
        return super().working_memory(sizes, dtype) + read

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.reference is None:
            return
        yield from self._unturnable()
        base: object = self.checkpoint
        if isinstance(base, Checkpoint) and (
            family_of(base) is None or not resolve(base).config("unet")
        ):
            base = None  # not here, or no pipeline, which is told already
        try:
            yield from ip_adapter.problems(self._adapter(), self._seen_by(), base)
        except CheckpointError as error:
            yield from error.as_problems_of(_ADAPTER, "an IP-Adapter for this checkpoint")

    def _unturnable(self) -> Iterator[Problem]:
        """Knobs that put other layers where the adapter's must stand."""
        for knob in ("attention", "compile", "layerwise_casting"):
            given = self.tuning.get(knob)
            if given and not (knob == "attention" and str(given).startswith(("_native", "native"))):
                found = f"{knob}: {str(given).lower()} with a reference"
                yield Problem("tuning", found, "one of the two", "leave one out")

    def assemble(self, pipeline: str, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        if self.reference is not None:
            more["feature_extractor"] = ip_adapter.processor(models[_ENCODER].config.image_size)
            models = models.without(_ADAPTER)
        return super().assemble(pipeline, models, checkpoint, **more)

    @contextmanager
    def prepared(self, pipe: Any, models: Models) -> Iterator[None]:
        if self.reference is None:
            with super().prepared(pipe, models):
                yield
            return
        # First, so that what moves modules over moves the adapter's too.
        with (
            ip_adapter.put_on(pipe, models[_ADAPTER], self._adapter()),
            super().prepared(pipe, models),
        ):
            yield


def shown(reference: Image | tuple[Image, ...] | None) -> dict[str, Any]:
    """The pictures of the subject as a pipeline is called with them."""
    if reference is None:
        return {}
    pictures = reference if isinstance(reference, tuple) else (reference,)
    return {"ip_adapter_image": [[each.rgb for each in pictures]]}
