"""Checkpoints and LoRAs: the names of where weights come from; making one looks nothing up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import isfinite
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeGuard

from sdgraph.errors import did_you_mean

from .content import SMALL, digest, refuse_value
from .value import Value

DTYPES = ("float32", "float16", "bfloat16")
"""The dtypes that a model can be computed in."""

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "nf4": 0.5, "fp4": 0.5}
"""The bytes of one number in memory; 1 for dtypes that are not listed, such as int8 and float8."""

QUANTIZATIONS: dict[str, str] = {
    "int8": "bitsandbytes",
    "nf4": "bitsandbytes",
    "fp4": "bitsandbytes",
    "int8wo": "torchao",
    "float8wo": "torchao",
}
"""The ways to quantize linear layers, each with the package that implements it.

LLM.int8() (Dettmers et al. 2022); 4-bit NormalFloat and 4-bit float (Dettmers et al. 2023); int8
and float8 for the weights only.
"""


PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""What a denoiser can predict: the noise, the velocity (Salimans & Ho 2022), or the picture."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "dtype": DTYPES,
    "quantization": tuple(QUANTIZATIONS),
    "text_quantization": tuple(QUANTIZATIONS),
    "prediction_type": PREDICTION_TYPES,
}
"""The words that each of these fields may have."""

_PART_FIELDS = ("source", "revision", "variant", "dtype", "subfolder", "config")
"""The fields of a component from elsewhere; the others are those of the whole checkpoint."""


MOTION = "motion"
"""The name of a motion adapter (Guo et al. 2023) among the parts of a checkpoint.

It has the layers by which a U-Net that was trained for pictures makes videos.
"""

COMPONENTS = (
    "vae",
    "unet",
    "transformer",
    "transformer_2",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
    "image_encoder",
    MOTION,
)
"""The components with weights that a checkpoint may take from elsewhere, by diffusers' names.

