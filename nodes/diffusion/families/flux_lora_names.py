"""The layers of FLUX.1, FLUX.2 and Chroma in LoRA files of other programs than diffusers."""

from __future__ import annotations

from .lora_names import LoraNames

_FLUX_BLOCKS = {
    "double_blocks.*.img_attn.qkv": "transformer_blocks.*.attn.{to_q,to_k,to_v}",
    "double_blocks.*.txt_attn.qkv": (
        "transformer_blocks.*.attn.{add_q_proj,add_k_proj,add_v_proj}"
    ),
    "double_blocks.*.img_attn.proj": "transformer_blocks.*.attn.to_out.0",
    "double_blocks.*.txt_attn.proj": "transformer_blocks.*.attn.to_add_out",
    "double_blocks.*.img_attn.norm.query_norm": "transformer_blocks.*.attn.norm_q",
    "double_blocks.*.img_attn.norm.key_norm": "transformer_blocks.*.attn.norm_k",
    "double_blocks.*.txt_attn.norm.query_norm": "transformer_blocks.*.attn.norm_added_q",
    "double_blocks.*.txt_attn.norm.key_norm": "transformer_blocks.*.attn.norm_added_k",
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
"""The layers that FLUX.1, FLUX.2 and Chroma name alike."""

FLUX_LORA_NAMES = LoraNames(
    label="Flux",
    mark=r"(double|single)_blocks_\d+_|single_transformer_blocks_\d+_",
    widths=(3072,),
    layers={
        **_FLUX_BLOCKS,
        "double_blocks.*.img_mlp.0": "transformer_blocks.*.ff.net.0.proj",
        "double_blocks.*.img_mlp.2": "transformer_blocks.*.ff.net.2",
        "double_blocks.*.txt_mlp.0": "transformer_blocks.*.ff_context.net.0.proj",
        "double_blocks.*.txt_mlp.2": "transformer_blocks.*.ff_context.net.2",
        "double_blocks.*.img_mod.lin": "transformer_blocks.*.norm1.linear",
        "double_blocks.*.txt_mod.lin": "transformer_blocks.*.norm1_context.linear",
        # x-flux trains layers next to those of the first code, in its attention processors.
        "double_blocks.*.qkv_lora1": "transformer_blocks.*.attn.{to_q,to_k,to_v}",
        "double_blocks.*.qkv_lora2": (
            "transformer_blocks.*.attn.{add_q_proj,add_k_proj,add_v_proj}"
        ),
        "double_blocks.*.proj_lora1": "transformer_blocks.*.attn.to_out.0",
        "double_blocks.*.proj_lora2": "transformer_blocks.*.attn.to_add_out",
        "single_blocks.*.qkv": ("single_transformer_blocks.*.attn.{to_q,to_k,to_v}"),
        "single_blocks.*.proj": "single_transformer_blocks.*.proj_out",
        "single_blocks.*.linear1": (
            "single_transformer_blocks.*.{attn.to_q,attn.to_k,attn.to_v,proj_mlp}"
        ),
        "single_blocks.*.linear2": "single_transformer_blocks.*.proj_out",
        "single_blocks.*.modulation.lin": "single_transformer_blocks.*.norm.linear",
        "single_blocks.*.norm.query_norm": "single_transformer_blocks.*.attn.norm_q",
        "single_blocks.*.norm.key_norm": "single_transformer_blocks.*.attn.norm_k",
        "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
        "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
        "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
        "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    },
    swapped=("final_layer.adaLN_modulation.1",),
)
"""FLUX.1, with the names of Black Forest Labs, as in kohya's scripts and ComfyUI."""

CHROMA_LORA_NAMES = LoraNames(
    label="Chroma",
    mark=r"^distilled_guidance_layer_",
    layers={
        **FLUX_LORA_NAMES.layers,
        "distilled_guidance_layer.layers.*.in_layer": "distilled_guidance_layer.layers.*.linear_1",
        "distilled_guidance_layer.layers.*.out_layer": "distilled_guidance_layer.layers.*.linear_2",
    },
)

FLUX2_LORA_NAMES = LoraNames(
    label="FLUX.2",
    widths=(3072, 4096, 6144),
    mark=r"(double|single)_blocks_\d+_|to_qkv_mlp_proj|double_stream_modulation",
    layers={
        **_FLUX_BLOCKS,
        "double_blocks.*.img_mlp.0": "transformer_blocks.*.ff.linear_in",
        "double_blocks.*.img_mlp.2": "transformer_blocks.*.ff.linear_out",
        "double_blocks.*.txt_mlp.0": "transformer_blocks.*.ff_context.linear_in",
        "double_blocks.*.txt_mlp.2": "transformer_blocks.*.ff_context.linear_out",
        "single_blocks.*.linear1": "single_transformer_blocks.*.attn.to_qkv_mlp_proj",
        "single_blocks.*.linear2": "single_transformer_blocks.*.attn.to_out",
        "single_blocks.*.norm.query_norm": "single_transformer_blocks.*.attn.norm_q",
        "single_blocks.*.norm.key_norm": "single_transformer_blocks.*.attn.norm_k",
        "time_in.in_layer": "time_guidance_embed.timestep_embedder.linear_1",
        "time_in.out_layer": "time_guidance_embed.timestep_embedder.linear_2",
        "guidance_in.in_layer": "time_guidance_embed.guidance_embedder.linear_1",
        "guidance_in.out_layer": "time_guidance_embed.guidance_embedder.linear_2",
        "single_stream_modulation.lin": "single_stream_modulation.linear",
        "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
        "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
    },
    swapped=("final_layer.adaLN_modulation.1",),
)
