"""The classes that a checkpoint may name for its components, by what a component is for.

A checkpoint's index names a library and a class for each component. Only the classes in `CLASSES`
are loaded. They are classes of weights, tokenizers, processors and schedulers; loading one runs no
code of the checkpoint. To let in a further class, add its name to its role.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean

LIBRARIES = ("diffusers", "transformers")
"""The only libraries whose classes a checkpoint may name."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCHEDULERS = _names(
    """
    AmusedScheduler BlockRefinementScheduler CMStochasticIterativeScheduler
    CogVideoXDDIMScheduler CogVideoXDPMScheduler DDIMInverseScheduler DDIMParallelScheduler
    DDIMScheduler DDPMParallelScheduler DDPMScheduler DDPMWuerstchenScheduler
    DEISMultistepScheduler DPMSolverMultistepInverseScheduler DPMSolverMultistepScheduler
    DPMSolverSDEScheduler DPMSolverSinglestepScheduler DiscreteDDIMScheduler
    EDMDPMSolverMultistepScheduler EDMEulerScheduler EntropyBoundScheduler
    EulerAncestralDiscreteScheduler EulerDiscreteScheduler FlowMapEulerDiscreteScheduler
    FlowMatchEulerDiscreteScheduler FlowMatchHeunDiscreteScheduler FlowMatchLCMScheduler
    HeliosDMDScheduler HeliosScheduler HeunDiscreteScheduler IPNDMScheduler
    KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler KarrasVeScheduler LCMScheduler
    LMSDiscreteScheduler LTXEulerAncestralRFScheduler MiniMaxH3Scheduler PNDMScheduler
    PiflowScheduler RFD4ProteinaScheduler RePaintScheduler SASolverScheduler SCMScheduler
    ScoreSdeVeScheduler TCDScheduler UnCLIPScheduler UniPCMultistepScheduler
    VQDiffusionScheduler
    """
)
"""The schedulers of diffusers."""

_DENOISERS = _names(
    """
    AllegroTransformer3DModel AuraFlowTransformer2DModel BriaTransformer2DModel
    ChromaTransformer2DModel CogVideoXTransformer3DModel CogView3PlusTransformer2DModel
    CogView4Transformer2DModel ConsisIDTransformer3DModel CosmosTransformer3DModel
    DiTTransformer2DModel EasyAnimateTransformer3DModel Flux2Transformer2DModel
    FluxTransformer2DModel HiDreamImageTransformer2DModel HunyuanDiT2DModel
    HunyuanImageTransformer2DModel HunyuanVideo15Transformer3DModel
    HunyuanVideoFramepackTransformer3DModel HunyuanVideoTransformer3DModel I2VGenXLUNet
    Kandinsky3UNet Kandinsky5Transformer3DModel Krea2Transformer2DModel
    LTX2VideoTransformer3DModel LTXVideoTransformer3DModel LatteTransformer3DModel
    LongCatImageTransformer2DModel Lumina2Transformer2DModel LuminaNextDiT2DModel
    MochiTransformer3DModel OmniGenTransformer2DModel OvisImageTransformer2DModel
    PRXTransformer2DModel PixArtTransformer2DModel PriorTransformer QwenImageTransformer2DModel
    SD3Transformer2DModel SanaTransformer2DModel SanaVideoTransformer3DModel
    SkyReelsV2Transformer3DModel StableCascadeUNet Transformer2DModel UNet2DConditionModel
    UNet2DModel UNet3DConditionModel UNetMotionModel UNetSpatioTemporalConditionModel
    UVit2DModel WanAnimateTransformer3DModel WanTransformer3DModel WanVACETransformer3DModel
    ZImageTransformer2DModel
    """
)

_AUTOENCODERS = _names(
    """
    AsymmetricAutoencoderKL AutoencoderDC AutoencoderKL AutoencoderKLAllegro
    AutoencoderKLCogVideoX AutoencoderKLCosmos AutoencoderKLFlux2 AutoencoderKLHunyuanImage
    AutoencoderKLHunyuanImageRefiner AutoencoderKLHunyuanVideo AutoencoderKLHunyuanVideo15
    AutoencoderKLLTX2Audio AutoencoderKLLTX2Video AutoencoderKLLTXVideo AutoencoderKLMagvit
    AutoencoderKLMochi AutoencoderKLQwenImage AutoencoderKLTemporalDecoder AutoencoderKLWan
    AutoencoderOobleck AutoencoderTiny ConsistencyDecoderVAE VQModel
    """
)

