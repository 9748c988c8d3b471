"""The base of diffusion nodes whose subject may be given by pictures, through an IP-Adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.adapters import lora
from sdgraph.nodes.diffusion.adapters.ip_adapter import (
    adapter_bytes,
    apply_ip_adapter,
    default_adapter,
    default_encoder,
    image_processor,
    ip_adapter_problems,
    reference_arguments,
    reference_problems,
)
from sdgraph.values import Checkpoint, Image, Lora, Part

from .families import FEATURE_EXTRACTOR, family_of
from .node import Diffusion
from .picture_fields import refuse_empty_list

T_co = TypeVar("T_co", covariant=True)

_ADAPTER, _ENCODER = "ip_adapter", "image_encoder"
"""The names of the adapter and its image encoder among a node's components."""


class ReferenceGuided(Diffusion[T_co], Generic[T_co]):
    """A diffusion node whose subject may be given by pictures (IP-Adapter, Ye et al. 2023)."""

    reference: In[Image] | Sequence[In[Image]] | None = Field(
        default=None, description="what the subject looks like: a picture of it, or several"
    )
    ip_adapter: lora.LoraField | None = Field(
        default=None,
        description="the IP-Adapter for `reference`: a folder, a file or a hub id, with its "
        "scale; chosen by the checkpoint if not given",
    )
    image_encoder: In[Checkpoint] | None = Field(
        default=None, description="the adapter's image encoder; the one next to it if not given"
    )

    @model_validator(mode="after")
    def _adapters_have_a_reference(self) -> Self:
        for name in (_ADAPTER, _ENCODER):
            if self.reference is None and getattr(self, name) is not None:
                found, fix = f"none, and {name} is set", f"or leave out {name}"
                raise refuse("reference", found=found, wanted="a picture of it", fix=fix)
        refuse_empty_list("reference", self.reference)
        return self

    def _adapter(self) -> Lora:
        return self.ip_adapter or default_adapter(self.checkpoint)

    def _encoder(self) -> Any:
        return self.image_encoder or default_encoder(self._adapter())

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.reference is not None:
            encoder = self._encoder()
            assert isinstance(encoder, Checkpoint), (
                "a node in this field was replaced by its result"
            )
            # Its features are inputs of the denoiser's layers, so both are in one dtype.
            parts[_ENCODER] = self.make_part(encoder.in_dtype(self.known_checkpoint.dtype))
            parts[_ADAPTER] = Part(self._adapter().unscaled, on_host=True)
        return parts

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        needed = super().working_memory(sizes, dtype)
        return needed if self.reference is None else needed + adapter_bytes(self._adapter())

    def can_batch(self) -> bool:
        return self.reference is None and super().can_batch()

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.reference is None:
            return
        yield from self._knob_problems()
        base = self.checkpoint
        family = family_of(base) if isinstance(base, Checkpoint) else None
        if family is not None:
            pictures = self.reference if isinstance(self.reference, list | tuple) else (0,)
            yield from reference_problems(pictures, family, self.task())
        try:
            yield from ip_adapter_problems(self._adapter(), self._encoder(), base, family)
        except CheckpointError as error:
            yield from error.as_problems_of(_ADAPTER, "an IP-Adapter for this checkpoint")

    def _knob_problems(self) -> Iterator[Problem]:
        """The problems of settings that would replace the layers of the adapter."""
        for knob in ("attention", "compile", "layerwise_casting"):
            value = self.tuning.get(knob)
            if value and not (knob == "attention" and str(value).startswith(("_native", "native"))):
                found = f"{knob}: {str(value).lower()} with a reference"
                yield Problem("tuning", found, "one of the two", "leave one out")

    def assemble(self, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        if self.reference is not None:
            side = models[_ENCODER].config.image_size
            more[FEATURE_EXTRACTOR] = image_processor(side, self.family.ip_adapter)
            models = models.without(_ADAPTER)
        return super().assemble(models, checkpoint, **more)

    def reference_call(self, reference: Image | tuple[Image, ...] | None) -> dict[str, Any]:
        """The pictures of the subject as arguments of the pipeline's call."""
        return reference_arguments(reference, self.family)

    @contextmanager
    def prepare(self, pipe: Any, models: Models) -> Iterator[None]:
        if self.reference is None:
            with super().prepare(pipe, models):
                yield
            return
        # First, so that offloading moves the adapter's layers too.
        with (
            apply_ip_adapter(pipe, models[_ADAPTER], self._adapter(), self.family),
            super().prepare(pipe, models),
        ):
            yield
