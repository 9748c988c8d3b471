"""The memory that a diffusion node works with beside its components, known before the run."""

from __future__ import annotations

from collections.abc import Mapping

from sdgraph.errors import MediaError
from sdgraph.graph import Node
from sdgraph.media import probe_image
from sdgraph.values import Checkpoint

from .families import ModelFamily

_MAX_DISTANCE = 8
"""How many nodes back a picture's size is looked for: a plan must not cost more in a long chain."""


def peak_bytes(
    family: ModelFamily,
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

    Args:
        family: The checkpoint's, which has the laws.
        checkpoint: Whose configs are read.
        dtype: What is computed in where the checkpoint does not say.
        size: Width and height in pixels; None for what the checkpoint was trained for.
        images: How many pictures, or frames, are made at once.
        guided: Whether classifier-free guidance doubles them while denoising.
        controlled: Whether ControlNets add their residuals.
        vae: Whether the decoder works "sliced", "tiled" or "both".
    """
    scale = family.latent_scale(checkpoint)
    width, height = size or family.native_size(checkpoint)
    area = -(-width // scale) * -(-height // scale)
    batch = images * (2 if guided else 1)
    dtype = checkpoint.dtype or dtype
    settings = family.denoiser_config(checkpoint)
    denoising = family.denoiser.memory(settings, batch, area, dtype, controlled=controlled)
    settings = family.decoder_config(checkpoint)
    return max(denoising, family.decoder.memory(settings, images, area * scale**2, dtype, vae))


def offloaded_bytes(offload: str, sizes: Mapping[str, int]) -> int:
    """The bytes of weights on the device at once where they are kept in host memory.

    By model it is the largest; by groups about a third of it, a block of a U-Net; by layer little.
    `sizes` are the components' bytes by name.
    """
    largest = max(sizes.values(), default=0)
    return {"model": largest, "group": largest // 3}.get(offload, 0)


def planned_size(node: object, distance: int = _MAX_DISTANCE) -> tuple[int, int] | None:
    """The width and height in pixels of what a node makes, as far as they are known before the run.

    They follow from its fields, from the file that it reads, or from the picture that it is given,
    which may be a value; `Node.output_size` says by how much it becomes larger or smaller.
    """
    if not isinstance(node, Node):
        size = getattr(node, "size", None)
        return size if isinstance(size, tuple) else None
    fields = vars(node)
    width, height = fields.get("width"), fields.get("height")
    if width and height:
        return width, height
    if not distance:
        return None
    if fields.get("path") is not None:
        try:
            return probe_image(fields["path"])[:2]
        except MediaError:
            return None
    source = fields.get("image") or fields.get("control")
    source = source[0] if isinstance(source, list | tuple) and source else source
    size_before = planned_size(source, distance - 1)
    return node.output_size(size_before) if size_before else None