_CONTROL_NETWORKS = _names(
    """
    ControlNetModel ControlNetUnionModel ControlNetXSAdapter CosmosControlNetModel
    FluxControlNetModel HunyuanDiT2DControlNetModel QwenImageControlNetModel
    SD3ControlNetModel SanaControlNetModel SparseControlNetModel T2IAdapter
    ZImageControlNetModel
    """
)

_MOTION_ADAPTERS = _names("MotionAdapter")

_TEXT_ENCODERS = _names(
    """
    BertModel CLIPTextModel CLIPTextModelWithProjection ClapModel ClapTextModelWithProjection
    Gemma2ForCausalLM Gemma2Model Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3Model
    Gemma3TextModel Gemma4UnifiedForConditionalGeneration GemmaForCausalLM GemmaModel
    GlmForCausalLM GlmModel LlamaForCausalLM LlamaModel LlavaForConditionalGeneration
    MT5EncoderModel Mistral3ForConditionalGeneration
    Mistral3Model Qwen2ForCausalLM Qwen2Model Qwen2VLForConditionalGeneration
    Qwen2_5_VLForConditionalGeneration Qwen2_5_VLModel Qwen2_5_VLTextModel Qwen3ForCausalLM
    Qwen3Model Qwen3VLForConditionalGeneration Qwen3VLModel RobertaModel SmolLM3ForCausalLM
    SmolLM3Model T5EncoderModel T5GemmaEncoderModel UMT5EncoderModel XLMRobertaModel
    """
)

_EMBEDDERS = _names("LTX2TextConnectors LTX2Vocoder LTX2VocoderWithBWE ReduxImageEncoder")
"""Networks next to a denoiser that prepare embeddings for it, or make sound of its result."""

MODULES: Mapping[str, str] = dict.fromkeys(
    ("LTX2TextConnectors", "LTX2Vocoder", "LTX2VocoderWithBWE"), "diffusers.pipelines.ltx2"
)
"""The modules of classes that diffusers does not have at its top, by the classes' names."""

_IMAGE_ENCODERS = _names(
    """
    CLIPVisionModel CLIPVisionModelWithProjection Dinov2Model SiglipModel SiglipVisionModel
    """
)

_TOKENIZERS = frozenset(
    f"{stem}{suffix}"
    for stem in _names(
        """
        AutoTokenizer BertTokenizer ByT5Tokenizer CLIPTokenizer CohereTokenizer
        GPT2Tokenizer GemmaTokenizer LlamaTokenizer MT5Tokenizer PreTrainedTokenizer
        Qwen2Tokenizer RobertaTokenizer T5Tokenizer TokenizersBackend
        XLMRobertaTokenizer
        """
    )
    for suffix in ("", "Fast")
)

_PROCESSOR = re.compile(r"[A-Z]\w*(ImageProcessor|FeatureExtractor|Processor)(Fast|Pil)?")
"""The names of the processors of transformers, which have configs and no weights."""

_MODEL = re.compile(r"[A-Z]\w*(Model|For[A-Z]\w*|WithProjection|Encoder|Backbone)|SpeechT5HifiGan")
"""The names of the models of transformers, one of which a checkpoint of a single model may be."""

_DIFFUSERS_MODELS = _DENOISERS | _AUTOENCODERS | _CONTROL_NETWORKS | _MOTION_ADAPTERS | _EMBEDDERS

_T5 = (r"(^|\.)wo\.",)
_WAN = (r"(^|\.)(time_embedder|scale_shift_table|norm[123])(\.|$)",)
_PRECISE: Mapping[str, tuple[str, ...]] = {
    "T5EncoderModel": _T5,
    "UMT5EncoderModel": _T5,
    "WanAnimateTransformer3DModel": _WAN,
    "WanTransformer3DModel": _WAN,
    "WanVACETransformer3DModel": _WAN,
}
"""The layers that the libraries keep in float32, by class: regular expressions of their names."""

CLASSES: Mapping[str, Mapping[str, frozenset[str] | re.Pattern[str]]] = {
    "denoiser": {"diffusers": _DENOISERS},
    "autoencoder": {"diffusers": _AUTOENCODERS},
    "control network": {"diffusers": _CONTROL_NETWORKS},
    "motion adapter": {"diffusers": _MOTION_ADAPTERS},
    "scheduler": {"diffusers": SCHEDULERS},
    "text encoder": {"transformers": _TEXT_ENCODERS},
    "image encoder": {"transformers": _IMAGE_ENCODERS},
    "tokenizer": {"transformers": _TOKENIZERS},
    "processor": {"transformers": _PROCESSOR},
    "depth estimator": {"transformers": re.compile(r"[A-Z]\w*ForDepthEstimation")},
    "model": {"diffusers": _DIFFUSERS_MODELS, "transformers": _MODEL},
}
"""The classes of each role by library: their names, or a pattern that whole names match."""

