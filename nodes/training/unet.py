"""What trainings know of the inside of diffusers' U-Nets: the names and shapes of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdgraph.errors import InvalidValueError, Problem

CONTROLNET_CLASS = "ControlNetModel"
"""The class of a ControlNet over a U-Net."""

CONTROLNET_BLOCKS = ("conv_in", "time_embedding", "down_blocks", "mid_block")
"""The blocks of a U-Net that a ControlNet has too."""

IMAGE_TOKENS = 4
"""The tokens that an IP-Adapter adds to those of the words for one picture."""

_INPUT_WEIGHT = "conv_in.weight"


def with_wider_input(weights: Mapping[str, Any], unet: Any) -> dict[str, Any]:
    """A U-Net's weights for one that reads more channels; zero where it reads the further ones.

    Weights whose shapes do not allow it are returned as they are.
    """
    import torch

    wide = torch.zeros_like(unet.state_dict()[_INPUT_WEIGHT])
    narrow = weights[_INPUT_WEIGHT]
    if narrow.shape[0] != wide.shape[0] or narrow.shape[1] > wide.shape[1]:
        return dict(weights)
    wide[:, : narrow.shape[1]] = narrow
    return {**weights, _INPUT_WEIGHT: wide}


def down_block_features(
    unet: Any, noised: Any, times: Any, words: Any, conditions: Mapping[str, Any]
) -> list[Any]:
    """The outputs of the down blocks and the middle block of a 2-D U-Net, one map a level.

    The up blocks are not run.

    Args:
        unet: A UNet2DConditionModel.
        noised: Noised latents, count × channels × height × width.
        times: Their times, count.
        words: The text features, count × length × width.
        conditions: What the U-Net takes as `added_cond_kwargs`.
    """
    emb = unet.time_embedding(unet.get_time_embed(sample=noised, timestep=times))
    added = unet.get_aug_embed(emb=emb, encoder_hidden_states=words, added_cond_kwargs=conditions)
    emb = emb if added is None else emb + added
    hidden, maps = unet.conv_in(noised), []
    for block in unet.down_blocks:
        attended = {"encoder_hidden_states": words} if hasattr(block, "attentions") else {}
        hidden, states = block(hidden_states=hidden, temb=emb, **attended)
        maps.append(states[len(block.resnets) - 1])
    return [*maps, unet.mid_block(hidden, emb, encoder_hidden_states=words)]


def feature_channels(unet: Any) -> list[int]:
    """How many channels each map of `down_block_features` has."""
    widths = list(unet.config.block_out_channels)
    return [*widths, widths[-1]]


def shared_weights(base_unet: Any, video_unet: Any) -> dict[str, Any]:
    """The weights of a 2-D U-Net that a 3-D one has by name, in the 3-D one's shapes.

    Shapes are equal but for a 1 × 1 convolution, which in the 3-D one may be a linear layer: the
    same numbers without the two sides of 1.
    """
    shapes = {name: tuple(value.shape) for name, value in video_unet.state_dict().items()}
    shared = {}
    for name, value in base_unet.state_dict().items():
        shape = tuple(value.shape)
        if shapes.get(name) in (shape, shape[:-2] if shape[2:] == (1, 1) else shape):
            shared[name] = value.reshape(shapes[name])
    return shared


def load_base_weights(video_unet: Any, base_unet: Any) -> set[str]:
    """Puts the weights of a 2-D U-Net into a 3-D one.

    What temporal layers add is made zero, so that at first each frame is what the base would make
    of it: temporal convolutions begin so (Wang et al. 2023), temporal attention is made to.

    Returns:
        The names of the weights that were put in.

    Raises:
        InvalidValueError: The 3-D U-Net does not have all of the base's layers.
    """
    import torch

    shared = shared_weights(base_unet, video_unet)
    missing = sorted(set(base_unet.state_dict()) - set(shared))
    if missing:
        found = f"{missing[0]} and {len(missing) - 1} more that the 3-D U-Net does not have"
        fix = "set `like` to a checkpoint that fits"
        wanted = "the same widths and blocks"
        raise InvalidValueError(Problem("the base's U-Net", found, wanted, fix))
    video_unet.load_state_dict(shared, strict=False)
    with torch.no_grad():
        for name, value in video_unet.named_parameters():
            if "proj_out" in name and name not in shared:
                value.zero_()
    return set(shared)


def add_ip_adapter_layers(unet: Any, width: int, seed: int) -> tuple[Any, Any]:
    """Gives a U-Net untrained layers that attend to the embedding of a picture.

    Each cross-attention begins with copies of its own keys and values, as in the paper, so that
    the tokens of a picture have at first the effect that words have.

    Args:
        unet: The U-Net, which is changed.
        width: The width of the image encoder's embedding.
        seed: What the projection's weights are drawn by.

    Returns:
        The projection of embeddings to tokens, and the layers of the attentions.
    """
    import torch
    from diffusers.models.embeddings import ImageProjection

    text_width = unet.config.cross_attention_dim
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        projection = ImageProjection(width, text_width, num_image_text_embeds=IMAGE_TOKENS)
    projection_weights = {
        name.replace("image_embeds", "proj"): value
        for name, value in projection.state_dict().items()
    }
    unet._load_ip_adapter_weights(
        [{"image_proj": projection_weights, "ip_adapter": _copied_attention_weights(unet)}]
    )
    layers = [layer for name, layer in unet.attn_processors.items() if "attn2" in name]
    (loaded_projection,) = unet.encoder_hid_proj.image_projection_layers
    return loaded_projection, torch.nn.ModuleList(layers)


def _copied_attention_weights(unet: Any) -> dict[str, Any]:
    """The keys and values of a U-Net's cross-attentions under the names of an IP-Adapter's."""
    copies = {}
    number = 1  # the files count all attentions, of which every second is a cross-attention
    for name in unet.attn_processors:
        if "attn2" in name:
            attention = unet.get_submodule(name.removesuffix(".processor"))
            for key in ("k", "v"):
                weight = getattr(attention, f"to_{key}").weight
                copies[f"{number}.to_{key}_ip.weight"] = weight.detach().clone()
            number += 2
    return copies


def ip_adapter_weights(projection: Any, layers: Any) -> dict[str, Any]:
    """An IP-Adapter's weights in half precision, under the names in its authors' files."""
    import torch

    weights = {
        f"image_proj.{name.replace('image_embeds', 'proj')}": value
        for name, value in projection.state_dict().items()
    }
    for index, layer in enumerate(layers):
        for key in ("k", "v"):
            weight = getattr(layer, f"to_{key}_ip")[0].weight
            weights[f"ip_adapter.{2 * index + 1}.to_{key}_ip.weight"] = weight
    return {name: each.detach().to(torch.float16).contiguous() for name, each in weights.items()}
