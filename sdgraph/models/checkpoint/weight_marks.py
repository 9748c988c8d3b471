"""Weights that are not of the class that a checkpoint names, found by the names of their tensors.

The header of a file tells which tensors it has. Some names occur in one layout or one class alone:
they show, before torch is imported, that a file is another model, is quantized, or is in the layout
of another program. All names and shapes are compared when the weights are loaded, by
`weight_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp
from sdgraph.formatting import with_article
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.formats.scaled_weights import has_scales, scale_problem, without_scales

from .component_classes import is_listed


@dataclass(frozen=True)
class _Mark:
    """Names of tensors that occur only in files of one kind.

    Args:
        pattern: What a name begins with, as a regular expression.
        kind: What a file with such a name holds.
        owners: The classes whose own weights have such names, as a regular expression of their
            names; "" for none. Other classes are refused only if they are listed in `CLASSES`.
    """

    pattern: str
    kind: str
    owners: str = ""


_SCALES = re.compile(
    r"(^|\.)(scaled_fp8|scale_weight|scale_input|weight_scale(_inv|_2)?|input_scale|comfy_quant"
    r"|activation_scale)$"
)
"""Scales of fp8 weights (of ComfyUI, Kijai, ModelOpt, llm-compressor)."""

_QUANTIZED = re.compile(
    r"\.(qweight|qzeros|g_idx|wscales|SCB|absmax|quant_map|nested_absmax|quant_state\.\S+)$"
)
"""What GPTQ, AWQ, Nunchaku and bitsandbytes add to each layer."""

_MARKS = (
    _Mark(
        r"(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner\.embedders"
        r"|control_model|model_ema)\.",
        "a whole checkpoint of one file, in the layout of LDM (A1111, ComfyUI)",
    ),
    _Mark(
        r"(input_blocks|middle_block|output_blocks)\.\d+\.",
        "a U-Net in the layout of LDM (A1111, ComfyUI)",
    ),
    _Mark(
        r"((model|net|diffusion_model)\.)?(double_blocks|single_blocks|joint_blocks)\.\d+\.",
        "a transformer in the layout of ComfyUI",
    ),
    _Mark(
        r"(encoder|decoder)\.(down|up)\.\d+\.block\.",
        "a VAE in the layout of LDM",
        "AutoencoderKLLTX2Audio",
    ),
    _Mark(
        r"(lora_(unet|te\d?|transformer)_|base_model\.model\.)|.*\.(lora_(A|B|down|up)(\.\w+)?"
        r"\.weight|dora_scale)$",
        "a LoRA",
    ),
    _Mark(r"(image_proj|ip_adapter)\.", "an IP-Adapter", "CLIPImageProjection|.*Adapter.*"),
    _Mark(
        r"(clip\.)?text_model\.(embeddings|encoder|final_layer_norm)\.",
        "a text encoder of CLIP",
        r"(\w*CLIP|Clap|Siglip|Owl)\w*",
    ),
    _Mark(
        r"(clip\.)?vision_model\.(embeddings|encoder|post_layernorm|head)\.",
        "an image encoder of CLIP",
        r"(\w*CLIP|Siglip|Blip|Idefics|Llava|Owl|Mistral3|Sam|Kosmos|Gemma3)\w*",
    ),
    _Mark(
        r"(bert\.)?(embeddings\.word_embeddings\.|encoder\.layer\.\d+\.attention\.self\.)",
        "a text encoder of BERT",
        r"\w*(Bert|Roberta|BERT|Electra|MPNet|LayoutLM|XLM|Deberta|Camembert|Ernie|Clap)\w*",
    ),
    _Mark(
        r"(encoder\.)?block\.\d+\.layer\.\d+\.(SelfAttention|DenseReluDense)\.",
        "a text encoder of T5",
        r"\w*T5\w*",
    ),
    _Mark(
        r"(language_model\.)?model\.layers\.\d+\.self_attn\.",
        "a language model",
        r"\w*(Llama|Qwen|Gemma|Mistral|Mixtral|Glm|GLM|Phi|SmolLM|Llava|Idefics|Cohere|Olmo"
        r"|ForCausalLM|ForConditionalGeneration)\w*",
    ),
    _Mark(
        r"(down|up)_blocks\.\d+\.(attentions|resnets|temp_convs|motion_modules)\.",
        "a U-Net",
        r"\w*(UNet|ControlNet|MotionAdapter|Adapter)\w*",
    ),
    _Mark(
        r"controlnet_(cond_embedding|down_blocks|mid_block)\.", "a ControlNet", r".*ControlNet.*"
    ),
    _Mark(
        r"(encoder\.down_blocks|decoder\.up_blocks)\.\d+\.|(post_)?quant_conv\.",
        "a VAE",
        r"\w*(Autoencoder|VAE|VQModel|Vae|VQVAE)\w*",
    ),
)


def mark_problem(
    names: Iterable[str], class_name: str, *, quantized: bool = False
) -> Problem | None:
    """Why tensors cannot be those of a class, by their names alone; None if nothing shows it.

    Args:
        names: The names of the tensors.
        class_name: The class that the checkpoint names.
        quantized: Whether the config says how the weights are quantized.
    """
    foreign = _foreign_marks(class_name)
    for name in names:
        if problem := _scale_problem(name):
            return problem
        if not quantized and _QUANTIZED.search(name):
            found = f"{name}, of weights that are quantized, which the config does not say"
            fix = "use the plain weights; `quantization:` quantizes them when they are loaded"
            return Problem("", found, f"the weights of {with_article(class_name)}", fix)
        for pattern, kind in foreign:
            if pattern.match(name):
                fix = "copy the checkpoint again, or convert it to diffusers' folder layout"
                return Problem(
                    "", f"{name}, of {kind}", f"the weights of {with_article(class_name)}", fix
                )
    return None


def _scale_problem(name: str) -> Problem | None:
    if not _SCALES.search(name):
        return None
    found = f"{name}, a scale of fp8 weights"
    fix = "use the weights in bf16 or fp16, or a folder whose config has no quantization_config"
    return Problem("", found, "weights without scales", fix)


@lru_cache(maxsize=256)
def _foreign_marks(class_name: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The patterns of names that a class does not have, each with what has them."""
    listed = is_listed(class_name)
    return tuple(
        (re.compile(mark.pattern), mark.kind)
        for mark in _MARKS
        if not mark.owners or (listed and not re.fullmatch(mark.owners, class_name))
    )


def refuse_foreign(part: str, path: Path, class_name: str, *, quantized: bool = False) -> None:
    """Raises CheckpointError for a file that is damaged, or whose header shows another class.

    Args:
        part: The component's name in messages.
        path: A safetensors file.
        class_name: The class that the checkpoint names.
        quantized: Whether the config says how the weights are quantized.
    """
    problem = _file_problem(path, class_name, quantized, FileStamp.of(path))
    if problem is not None:
        subject = f"{part}: {path.name}"
        raise CheckpointError(Problem(subject, problem.found, problem.wanted, problem.fix))


@lru_cache(maxsize=1024)
def _file_problem(path: Path, class_name: str, quantized: bool, stamp: FileStamp) -> Problem | None:
    tensors = refuse_damaged(path, stamp).tensors
    if not tensors:
        wanted, fix = f"the weights of {with_article(class_name)}", "copy the checkpoint again"
        return Problem("", "a file without tensors", wanted, fix)
    if quantized or not has_scales(tensors):
        return mark_problem(tensors, class_name, quantized=quantized)
    names = without_scales(tensors)
    return scale_problem(tensors) or mark_problem(names, class_name)
