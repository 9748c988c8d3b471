"""The base of all diffusion nodes: their components, memory, checks and run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sdgraph.errors import Problem
from sdgraph.graph import Progress, Stage
from sdgraph.models import Models, quiet_libraries
from sdgraph.nodes.diffusion.adapters import lora
from sdgraph.nodes.diffusion.adapters.merged_memory import merged_bytes
from sdgraph.nodes.diffusion.pipelines import compatibility
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator, to_pixels
from sdgraph.nodes.diffusion.pipelines.pipeline_settings import (
    make_pipeline,
    step_callback,
    with_size,
)
from sdgraph.nodes.diffusion.prompts import prompt_embeddings, textual_inversion
from sdgraph.nodes.diffusion.sampling.schedulers import make_scheduler
from sdgraph.nodes.diffusion.tuning import performance
from sdgraph.nodes.diffusion.tuning.offloading import offload_modules
from sdgraph.nodes.diffusion.tuning.working_memory import (
    complete_size,
    offloaded_bytes,
    peak_bytes,
    planned_size,
)
from sdgraph.values import Checkpoint, Lora, Part

from . import node_batches, node_checks, node_stages
from .diffusion_fields import DiffusionFields
from .families import SCHEDULER, Config, ModelFamily, family_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T_co = TypeVar("T_co", covariant=True)


class Diffusion(DiffusionFields[T_co], Generic[T_co]):
    """The base class of all diffusion nodes: what they load and check, and how they run."""

    def parts(self) -> Mapping[str, Part]:
        """The components of the checkpoint that pipelines of its family compute with."""
        checkpoint, family = self.known_checkpoint, self.family
        names = family.components_of(checkpoint, self.task())
        components = {name: self.make_part(checkpoint, name, family=family) for name in names}
        adapters = lora.lora_parts(self.loras)
        return {**components, **adapters, **textual_inversion.inversion_parts(self.embeddings)}

    def make_part(
        self, checkpoint: Checkpoint, folder: str = "", *, family: ModelFamily | None = None
    ) -> Part:
        """A component of a checkpoint, placed by `offload`; the denoiser is cast by `tuning`.

        `family` is that of the node's own checkpoint, if it is known already.
        """
        family, on_host = family or self.family, self.offload != "none"
        if folder not in family.denoisers:
            return Part(
                checkpoint,
                folder,
                on_host=on_host,
                max_tokens=family.max_tokens(folder),
                encodes_text=any(folder == encoder.name for encoder in family.text_encoders),
            )
        return Part(
            checkpoint,
            folder,
            on_host=on_host,
            casting=self.tuning.get("layerwise_casting"),
            uncast_layers=family.denoiser.uncast_layers,
            quantized=True,
        )

    def stages(self) -> Iterator[Stage]:
        """The embedding of its prompts, unless adapters change the text encoders."""
        yield from node_stages.prompt_stages(self)

    def run_stage(self, name: str, models: Models, arguments: Mapping[str, Any]) -> bytes:
        """Embeds its prompts with nothing but its text encoders."""
        return node_stages.embed_alone(self, models, arguments)

    def stage_memory(self, name: str, sizes: Mapping[str, int], dtype: str) -> int:
        """The bytes that the text encoders need besides their weights."""
        return node_stages.embedding_memory(self, sizes, dtype)

    def prompt_pictures(self) -> Sequence[object]:
        """What decides on the pictures that text encoders read, if those of its family read any."""
        return ()

    def seen_pictures(self, arguments: Mapping[str, Any]) -> Any:
        """The picture that text encoders read, or a list of them; None if they read words alone.

        Args:
            arguments: The values of the ports.
        """
        return None

    def embed_prompts(
        self,
        pipe: Any,
        models: Models,
        prompt: str,
        negative_prompt: str,
        pictures: Any = None,
    ) -> dict[str, Any]:
        """The arguments with which a prepared pipeline is called instead of the prompts."""
        return prompt_embeddings.embed_prompts(
            pipe,
            prompt_embeddings.with_encoding_for(self.family, self.known_checkpoint),
            models,
            prompt_embeddings.PromptInputs(
                prompt=prompt,
                negative=negative_prompt,
                guided=self.is_guided,
                vectors=textual_inversion.load_vectors(models),
                clip_skip=self.known_checkpoint.clip_skip,
                pictures=pictures,
            ),
        )

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        """The bytes that denoising or decoding needs, at the size that is known before the run."""
        dtype = self.known_checkpoint.dtype or dtype
        merged = merged_bytes(self.loras, self.family, dtype)
        offloaded = offloaded_bytes(self.offload, sizes)
        step = peak_bytes(
            self.family,
            self.known_checkpoint,
            dtype,
            self.planned_size(),
            images=self.batch_size(),
            guided=self.is_guided,
            vae=self.tuning.get("vae"),
            cache=self.tuning.get("cache"),
            controls=self.control_configs(),
            references=self.reference_area(),
            task=self.task(),
            decoded=self.decoded_at_once(),
        )
        return offloaded + max(merged.held + step, merged.merging)

    def decoded_at_once(self) -> int | None:
        """How many pictures or frames are decoded at once, if it is said; None for all."""
        return None

    def reference_area(self) -> int:
        """The pixels of pictures of which the denoiser gets tokens, besides those it makes."""
        return 0

    def planned_size(self) -> tuple[int, int] | None:
        """The width and height of the pipeline's picture, if they are known before the run."""
        return planned_size(self) or complete_size(
            self.size_source(), self.family.native_size(self.known_checkpoint)
        )

    def control_configs(self) -> Sequence[Config]:
        """The configs of the ControlNets that add their results to those of the denoiser."""
        return ()

    def pipeline_class(self) -> str:
        """The class in diffusers that does its task."""
        return self.family.pipelines[self.task()]

    def batch_size(self) -> int:
        """The number of pictures that it generates at once."""
        return 1

    def can_batch(self) -> bool:
        """Whether the pipelines of its family take the prompts of several pictures."""
        return super().can_batch() and self.family.denoiser.batches

    def is_batch_exact(self, device: str, dtype: str) -> bool:
        """Whether its networks are known to give a picture the same bits in a batch."""
        return self.can_batch() and node_batches.is_exact(self, device, dtype)

    def best_batch(self, device: str, dtype: str) -> int:
        """The number of pictures from which on more at once take no less time for each."""
        return node_batches.BEST_ON_CPU

    def batch_memory(self, count: int, sizes: Mapping[str, int], dtype: str) -> int:
        """The bytes for denoising all pictures of a batch, or for decoding one."""
        return self.working_memory(sizes, dtype) + node_batches.further_bytes(self, count, dtype)

    @classmethod
    def run_batch(
        cls,
        nodes: Sequence[Self],
        models: Sequence[Models],
        arguments: Sequence[Mapping[str, Any]],
        progress: Progress,
    ) -> Sequence[Any]:
        """Generates the pictures of several nodes by one call of the pipeline."""
        return node_batches.run_batch(nodes, models, arguments, progress)

    def picture_call(self, arguments: Mapping[str, Any]) -> node_batches.PictureCall:
        """What the pipeline is called with besides the prompts, and what the pixels become.

        Args:
            arguments: The values of the ports.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it calls its pipeline")

    def low_memory_variants(self) -> Iterator[tuple[str, Self]]:
        """Decodes in slices and tiles; then also moves weights in groups."""
        node = self
        if self.tuning.get("vae") != "both":
            node = self.replace(tuning={**self.tuning, "vae": "both"})
            yield "the autoencoder works by slices and tiles", node
        if self.offload in ("none", "model"):
            yield "weights stay on the host and move by groups", node.replace(offload="group")

    def check(self) -> Iterator[Problem]:
        """Checks that checkpoint, adapters, settings, prompts and size fit together, by configs."""
        checkpoint = self.checkpoint
        if isinstance(checkpoint, Lora):
            found = f"{checkpoint.source}, an adapter"
            yield Problem("checkpoint", found, "a whole checkpoint", "put it under `loras`")
            return
        family = family_of(checkpoint) if isinstance(checkpoint, Checkpoint) else None
        prompts = {"prompt": self.prompt, "negative_prompt": self.negative_prompt}
        yield from lora.lora_problems(self.loras, checkpoint, family)
        yield from textual_inversion.inversion_problems(
            self.embeddings, checkpoint, family, list(prompts.values())
        )
        yield from compatibility.weight_problems(prompts)
        yield from performance.tuning_problems(
            self.tuning, self.offload, self.loras, checkpoint, family
        )
        if isinstance(checkpoint, Checkpoint):
            yield from node_checks.checkpoint_problems(self, checkpoint, family)

    def warnings(self) -> Iterator[Problem]:
        """Prompts that do not mean here what they mean elsewhere, or mean nothing."""
        yield from node_checks.node_warnings(self)

    def assemble(self, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        """Makes the diffusers pipeline for its task from leased components and a fresh scheduler.

        It takes less than a millisecond; every run makes its own.

        Args:
            models: The leased components.
            checkpoint: The checkpoint of the components.
            more: Further arguments of the pipeline, such as ControlNets.
        """
        scheduler = make_scheduler(checkpoint, self.scheduler, self.schedule)
        loaded = models.without(lora.PREFIX).without(textual_inversion.PREFIX)
        components = {**loaded, SCHEDULER: scheduler, **self.guidance_components(), **more}
        return make_pipeline(
            self.family, self.task(), checkpoint, components, class_name=self.pipeline_class()
        )

    def pipeline(self, models: Models, checkpoint: Checkpoint) -> Any:
        """The pipeline with all components that the node's calls need, as `assemble` makes it."""
        return self.assemble(models, checkpoint)

    @contextmanager
    def prepare(self, pipe: Any, models: Models) -> Iterator[None]:
        """Applies adapters, settings and offloading to a pipeline, and undoes them afterwards."""
        family = self.family
        with (
            lora.apply_loras(pipe, self.loras, models, family),
            performance.apply_tuning(
                pipe, self.tuning, models.device, family, steps=self.chosen_steps
            ),
            self.offload_modules(pipe, models),
        ):
            yield

    def offload_modules(self, pipe: Any, models: Models) -> AbstractContextManager[None]:
        """Moves a pipeline's modules to the device as `offload` says, and back afterwards."""
        return offload_modules(pipe, self.offload, models.device, self.family)

    def generate(
        self,
        pipe: Any,
        models: Models,
        progress: Progress,
        *,
        prompt: str,
        negative_prompt: str,
        seen: Any = None,
        **call: Any,
    ) -> npt.NDArray[np.uint8]:
        """Runs a pipeline and returns its first picture.

        Args:
            pipe: The pipeline, as `assemble` makes it.
            models: The leased components.
            progress: Called after each step.
            prompt: What the picture shows.
            negative_prompt: What it must not show.
            seen: The pictures that are read with the prompt, if not those of `image`.
            call: Further arguments of the pipeline's call.

        Returns:
            uint8, height × width × 3.

        Raises:
            InvalidValueError: The picture has NaN in it.
        """
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt, "seen": seen}
        return to_pixels(self.call_pipeline(pipe, models, progress, **prompts, **call)[0])

    def call_pipeline(
        self,
        pipe: Any,
        models: Models,
        progress: Progress,
        *,
        prompt: str,
        negative_prompt: str,
        seen: Any = None,
        output_type: str = "np",
        **call: Any,
    ) -> Any:
        """Runs a pipeline and returns its pictures, as `generate` does its first one.

        Args:
            pipe: The pipeline, as `assemble` makes it.
            models: The leased components.
            progress: Called after each step.
            prompt: What the picture shows.
            negative_prompt: What it must not show.
            seen: The pictures that are read with the prompt.
            output_type: What the pipeline makes: "np" for pictures, "latent" for their latents.
            call: Further arguments of the pipeline's call.
        """
        pictures = seen or call.get("image")
        call = with_size(pipe, self.family, self.task(), call)
        with quiet_libraries(), self.prepare(pipe, models):
            output = pipe(
                num_inference_steps=self.chosen_steps,
                **self.guidance_arguments(),
                generator=random_generator(self.seed),
                **step_callback(pipe, progress),
                output_type=output_type,
                **self.embed_prompts(pipe, models, prompt, negative_prompt, pictures),
                **self.family.call_options(self.chosen_steps),
                **call,
            )
        return output.images