The motion adapter is none of the checkpoint's own: it is added.
"""


def _is_source(source: object) -> TypeGuard[str]:
    return isinstance(source, str) and bool(source.strip()) and "\0" not in source


class Checkpoint(Value):
    """Where the weights of a model come from; nothing is loaded or looked up to make one.

    Args:
        source: A hub id ("stabilityai/sdxl-turbo"), a folder, one safetensors file with all
            weights ("./dreamshaper_8.safetensors"; in one of the user's model folders its name is
            enough), or a shipped checkpoint ("tiny/inpaint").
        revision: A branch, tag or commit on the hub; None is the main branch.
        variant: The variant of the files, such as "fp16" for `model.fp16.safetensors`.
        dtype: "float32", "float16" or "bfloat16"; None leaves it to the device.
        quantization: One of `QUANTIZATIONS`, for the linear layers of its denoiser; None is
            not quantized.
        text_quantization: One of `QUANTIZATIONS`, for the linear layers of its text encoders; None
            is not quantized.
        subfolder: The folder in the source that holds it; None is the top.
        config: For one file with all weights, a folder in diffusers' layout (or a shipped
            checkpoint, or one in the hub's cache) whose configs and tokenizers are used; None is
            those of the base that the file is recognised as.
        prediction_type: What the denoiser predicts: "epsilon", "v_prediction" or "sample"; None is
            what the checkpoint says.
        clip_skip: How many of the last layers of a text encoder of CLIP are left out for the
            prompt, as diffusers counts: 1 is "clip skip 2" elsewhere. None is the usual layer.
        parts: The components that are taken from elsewhere, by the names in `COMPONENTS`: each the
            source of one model, a mapping of its fields, or a checkpoint.

    Raises:
        InvalidValueError: A field is not one word, or not one of those listed here.

    Example:
        >>> Checkpoint("stabilityai/sdxl-turbo", variant="fp16", dtype="float16")
        Checkpoint('stabilityai/sdxl-turbo', variant='fp16', dtype='float16')
        >>> Checkpoint("tiny/inpaint", vae="./vae.safetensors").parts["vae"]
        Checkpoint('./vae.safetensors')
    """

    FIELDS: ClassVar[tuple[str, ...]] = (
        "source",
        "revision",
        "variant",
        "dtype",
        "quantization",
        "text_quantization",
        "subfolder",
        "config",
        "prediction_type",
        "clip_skip",
    )
    PART_NAMES: ClassVar[tuple[str, ...]] = COMPONENTS

    source: str
    revision: str | None
    variant: str | None
    dtype: str | None
    quantization: str | None
    text_quantization: str | None
    subfolder: str | None
    config: str | None
    prediction_type: str | None
    clip_skip: int | None
    parts: Mapping[str, Checkpoint]

    def __init__(
        self,
        source: str | PurePath,
        *,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        text_quantization: str | None = None,
        subfolder: str | None = None,
        config: str | PurePath | None = None,
        prediction_type: str | None = None,
        clip_skip: int | None = None,
        **parts: object,
    ) -> None:
        words = {
            "dtype": dtype,
            "quantization": quantization,
            "text_quantization": text_quantization,
            "prediction_type": prediction_type,
        }
        self._set_words(source, revision=revision, variant=variant, subfolder=subfolder, **words)
        config = str(config) if isinstance(config, PurePath) else config
        if config is not None and not _is_source(config):
            wanted = "a folder in diffusers' layout, or nothing"
            refuse_value("Checkpoint.config", repr(config), wanted)
        self.__dict__["config"] = config
        if subfolder is not None and not {"", ".", ".."}.isdisjoint(re.split(r"[/\\]", subfolder)):
            wanted = "a folder in the source, such as 'models/image_encoder', or nothing"
            refuse_value("Checkpoint.subfolder", repr(subfolder), wanted)
        for name, choices in _CHOICES.items():
            word = words[name]
            if word is not None and word not in choices:
                wanted, fix = f"one of {', '.join(choices)}", did_you_mean(word, choices)
                refuse_value(f"Checkpoint.{name}", repr(word), wanted, fix)
        if clip_skip is not None and (type(clip_skip) is not int or not 1 <= clip_skip <= 24):
            fix = "1 leaves the last layer out"
            refuse_value("Checkpoint.clip_skip", repr(clip_skip), "a whole number from 1 on", fix)
        self.__dict__["clip_skip"] = clip_skip
        self._set_parts(parts)

    def _set_parts(self, parts: Mapping[str, object]) -> None:
        """Sets the components from elsewhere, each of which is a single model."""
        self._refuse_unknown_keys(parts, COMPONENTS)
        present = [name for name in COMPONENTS if parts.get(name) is not None]
        made = {name: Checkpoint.parse(parts[name]) for name in present}
        for name, part in made.items():
            if isinstance(part, Lora):
                fix = "put it under `loras` of the node"
                refuse_value(f"Checkpoint.{name}", repr(part), "one component", fix)
            for key in part.fields:
                if key not in _PART_FIELDS:
                    wanted = f"one of {', '.join(_PART_FIELDS)}"
                    fix = "write it next to the source of the whole checkpoint"
                    found = f"{key}, which one component does not have"
                    refuse_value(f"Checkpoint.{name}", found, wanted, fix)
        self.__dict__["parts"] = MappingProxyType(made)

    @classmethod
    def _refuse_unknown_keys(cls, keys: Iterable[object], known: Sequence[str]) -> None:
        for key in keys:
            if key not in known:
                names = (*cls.FIELDS, *cls.PART_NAMES)
                fix = did_you_mean(str(key), names)
                wanted = f"one of {', '.join(names)}"
                refuse_value(f"{cls.__name__}.{key}", "an unknown key", wanted, fix)

    def _set_words(self, source: str | PurePath, **words: str | None) -> None:
        """Sets the source and the other fields, each of which must be one word or None."""
        kind = type(self).__name__
        source = str(source) if isinstance(source, PurePath) else source
        if not _is_source(source):
            wanted = "a hub id such as 'stabilityai/sdxl-turbo', or a folder"
            refuse_value(f"{kind}.source", repr(source), wanted)
        for name, word in words.items():
            if word is not None and not (isinstance(word, str) and re.fullmatch(r"[^\s\0]+", word)):
                refuse_value(f"{kind}.{name}", repr(word), "one word, or nothing")
        self.__dict__.update(source=source, clip_skip=None, parts=MappingProxyType({}), **words)

    @classmethod
    def parse(cls, data: object) -> Self:
        """The checkpoint that plain data stands for.

        Args:
            data: A source, a mapping of the fields, or a checkpoint, which is returned as it is.

        Raises:
            InvalidValueError: It is none of these, or a field is not valid.

        Example:
            >>> Checkpoint.parse({"source": "tiny/inpaint", "dtype": "float16"})
            Checkpoint('tiny/inpaint', dtype='float16')
        """
        if isinstance(data, cls):
            return data
        if isinstance(data, str | PurePath):
            return cls(data)
        if not isinstance(data, Mapping) or "source" not in data:
            fix = f"write the source alone, or {{source: …, {cls.FIELDS[2]}: …}}"
            refuse_value(cls.__name__, repr(data), "a source, or a mapping that has one", fix)
        cls._refuse_unknown_keys(data, (*cls.FIELDS, *cls.PART_NAMES))
        return cls(**data)

    def in_dtype(self, dtype: str | None) -> Checkpoint:
        """The same weights in another dtype; None leaves it to the device."""
        return Checkpoint(**{**self.fields, "dtype": dtype})

    def as_data(self) -> str | dict[str, Any]:
        """Plain data that `parse` reads: the source, or a dict if other fields are set too."""
        data = {
            name: value.as_data() if isinstance(value, Checkpoint) else value
            for name, value in self.fields.items()
        }
        return data if len(data) > 1 else self.source

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields that are set and the components from elsewhere, by name."""
        fields = ((name, getattr(self, name)) for name in self.FIELDS)
        present = {name: value for name, value in fields if value is not None}
        return MappingProxyType({**present, **self.parts})

    @cached_property
    def content(self) -> str:
        """A hash of the class and the fields as 32 hexadecimal digits; computed once."""
        return digest(repr((self.kind_name, self.as_data())).encode())

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: next to nothing, since no weights are loaded."""
        return SMALL

    def __repr__(self) -> str:
        data = self.as_data()
        others = [] if isinstance(data, str) else list(data.items())[1:]
        texts = (f"{name}={value!r}" for name, value in others)
        return f"{type(self).__name__}({', '.join([repr(self.source), *texts])})"


class Lora(Checkpoint):
    """A LoRA (Hu et al. 2021): small weights that change those of a checkpoint, and their scale.

    Args:
        source: A folder, a safetensors file or a hub id.
        scale: Any finite number: 1 is as it was trained, 0 leaves it out, below 0 reverses it.
        file: The name of one of several files in the folder or on the hub; None is the name that
            diffusers writes, or the only file in a folder.
        revision: A branch, tag or commit on the hub; None is the main branch.
        component: The denoiser that it is for, in a checkpoint with two, such as "transformer_2"
            for low noise in Wan 2.2; None is the first one.

    Raises:
        InvalidValueError: The scale is not finite, or a field is not what it says here.

    Example:
        >>> Lora("tiny/sketch", scale=0.8)
        Lora('tiny/sketch', scale=0.8)
    """

    FIELDS: ClassVar[tuple[str, ...]] = ("source", "revision", "file", "scale", "component")
    PART_NAMES: ClassVar[tuple[str, ...]] = ()

    file: str | None
    scale: float
    component: str | None

    def __init__(
        self,
        source: str | PurePath,
        *,
        scale: float = 1.0,
        file: str | None = None,
        revision: str | None = None,
        component: str | None = None,
    ) -> None:
        self._set_words(
            source,
            revision=revision,
            **dict.fromkeys(
                (
                    "variant",
                    "dtype",
                    "quantization",
                    "text_quantization",
                    "subfolder",
                    "config",
                    "prediction_type",
                )
            ),
        )
        if type(scale) not in (int, float) or not isfinite(scale):
            refuse_value("Lora.scale", repr(scale), "a finite number", "1 is as it was trained")
        if file is not None and not (isinstance(file, str) and file.endswith(".safetensors")):
            refuse_value("Lora.file", repr(file), "the name of a safetensors file, or nothing")
        if component is not None and not (isinstance(component, str) and component.isidentifier()):
            refuse_value("Lora.component", repr(component), "the name of a component, or nothing")
        self.__dict__.update(file=file, scale=float(scale), component=component)

    @property
    def unscaled(self) -> Lora:
        """The same weights at a scale of 1 for any component, as they are looked up and shared."""
        return Lora(self.source, file=self.file, revision=self.revision)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields that are set, by name; a scale of 1 is left out."""
        fields = dict(super().fields)
        if self.scale == 1:
            del fields["scale"]
        return MappingProxyType(fields)
