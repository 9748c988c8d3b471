"""The nodes whose images and clips are scored and shown as examples."""

from __future__ import annotations

from sdgraph import Node
from sdgraph.nodes import Canny, ControlNet, DepthToImage, Inpaint, Text2Image, Text2Video, Turbo
from sdgraph.nodes.tiny_world import (
    Scene,
    describe_scene,
    describe_surroundings,
    rearrange,
    render_depth,
    render_scene,
)
from sdgraph.nodes.training.ip_adapter import FILE
from sdgraph.values import DepthMap, EdgeMap, Image, Lora, Mask, Video

from .generation import CheckpointRunner
from .scenes import SIDE, InpaintingTask


def scene_image(scene: Scene) -> Image:
    """The true picture of a scene."""
    return Image(render_scene(scene, SIDE))


def text_to_image_node(
    runner: CheckpointRunner,
    prompt: str,
    seed: int,
    *,
    name: str = "text-to-image",
    steps: int | None = None,
) -> Node[Image]:
    """A picture from a prompt, by the checkpoint of that name, in the runner's steps by default."""
    return Text2Image(
        prompt=prompt,
        seed=seed,
        checkpoint=runner.checkpoint(name),
        steps=runner.options.steps if steps is None else steps,
        guidance=runner.options.guidance,
    )


def turbo_node(runner: CheckpointRunner, prompt: str, seed: int) -> Node[Image]:
    """A picture from a prompt in one step."""
    return Turbo(prompt=prompt, steps=1, seed=seed, checkpoint=runner.checkpoint("turbo"))


def inpaint_node(runner: CheckpointRunner, task: InpaintingTask, seed: int) -> Node[Image]:
    """A scene's picture, with one object painted over by another."""
    return Inpaint(
        image=scene_image(task.source),
        mask=Mask(task.mask),
        prompt=describe_scene(task.wanted),
        seed=seed,
        checkpoint=runner.checkpoint("inpaint"),
        **runner.guided(),
    )


def edges_node(scene: Scene) -> Node[EdgeMap]:
    """The edges of a scene's picture."""
    return Canny(image=scene_image(scene))


def true_depth(scene: Scene) -> DepthMap:
    """The true depth of a scene."""
    return DepthMap(render_depth(scene, SIDE))


def controlnet_node(
    runner: CheckpointRunner,
    name: str,
    control: Node[EdgeMap] | DepthMap,
    wanted: Scene,
    seed: int,
) -> Node[Image]:
    """A picture of the wanted scene along a control map, by the ControlNet of that name."""
    return ControlNet(
        control=control,
        prompt=describe_scene(wanted),
        seed=seed,
        checkpoint=runner.checkpoint("text-to-image"),
        controlnet=runner.checkpoint(name),
        **runner.guided(),
    )


def reference_image(scene: Scene, seed: int) -> Image:
    """A picture of a scene's objects at other places on another background."""
    return scene_image(rearrange(scene, seed))


def ip_adapter_node(
    runner: CheckpointRunner, reference: Image, wanted: Scene, seed: int
) -> Node[Image]:
    """A picture of a reference's object, from a prompt that names only place and background."""
    return Text2Image(
        prompt=describe_surroundings(wanted),
        reference=reference,
        ip_adapter=Lora(runner.checkpoint("ip-adapter").source, file=FILE),
        seed=seed,
        checkpoint=runner.checkpoint("text-to-image"),
        **runner.guided(),
    )


def depth_to_image_node(
    runner: CheckpointRunner, source: Image, wanted: Scene, seed: int
) -> Node[Image]:
    """A picture of the wanted scene at the depth of a source picture."""
    return DepthToImage(
        image=source,
        prompt=describe_scene(wanted),
        strength=1.0,
        seed=seed,
        checkpoint=runner.checkpoint("depth"),
        **runner.guided(),
    )


def text_to_video_node(
    runner: CheckpointRunner, scene: Scene, seed: int, frames: int
) -> Node[Video]:
    """A clip from the caption of a moving scene."""
    return Text2Video(
        prompt=describe_scene(scene),
        frames=frames,
        seed=seed,
        checkpoint=runner.checkpoint("text-to-video"),
        **runner.guided(),
    )
