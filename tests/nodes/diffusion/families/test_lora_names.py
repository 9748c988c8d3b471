"""The tables of LoRA names say the same as diffusers' converters of whole checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest

from sdgraph.nodes.diffusion.adapters.lora_layers import flat_name
from sdgraph.nodes.diffusion.families.aura_flow import AURA_FLOW
from sdgraph.nodes.diffusion.families.chroma import CHROMA
from sdgraph.nodes.diffusion.families.flux import FLUX
from sdgraph.nodes.diffusion.families.flux2_klein import FLUX2_KLEIN
from sdgraph.nodes.diffusion.families.lora_names import LoraNames
from sdgraph.nodes.diffusion.families.ltx_video import LTX_VIDEO
from sdgraph.nodes.diffusion.families.lumina2 import LUMINA2
from sdgraph.nodes.diffusion.families.model_family import ModelFamily
from sdgraph.nodes.diffusion.families.stable_diffusion_3 import STABLE_DIFFUSION_3
from sdgraph.nodes.diffusion.families.wan import WAN
from sdgraph.nodes.diffusion.families.z_image import Z_IMAGE

CONVERTERS = {
    "flux": (FLUX, "convert_flux_transformer_checkpoint_to_diffusers"),
    "flux2": (FLUX2_KLEIN, "convert_flux2_transformer_checkpoint_to_diffusers"),
    "chroma": (CHROMA, "convert_chroma_transformer_checkpoint_to_diffusers"),
    "sd3": (STABLE_DIFFUSION_3, "convert_sd3_transformer_checkpoint_to_diffusers"),
    "wan": (WAN, "convert_wan_transformer_to_diffusers"),
    "ltx": (LTX_VIDEO, "convert_ltx_transformer_checkpoint_to_diffusers"),
    "lumina2": (LUMINA2, "convert_lumina2_to_diffusers"),
    "aura-flow": (AURA_FLOW, "convert_auraflow_transformer_checkpoint_to_diffusers"),
    "z-image": (Z_IMAGE, "convert_z_image_transformer_checkpoint_to_diffusers"),
}
WIDTH = 3072
"""The width of FLUX.1, which diffusers' converter takes for granted."""


class _Checkpoint(dict[str, Any]):
    """A checkpoint that has whatever it is asked for, each tensor with numbers of its own."""

    def pop(self, key: str, *default: Any) -> Any:
        if key not in self and not default:
            self[key] = _tensor(key)
        return super().pop(key, *default)


def _tensor(name: str) -> Any:
    import torch

    rows = 7 * WIDTH if "linear1" in name else 3840 if "attention.qkv" in name else 6 * 4
    draw = torch.Generator().manual_seed(crc32(name.encode()))
    return torch.rand(rows, *(() if name.endswith(("bias", "scale")) else (1,)), generator=draw)


def _first_names(names: LoraNames) -> list[str]:
    """The first names of the layers, with 0 for each number, without those that x-flux adds."""
    ours = (name for name in names.layers if "_lora" not in name)
    own_alone = (f"single_blocks.*.{name}" for name in ("qkv", "proj"))
    left_out = set(own_alone)
    return [name.replace("*", "0") for name in ours if name not in left_out]


@pytest.mark.torch
@pytest.mark.parametrize("name", CONVERTERS)
def test_each_layer_is_what_diffusers_makes_of_it(name: str) -> None:
    import torch
    from diffusers.loaders import single_file_utils

    family: ModelFamily = CONVERTERS[name][0]
    convert: Callable[..., dict[str, Any]] = getattr(single_file_utils, CONVERTERS[name][1])
    suffix = {"norm": ".scale"} if name in ("flux", "flux2", "chroma") else {}
    held: dict[str, Any] = {}
    for layer in _first_names(family.lora_names):
        parameter = layer.endswith("modulation")
        end = ".scale" if suffix and layer.endswith("_norm") else "" if parameter else ".weight"
        held[layer + end] = _tensor(layer + end)
    if name == "sd3":
        held["context_embedder.weight"] = _tensor("context_embedder.weight")
    converted = convert(_Checkpoint(held))
    by_flat_name = {flat_name(key.removesuffix(".weight")): key for key in converted}
    checked = 0
    for full_name, tensor in held.items():
        layer = flat_name(full_name.removesuffix(".weight").removesuffix(".scale"))
        if layer == "context_embedder":
            continue
        targets = family.lora_names.targets(layer)
        assert targets != (layer,), full_name
        if not all(target in by_flat_name for target in targets):
            assert name in ("flux", "chroma", "sd3"), full_name
            continue
        found = torch.cat([converted[by_flat_name[target]] for target in targets])
        if family.lora_names.is_swapped(layer):
            found = torch.cat(found.chunk(2)[::-1])
        assert torch.equal(found, tensor), full_name
        checked += 1
    # Chroma has no modulation and no other conditions than the prompt.
    assert checked >= len(held) - (10 if name == "chroma" else 6)