_LISTED = _DIFFUSERS_MODELS | _TEXT_ENCODERS | _IMAGE_ENCODERS

_ROLES: Mapping[str, str] = {
    "unet": "denoiser",
    "transformer": "denoiser",
    "prior": "denoiser",
    "vae": "autoencoder",
    "movq": "autoencoder",
    "vqvae": "autoencoder",
    "controlnet": "control network",
    "motion": "motion adapter",
    "motion_adapter": "motion adapter",
    "scheduler": "scheduler",
    "low_res_scheduler": "scheduler",
    "text_encoder": "text encoder",
    "image_encoder": "image encoder",
    "tokenizer": "tokenizer",
    "feature_extractor": "processor",
    "image_processor": "processor",
    "processor": "processor",
    "depth_estimator": "depth estimator",
}
"""The role of a component, by its name in a checkpoint's index without a number at its end."""


def precise_layers(library: str, class_name: str, dtype: str) -> tuple[str, ...]:
    """The layers of a class that stay in float32, as regular expressions of their names.

    Args:
        library: Its library: transformers keeps them so only where float16 is computed in.
        class_name: The class.
        dtype: The dtype that it computes in.
    """
    is_kept = library == "diffusers" or dtype == "float16"
    return _PRECISE.get(class_name, ()) if is_kept and dtype != "float32" else ()


def role_of(component: str) -> str:
    """What a component is for, by its name in an index; "model" for a name that is not known.

    Args:
        component: The name, such as "text_encoder_2"; "" for a checkpoint that is one model.
    """
    return _ROLES.get(re.sub(r"_\d+$", "", component), "model")


def is_allowed(role: str, library: object, name: object) -> bool:
    """Whether a component with a role may be of a class."""
    if not isinstance(library, str) or not isinstance(name, str):
        return False
    names = CLASSES[role].get(library, frozenset())
    if isinstance(names, re.Pattern):
        return bool(names.fullmatch(name))
    return name in names


def allowed_classes(components: Mapping[str, tuple[object, object]]) -> dict[str, str]:
    """The classes of those components of an index that are loaded.

    Args:
        components: The library and the class of each component.
    """
    return {
        component: str(name)
        for component, (library, name) in components.items()
        if is_allowed(role_of(component), library, name)
    }


def is_listed(name: str) -> bool:
    """Whether a class is listed by its name, and not only allowed by a pattern."""
    return name in _LISTED


def refuse_class(
    part: str, component: str, library: object, name: object, advice: str = ""
) -> None:
    """Raises CheckpointError unless a component may be of the class that its checkpoint names.

    Args:
        part: The component's name in messages.
        component: Its name in the index; "" for a checkpoint that is one model.
        library: The library that the checkpoint names.
        name: The class that it names.
        advice: What to do about a class that is not known; "" for the nearest name.
    """
    role = role_of(component)
    if is_allowed(role, library, name):
        return
    found = f"its class is {library}.{name}"
    if library not in LIBRARIES or not isinstance(name, str) or not name.isidentifier():
        wanted = f"one of {' or '.join(LIBRARIES)}: custom code from checkpoints is never run"
        raise CheckpointError(Problem(part, found, wanted))
    raise CheckpointError(
        Problem(part, found, f"a known {role} class", advice or _advice(role, name))
    )


def _advice(role: str, name: str) -> str:
    names = [
        name for group in CLASSES[role].values() if isinstance(group, frozenset) for name in group
    ]
    return did_you_mean(name, names) or "choose another checkpoint, or another revision of it"


def refuse_other_class(part: str, role: str, cls: Any) -> None:
    """Raises CheckpointError unless a class that was imported is of the kind that its role needs.

    Args:
        part: The component's name in messages.
        role: Its role, as `role_of` gives it.
        cls: What the library has under the name.
    """
    bases = _base_classes(role)
    if not isinstance(cls, type) or not issubclass(cls, bases):
        wanted = " or ".join(base.__name__ for base in bases)
        found = f"its class is {getattr(cls, '__name__', cls)}"
        raise CheckpointError(Problem(part, found, f"a kind of {wanted}"))


def _base_classes(role: str) -> tuple[type, ...]:
    import diffusers
    import transformers

    if role == "scheduler":
        return (diffusers.SchedulerMixin,)
    if role == "tokenizer":
        # AutoTokenizer is no tokenizer itself; it finds the class of one.
        return (transformers.PreTrainedTokenizerBase, transformers.AutoTokenizer)
    if role == "processor":
        return (transformers.image_processing_utils.ImageProcessingMixin,)
    return (diffusers.ModelMixin, transformers.PreTrainedModel)
