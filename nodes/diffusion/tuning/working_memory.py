"""The memory that a diffusion node needs besides its components, estimated before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sdgraph.errors import MediaError
from sdgraph.graph import Node
from sdgraph.nodes.diffusion.families import Config, ModelFamily, Task
from sdgraph.values import Checkpoint

from .step_caches import cached_bytes

_MAX_DISTANCE = 8
"""How many nodes back a picture's size is looked for, so that long chains are planned as fast."""


def peak_bytes(
    family: ModelFamily,
    checkpoint: Checkpoint,
    dtype: str,
    size: tuple[int, int] | None,
    *,
    images: int = 1,
    guided: bool = True,
    controls: Sequence[Config] = (),
    vae: str | None = None,
    references: int = 0,
    cache: str | None = None,
    task: Task | None = None,
    decoded: int | None = None,
) -> int:
    """The bytes that a pipeline needs at its peak: to denoise, to decode, or for its embeddings.

    Args:
        family: The checkpoint's family.
        checkpoint: The checkpoint, whose configs are read.
        dtype: The dtype of the computation, if the checkpoint does not say.
        size: Width and height in pixels; None for the checkpoint's native size.
        images: The number of pictures, or frames, that are made at once.
        guided: Whether classifier-free guidance doubles their number while denoising.
        controls: The configs of the ControlNets, one for each control map.
        vae: "sliced", "tiled" or "both" if the decoder works by slices or tiles, else None.
        references: The pixels of further pictures of which the denoiser gets tokens.
        cache: The name of the cache of steps; None for none.
        task: What the pipeline has to do; None for what all of its pipelines need.
        decoded: How many pictures are decoded at once; None for all.
    """
    scale = family.latent_scale(checkpoint)
    width, height = size or family.native_size(checkpoint)
    area = -(-width // scale) * -(-height // scale)
    video = family.video_for(checkpoint)
    if video is not None:
        images += video.left_out_frames
    latents = images if video is None else video.latent_frames(images)
    batch = latents * (family.guidance.batch if guided else 1)
    dtype = checkpoint.dtype or dtype
    settings = family.denoiser_config(checkpoint)
    memory = family.step_memory(checkpoint, task)
    tokens_area = area + references // scale**2
    denoising = memory(settings, batch, tokens_area, dtype, controls=controls)
    denoising += cached_bytes(cache, family, checkpoint, denoising, guided=guided)
    connect = family.prompt_encoding.memory
    connecting = 0 if connect is None else connect(settings, 2 if guided else 1, dtype)
    settings = family.decoder_config(checkpoint)
    images = min(images, decoded or images)
    decoding = family.decoder.memory(settings, images, area * scale**2, dtype, vae)
    return max(denoising, decoding, connecting)


def offloaded_bytes(offload: str, sizes: Mapping[str, int]) -> int:
    """The bytes of weights that are on the device at once while others stay in host memory.

    Args:
        offload: "model" for the largest model, "group" for a block, which is about a third of it;
            otherwise 0.
        sizes: The components' bytes by name.
    """
    largest = max(sizes.values(), default=0)
    return {"model": largest, "group": largest // 3}.get(offload, 0)


def planned_size(node: object, distance: int = _MAX_DISTANCE) -> tuple[int, int] | None:
    """The width and height in pixels of a node's result, or None if the run alone can tell.

    They follow from its fields, from the header of the file that it reads, or from its input
    picture and `Node.output_size`.

    Args:
        node: The node, or a value.
        distance: How many nodes back to look.
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
        from sdgraph.media import probe_image  # imported here because few plans have such a file

        try:
            return probe_image(fields["path"])[:2]
        except MediaError:
            return None
    source = fields.get("image") or fields.get("control") or fields.get("video")
    source = source[0] if isinstance(source, list | tuple) and source else source
    size_before = planned_size(source, distance - 1)
    return node.output_size(size_before) if size_before else None


def complete_size(source: object, native: tuple[int, int]) -> tuple[int, int] | None:
    """A width and height of which one is given, with the native one for the other.

    Args:
        source: What a node's size follows from, as `Node.size_source` says.
        native: The width and height that the checkpoint was trained for.

    Returns:
        None if neither is given, or if the size follows from a picture.

    Example:
        >>> complete_size((2048, None), (512, 512))
        (2048, 512)
    """
    if not isinstance(source, tuple) or not any(isinstance(side, int) for side in source):
        return None
    width, height = source
    return width or native[0], height or native[1]
