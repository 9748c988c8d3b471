"""The memory that a network works with beside its weights: laws of its config, from measurements.

What a forward pass holds at its peak grows with the pictures, their area, the channels of the
widest level and the bytes of a number, all to the first power: attention is computed without its
matrix. The factors are counts of such tensors, measured on the architectures of Stable Diffusion
1.5, 2 and XL and ModelScope's video by `tests/nodes/diffusion/test_working_memory.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdgraph.errors import MediaError
from sdgraph.graph import Node
from sdgraph.media import probe_image
from sdgraph.models import resolve
from sdgraph.nodes.vision.memory import BYTES
from sdgraph.values import Checkpoint

_ATTENDING, _PLAIN, _FILM = 26.0, 16.0, 33.3
"""A U-Net with attention at its widest level, one without (SDXL), one of three dimensions."""
_CONTROLLED = 7.0
"""The residuals of ControlNets, which are added up and held beside the U-Net."""
_DECODING = 6.0
_TILE = 512
"""The side of a tile, where the config does not say."""
_LATENTS = 64
_FAR = 8
"""How many nodes back a picture's size is looked for: a plan must not cost more in a long chain."""

Config = Mapping[str, Any]


def denoising(unet: Config, images: int, area: int, dtype: str, *, controlled: bool = False) -> int:
    """The bytes that a step of a U-Net takes for a number of latents of that area.

    Guidance makes two images of one; a video has as many as frames.
    """
    blocks = unet.get("down_block_types") or ("CrossAttnDownBlock2D",)
    widths = unet.get("block_out_channels") or (320,)
    factor = _ATTENDING if blocks[0].startswith("CrossAttn") else _PLAIN
    if any(block.endswith("3D") for block in blocks):
        factor = _FILM
    if controlled:
        factor += _CONTROLLED
    return int(factor * images * area * widths[0] * BYTES.get(dtype, 4))


def decoding(vae: Config, images: int, area: int, dtype: str, how: str | None = None) -> int:
    """The bytes that an autoencoder takes to decode pictures of that area.

    how is "sliced", "tiled" or "both". One that overflows in half precision works in float32.
    """
    widths = vae.get("block_out_channels") or (128,)
    if how in ("sliced", "both"):
        images = 1
    if how in ("tiled", "both"):
        area = min(area, int(vae.get("sample_size") or _TILE) ** 2)
    width = 4 if vae.get("force_upcast") else BYTES.get(dtype, 4)
    return int(_DECODING * images * area * widths[0] * width)


def generating(
    checkpoint: Checkpoint,
    dtype: str,
    size: tuple[int, int] | None,
    *,
    images: int = 1,
    guided: bool = True,
    controlled: bool = False,
    vae: str | None = None,
) -> int:
    """The bytes that a pipeline takes at its peak: to denoise or to decode, whichever is more.

    Without a size it is the one that the checkpoint was trained for.
    """
    unet, decoder = (
        resolve(checkpoint).config("unet") or {},
        resolve(checkpoint).config("vae") or {},
    )
    factor = 2 ** (len(decoder.get("block_out_channels", (0,) * 4)) - 1)
    side = unet.get("sample_size") or _LATENTS
    width, height = size or (side * factor, side * factor)
    area = -(-width // factor) * -(-height // factor)
    batch = images * (2 if guided else 1)
    dtype = checkpoint.dtype or dtype
    return max(
        denoising(unet, batch, area, dtype, controlled=controlled),
        decoding(decoder, images, area * factor**2, dtype, vae),
    )


def visiting(offload: str, sizes: Mapping[str, int]) -> int:
    """The bytes of weights on the device at once where they are kept in host memory.

    By model it is the largest; by groups about a third of it, a block of a U-Net; by layer little.
    """
    largest = max(sizes.values(), default=0)
    return {"model": largest, "group": largest // 3}.get(offload, 0)


def told_size(node: object, far: int = _FAR) -> tuple[int, int] | None:
    """The width and height of what a node makes, as its fields, its file or its sources tell.

    A node that makes its picture larger or smaller says how by `Node.output_size`. None where it
    will be known when it is made.
    """
    if not isinstance(node, Node):
        size = getattr(node, "size", None)
        return size if isinstance(size, tuple) else None
    fields = vars(node)
    width, height = fields.get("width"), fields.get("height")
    if width and height:
        return width, height
    if not far:
        return None
    if fields.get("path") is not None:
        try:
            return probe_image(fields["path"])[:2]
        except MediaError:
            return None
    source = fields.get("image") or fields.get("control")
    source = source[0] if isinstance(source, list | tuple) and source else source
    before = told_size(source, far - 1)
    return node.output_size(before) if before else None
