"""How the pipelines of a family embed prompts, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from typing import Any

from .networks import Config
from .picture_prompts import PictureInput

MASKED_EMBEDDINGS = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)
"""What `encode_prompt` of many pipelines returns: embeddings, each with its attention mask."""

_EMBEDDING, _MASK = "prompt_embeds", "prompt_attention_mask"


def _no_instruction(pipe: Any) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class PromptEncoding:
    """What a pipeline's `encode_prompt` takes and returns.

    Args:
        results: The arguments of the pipeline's call for what `encode_prompt` returns, in order; ""
            for what the call does not take, such as position ids.
        per_prompt: Whether it embeds one prompt at a time; then the arguments for the negative
            prompt are `negative_` and those of the prompt. Otherwise one call embeds both.
        as_lists: Whether an embedding is a list with one tensor for each prompt.
        options: Further arguments of `encode_prompt`.
        call_defaults: Arguments of `encode_prompt` for which the pipeline's call has a default of
            its own, which is taken.
        empty_negative: What stands for no negative prompt.
        instruction: What the pipeline writes before each prompt, which the text encoder reads too.
        in_windows: Whether its text encoders read long prompts, weights such as (star:1.2) and
            words of textual inversions window by window, as those of CLIP do.
        encode_prompt_of: The pipeline whose `encode_prompt` is used; "" for the pipeline's own.
        left_padding: To how many tokens embeddings and their masks are padded at their beginning,
            by tokens that the denoiser does not see; they are remembered without them. 0 for none.
        memory: The bytes that the pipeline needs to bring embeddings to the denoiser's width, by
            the denoiser's config, the number of prompts and the dtype; None for hardly any.
        pictures: How its text encoder is given the pictures that are edited; None if it reads
            words alone.
        options_by_config: Further options, by the denoiser's config.
        read_by_constructor: By the name of a component, an object with what the constructor of
            its pipeline reads of it: it stands for the component where only prompts are embedded.
    """

    results: tuple[str, ...]
    per_prompt: bool = False
    as_lists: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    call_defaults: tuple[str, ...] = ()
    empty_negative: str | None = None
    instruction: Callable[[Any], str] = _no_instruction
    in_windows: bool = False
    encode_prompt_of: str = ""
    left_padding: int = 0
    memory: Callable[[Mapping[str, Any], int, str], int] | None = None
    pictures: PictureInput | None = None
    options_by_config: Callable[[Config], Mapping[str, Any]] | None = None
    read_by_constructor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What tells its embeddings from those that others make by the same text encoders."""
        instruction = f"{self.instruction.__module__}.{self.instruction.__qualname__}"
        data = (
            self.results,
            self.per_prompt,
            self.as_lists,
            sorted(self.options.items()),
            self.call_defaults,
            self.empty_negative,
            self.in_windows,
            self.pictures,
        )
        return f"{data} {instruction}"

    def for_denoiser(self, config: Config) -> PromptEncoding:
        """The encoding with the options that follow from a denoiser's config."""
        if self.options_by_config is None:
            return self
        return replace(self, options={**self.options, **self.options_by_config(config)})

    def encode(
        self,
        pipe: Any,
        prompt: str,
        negative: str,
        device: str,
        *,
        guided: bool,
        pictures: Any = None,
    ) -> Iterator[tuple[str, Any]]:
        """The tensors of embedded prompts, by the names of the pipeline's arguments.

        Args:
            pipe: The pipeline, with its text encoders.
            prompt: What the picture shows.
            negative: What it must not show.
            device: The device to compute on.
            guided: Whether the negative prompt is embedded too.
            pictures: The picture that the prompt speaks of, or a list of them.
        """
        options = {**self.options, "device": device}
        if self.pictures is not None:
            options["image"] = self.pictures.prepare(pipe, pictures)
        call = signature(type(pipe).__call__).parameters if self.call_defaults else {}
        options |= {name: call[name].default for name in self.call_defaults}
        encode_prompt = self._encode_prompt(pipe)
        if not self.per_prompt:
            encoded = encode_prompt(
                prompt=prompt,
                negative_prompt=(negative if guided else "") or self.empty_negative,
                do_classifier_free_guidance=guided,
                **options,
            )
            yield from self.name_results(encoded)
            return
        yield from self.name_results(encode_prompt(prompt=prompt, **options))
        if guided:
            encoded = encode_prompt(prompt=negative, **options)
            yield from self.name_results(encoded, "negative_")

    def _encode_prompt(self, pipe: Any) -> Callable[..., Any]:
        """The function that embeds prompts with the text encoders of a pipeline."""
        if not self.encode_prompt_of:
            return pipe.encode_prompt  # type: ignore[no-any-return]
        import diffusers

        return partial(getattr(diffusers, self.encode_prompt_of).encode_prompt, pipe)

    def name_results(self, encoded: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """What `encode_prompt` returned, by argument; without what is None or no argument.

        Args:
            encoded: The results in order.
            prefix: What the names of the arguments begin with.
        """
        for name, result in zip(self.results, encoded, strict=True):
            tensor = (result or [None])[0] if self.as_lists else result
            if name and tensor is not None:
                yield prefix + name, tensor

    def without_padding(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tensors of embedded prompts without the padding at their beginning."""
        if not self.left_padding:
            return tensors
        counts = {
            name.removesuffix(_MASK): int(mask.sum())
            for name, mask in tensors.items()
            if name.endswith(_MASK)
        }
        return {
            name: tensor[:, -count:]
            for name, tensor in tensors.items()
            for prefix, count in counts.items()
            if name in (prefix + _MASK, prefix + _EMBEDDING)
        }

    def _with_padding(self, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.left_padding:
            return tensors
        padded = {}
        for name, tensor in tensors.items():
            count = self.left_padding - tensor.shape[1]
            padded[name] = tensor.new_zeros(1, self.left_padding, *tensor.shape[2:])
            padded[name][:, count:] = tensor
        return padded

    def as_arguments(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the pipeline's call for tensors by name, padded where it pads them."""
        tensors = self._with_padding(tensors)
        arguments = {name: [each] if self.as_lists else each for name, each in tensors.items()}
        if self.empty_negative is not None and "negative_prompt_embeds" in arguments:
            arguments["negative_prompt"] = None  # a text, unless told otherwise
        return arguments


CLIP_ENCODING = PromptEncoding(
    results=("prompt_embeds", "negative_prompt_embeds"),
    options={"num_images_per_prompt": 1},
    in_windows=True,
)
"""One text encoder of CLIP, as in Stable Diffusion."""
