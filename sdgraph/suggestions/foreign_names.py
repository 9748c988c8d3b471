"""The names that ComfyUI, A1111 and diffusers have for things, and what they are called here.

The fixes of errors ask these tables: a workflow with `cfg: 7` is told of `guidance`. A word is
looked up without regard to case and to the characters between its parts, so that "Euler a",
`euler_a` and `euler-a` are one word.

A name on the right of `OUR_NAMES` is a node type, a field, a value of a field, or an option of the
command line. It is proposed only where it may stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TYPES: Mapping[str, str] = {
    "CannyEdgePreprocessor CannyDetector": "Canny",
    "SetLatentNoiseMask VAEEncodeForInpaint InpaintModelConditioning": "Inpaint",
    "ControlNetApply ControlNetApplyAdvanced ControlNetApplySD3 ControlNetLoader": "ControlNet",
    "CreateVideo VHS_VideoCombine SaveAnimatedWEBP SaveAnimatedPNG SaveWEBM": "SaveVideo",
    "DepthAnythingPreprocessor DepthAnythingV2Preprocessor MiDaS-DepthMapPreprocessor": (
        "DepthEstimate"
    ),
    "DWPreprocessor OpenposePreprocessor OpenposeDetector": "PoseEstimate",
    "FeatherMask MaskBlur": "MaskFeather",
    "GrowMask": "MaskGrow",
    "HEDPreprocessor HEDdetector PiDiNetPreprocessor": "SoftEdges",
    "ImageBlend": "Blend",
    "ImageCompositeMasked": "Composite",
    "ImageCrop": "Crop",
    "ImagePadForOutpaint": "Pad",
    "ImageScale ImageScaleBy ImageResize LatentUpscale ImageUpscale": "Resize",
    "img2img StableDiffusionImg2ImgPipeline StableDiffusionXLImg2ImgPipeline": "Image2Image",
    "AutoPipelineForImage2Image VAEEncode": "Image2Image",
    "InvertMask": "MaskInvert",
    "KSampler KSamplerAdvanced SamplerCustom SamplerCustomAdvanced txt2img": "Text2Image",
    "StableDiffusionPipeline StableDiffusionXLPipeline DiffusionPipeline": "Text2Image",
    "AutoPipelineForText2Image": "Text2Image",
    "LoadImageMask ImageToMask": "MaskFromFile",
    "LoadVideoFrames VHS_LoadVideo VHS_LoadVideoPath": "LoadVideo",
    "MaskComposite": "MaskUnion",
    "NormalMapPreprocessor": "NormalsFromDepth",
    "SaveImage PreviewImage SaveImageWebsocket ImageSave": "Save",
    "ScribblePreprocessor": "Scribble",
    "SDTurboScheduler SDXLTurbo": "Turbo",
    "SegmentAnything SAMLoader SAMModelLoader": "MaskBySam",
    "CLIPSeg": "MaskByWords",
    "StableDiffusionControlNetPipeline StableDiffusionXLControlNetPipeline": "ControlNet",
    "StableDiffusionAdapterPipeline StableDiffusionXLAdapterPipeline T2IAdapter": "ControlNet",
    "FluxControlNetPipeline FluxControlPipeline SanaControlNetPipeline": "ControlNet",
    "FluxPriorReduxPipeline StableDiffusionImageVariationPipeline StyleModelApply": "Variation",
    "StableDiffusionDepth2ImgPipeline": "DepthToImage",
    "StableDiffusionInpaintPipeline StableDiffusionXLInpaintPipeline": "Inpaint",
    "AutoPipelineForInpainting": "Inpaint",
    "TextToVideoSDPipeline WanPipeline LTXPipeline CogVideoXPipeline": "Text2Video",
    "HunyuanVideoPipeline EmptyHunyuanLatentVideo EmptyLTXVLatentVideo": "Text2Video",
    "WanImageToVideo WanImageToVideoPipeline WanFirstLastFrameToVideo": "Image2Video",
    "LTXVImgToVideo LTXImageToVideoPipeline LTXConditionPipeline": "Image2Video",
    "CogVideoXImageToVideoPipeline img2vid": "Image2Video",
    "LTX2Pipeline": "Text2Video",
    "LTX2ImageToVideoPipeline LTX2ConditionPipeline": "Image2Video",
    "WanVideoToVideoPipeline CogVideoXVideoToVideoPipeline vid2vid": "Video2Video",
    "WanAnimateToVideo WanAnimatePipeline": "AnimateCharacter",
    "WanVaceToVideo WanVACEPipeline": "VideoControl",
    "CogVideoXFunControlPipeline LTX2InContextPipeline": "VideoControl",
}
"""The node type that does what a node, a pipeline or a mode of another tool does."""

FIELDS: Mapping[str, str] = {
    "batch_size train_batch_size": "batch",
    "cfg cfg_scale guidance_scale cfgscale": "guidance",
    "ckpt_name ckpt model model_name model_id sd_model_checkpoint unet_name": "checkpoint",
    "pretrained_model_name_or_path base_model": "checkpoint",
    "control_end control_guidance_end end_percent guidance_end": "end",
    "control_image controlnet_image hint": "control",
    "control_net control_net_name controlnet_model controlnet_name": "controlnet",
    "control_guidance_start start_percent guidance_start": "start",
    "adapter_conditioning_scale control_weight controlnet_conditioning_scale": "scale",
    "adapter_conditioning_factor": "end",
    "denoising_start high_noise_frac": "refiner_start",
    "denoise denoising denoising_strength denoise_strength": "strength",
    "filename file filename_prefix output_path output image_path": "path",
    "frame_rate": "fps",
    "init_image input_image source_image pixels images": "image",
    "ip_adapter_image image_prompt": "reference",
    "lora lora_name lora_weights": "loras",
    "mask_image inpaint_mask": "mask",
    "negative neg negative_conditioning": "negative_prompt",
    "noise_seed random_seed manual_seed": "seed",
    "num_frames video_length": "frames",
    "num_inference_steps inference_steps sampling_steps num_steps": "steps",
    "only_masked_padding inpaint_full_res_padding": "padding_mask_crop",
    "positive pos positive_prompt text_prompt positive_conditioning": "prompt",
    "sampler sampler_name sampling_method sampler_index": "scheduler",
    "noise_schedule schedule_type sigmas sigma_schedule timestep_spacing": "schedule",
    "textual_inversion textual_inversions": "embeddings",
    "threshold1 low_threshold": "low",
    "threshold2 high_threshold": "high",
    "lr": "learning_rate",
    "max_train_steps": "steps",
    "output_dir": "out",
}
"""The field that holds what a setting of another tool holds."""

VALUES: Mapping[str, str] = {
    "ddim_uniform DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "DEISMultistepScheduler": "deis",
    "dpm_2 KDPM2DiscreteScheduler": "dpm2",
    "dpm_2_ancestral dpm2_a KDPM2AncestralDiscreteScheduler": "dpm2-ancestral",
    "dpmpp dpmpp_2m dpm_solver dpm_solver++ DPMSolverMultistepScheduler": "dpm++",
    "dpmpp_2m_karras karras": "dpm++-karras",
    "dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_sde dpmpp_sde_gpu": "dpm++-sde",
    "dpmpp_3m_sde dpmpp_3m_sde_gpu": "dpm++-3m-sde",
    "dpmpp_2s dpmpp_2s_ancestral dpmpp_2s_a DPMSolverSinglestepScheduler": "dpm++-singlestep",
    "euler_a euler_ancestral k_euler_ancestral k_euler_a EulerAncestralDiscreteScheduler": (
        "euler-ancestral"
    ),
    "k_euler EulerDiscreteScheduler": "euler",
    "heunpp2 HeunDiscreteScheduler": "heun",
    "LCMScheduler": "lcm",
    "k_lms LMSDiscreteScheduler": "lms",
    "plms PNDMScheduler": "pndm",
    "sa_solver_pece SASolverScheduler": "sa-solver",
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
    "TCDScheduler": "tcd",
    "uni_pc uni_pc_bh2 UniPCMultistepScheduler": "unipc",
    "fp16 half": "float16",
    "bf16": "bfloat16",
    "fp32 full": "float32",
    "gpu nvidia rocm hip": "cuda",
    "metal apple": "mps",
    "intel": "xpu",
    "bicubic_antialiased": "bicubic",
    "nearest_exact": "nearest",
}
"""The value, such as the name of a scheduler, that is the same as one of another tool."""

OPTIONS: Mapping[str, str] = {
    "gpu cpu cuda cuda-device device-id use-cpu": "--device",
    "fp16 fp32 bf16 precision half no-half torch-dtype": "--dtype",
    "output output-directory output-dir outdir output-path": "--out",
    "force replace clobber": "--overwrite",
    "lowvram medvram vram-limit reserve-vram gpu-memory": "--vram",
    "verbose trace traceback": "--debug",
    "silent": "--quiet",
    "disable-metadata": "--no-metadata",
    "no-caching cache-none": "--no-cache",
    "target node": "--only",
    "custom-nodes plugins": "--nodes",
}
"""The option of the command line."""

_NOTES = {
    "guidance": {
        "batch_size num_images_per_prompt num_images n_iter batch_count": (
            "for several pictures give an input several values: seed=1..4"
        ),
        "denoise denoising denoising_strength denoise_strength": (
            "remove it; a picture made from a picture has `strength:`, as in Image2Image"
        ),
    },
    "Text2Image": {
        "CheckpointLoaderSimple CheckpointLoader UNETLoader DiffusersLoader": (
            "no node is needed: write `checkpoint:` in the node that paints, such as Text2Image"
        ),
        "CLIPLoader DualCLIPLoader VAELoader CLIPVisionLoader": (
            "no node is needed: the node that paints takes it from its checkpoint"
        ),
        "CLIPTextEncode CLIPTextEncodeSDXL ConditioningCombine ConditioningConcat": (
            "no node is needed: write `prompt:` and `negative_prompt:` in the node that paints"
        ),
        "EmptyLatentImage EmptySD3LatentImage LatentFromBatch": (
            "no node is needed: Text2Image has `width:` and `height:`"
        ),
        "IPAdapter IPAdapterApply IPAdapterAdvanced IPAdapterModelLoader": (
            "no node is needed: write `reference:` and `ip_adapter:` in the node that paints"
        ),
        "KSamplerSelect BasicScheduler KarrasScheduler": (
            "no node is needed: write `scheduler:` in the node that paints"
        ),
        "LoraLoader LoraLoaderModelOnly": (
            "no node is needed: write `loras:` in the node that paints"
        ),
        "VAEDecode VAEDecodeTiled": "no node is needed: the nodes that paint make pictures",
    },
    "dpm++-karras": {
        "normal simple exponential sgm_uniform beta": (
            "it is a noise schedule: write `schedule:` for it, and `scheduler:` for the sampler"
        ),
        "linear_quadratic kl_optimal": (
            "diffusers does not have this noise schedule; those that it has are under `schedule:`"
        ),
    },
}
"""What to do where nothing here has one name for it; each by a name that must be allowed there."""


def _as_word(name: str) -> str:
    """A name without what people write in several ways: case, and the marks between words."""
    return re.sub(r"[\s_-]", "", name.lower().replace("++", "pp"))


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {_as_word(name): ours for names, ours in table.items() for name in names.split()}


OUR_NAMES: Mapping[str, tuple[str, ...]] = {
    word: tuple(table[word] for table in tables if word in table)
    for tables in [[_by_word(table) for table in (TYPES, FIELDS, VALUES, OPTIONS)]]
    for word in sorted({word for table in tables for word in table})
}
"""The names here that a name of another tool may stand for, by the word of that name."""

NOTES: Mapping[str, tuple[str, str]] = {
    _as_word(name): (place, note)
    for place, notes in _NOTES.items()
    for names, note in notes.items()
    for name in names.split()
}
"""By the word of a foreign name: a name that must be allowed in its place, and what to do."""


def our_name(foreign: str, names: Iterable[str]) -> str | None:
    """The one among `names` that a name of another tool stands for, or None.

    Args:
        foreign: What was written.
        names: What may stand there.

    Example:
        >>> our_name("cfg_scale", ["steps", "guidance"])
        'guidance'
        >>> our_name("Euler a", ["euler", "euler-ancestral"])
        'euler-ancestral'
    """
    candidates = OUR_NAMES.get(_as_word(foreign), ())
    return next((name for name in names if name in candidates), None) if candidates else None


def note_about(foreign: str, names: Iterable[str]) -> str:
    """What to do about a name of another tool that has no counterpart; "" if nothing is known.

    Args:
        foreign: What was written.
        names: What may stand there.

    Example:
        >>> note_about("VAEDecode", ["Save", "Text2Image"])
        'no node is needed: the nodes that paint make pictures'
    """
    place, note = NOTES.get(_as_word(foreign), ("", ""))
    return note if place in names else ""
