"""Checks whether ControlNets fit their base checkpoint, by their configs, and their maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sdgraph.errors import Problem
from sdgraph.formatting import with_article
from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import (
    Config,
    ModelFamily,
    Task,
    all_families,
    text_width,
    transformer_width,
)
from sdgraph.values import Checkpoint

from .control_maps import Control, union_of
from .map_adapters import is_map_adapter, map_adapter_problems

MAP_CHANNELS = 3
"""The channels of a control map: red, green and blue."""

_OTHER_BASE = "use a ControlNet trained for this base"


def control_problems(
    controls: Sequence[Control], base: Checkpoint, family: ModelFamily | None, task: Task
) -> Iterator[Problem]:
    """The problems of control maps and their ControlNets, as far as configs are on this disk.

    Args:
        controls: The maps with their ControlNets.
        base: The base checkpoint.
        family: The family of the base, None if it is not on this disk.
        task: What the node does.
    """
    if any(is_map_adapter(control.network) for control in controls):
        if family is not None:
            yield from map_adapter_problems(controls, base, family, task)
        return
    if family is not None:
        yield from _map_problems(controls, family, task)
        yield from _number_problems(controls, family)
    seen: list[Checkpoint] = []
    for control in controls:
        network = control.checkpoint
        if network is None:
            continue
        problems = [] if network in seen else list(network_problems(network, base, family))
        yield from problems
        seen.append(network)
        if family is not None and not problems:
            yield from _purpose_problems(control, base, family, task)


def built_in_problems(
    family: ModelFamily, base: Checkpoint, controlnet: object, scales: Sequence[float]
) -> Iterator[Problem]:
    """The problems of a ControlNet, or of a scale, for a checkpoint that reads maps itself.

    Args:
        family: The family of the checkpoint.
        base: The checkpoint.
        controlnet: What the node names as ControlNet; None for nothing.
        scales: How strongly each map is to be followed.
    """
    if not family.control.built_in:
        return
    itself = f"{base.source}, which reads the control map itself"
    if controlnet is not None:
        fix = "leave `controlnet` out, or take FLUX.1 as the checkpoint"
        yield Problem("controlnet", f"one for {itself}", "none", fix)
    for scale in scales:
        if scale != 1:
            fix = "leave it out, or take FLUX.1 with a ControlNet, which has a scale"
            yield Problem("scale", f"{scale:g} for {itself}", "1: it has no scale", fix)


def _map_problems(
    controls: Sequence[Control], family: ModelFamily, task: Task
) -> Iterator[Problem]:
    """The problem of a map that a family's pipelines do not read, or of none that they read."""
    reads_maps = task != "controlnet-inpaint" or family.control.repaints_by_map
    has_map = controls[0].kind is not type(None)
    if has_map and not reads_maps:
        found = f"a control map for {family.label}, which repaints by the image and the mask alone"
        fix = "leave `control` out, or leave image and mask out"
        yield Problem("control", found, "none with a mask", fix)
    if reads_maps and not has_map:
        found = f"none for {family.label}"
        fix = "make one (Canny, DepthEstimate …)"
        if "inpaint" in family.pipelines:
            fix += "; or take Inpaint, which repaints without one"
        yield Problem("control", found, "at least one control map", fix)


def _number_problems(controls: Sequence[Control], family: ModelFamily) -> Iterator[Problem]:
    """The problems of several maps, or of parts of the steps, where the pipelines have none."""
    settings, count = family.control, len(controls)
    if count > 1 and settings.several == "no":
        fix = "leave the others out"
        yield Problem("control", f"{count} control maps for {family.label}", "one", fix)
    networks = [control.checkpoint for control in controls]
    if settings.several == "one network" and any(each != networks[0] for each in networks):
        found = f"different ControlNets for {family.label}"
        fix = "name one with `controlnet:`, which reads all the maps"
        yield Problem("controlnet", found, "one for all control maps", fix)
    unions = [union_of(network, family) for network in networks]
    has_own_pipeline = [union is not None and bool(union.pipelines) for union in unions]
    if len(set(has_own_pipeline)) > 1:
        found = "networks for one kind and for several kinds of maps (Union)"
        fix = "name one network for several kinds for all maps, or one for each kind"
        yield Problem("controlnet", found, "networks of one sort", fix)
    for control in () if settings.has_timing else controls:
        if (control.start, control.end) != (0.0, 1.0):
            found = f"start {control.start:g}, end {control.end:g} for {family.label}"
            fix = "leave start and end out: its ControlNets work in all steps"
            yield Problem("start", found, "0 and 1", fix)


def network_problems(
    network: Checkpoint, base: Checkpoint, family: ModelFamily | None
) -> Iterator[Problem]:
    """The problems of a ControlNet with its base, as far as configs are on this disk.

    Args:
        network: The ControlNet's checkpoint.
        base: The base checkpoint.
        family: The family of the base, None if it is not on this disk.
    """
    if network.dtype not in (None, base.dtype):
        base_dtype = base.dtype or "what the device prefers"
        found = f"{network.source} in {network.dtype} over {base.source} in {base_dtype}"
        yield Problem("controlnet", found, "one dtype", "set the dtype of the checkpoint alone")
    config = resolve(network).config()
    if config is None:
        return
    class_name = str(config.get("_class_name") or (config.get("architectures") or ["nothing"])[0])
    classes = _classes_of(family)
    if class_name not in classes:
        found, wanted = (
            f"{network.source}, {with_article(class_name)}",
            f"a ControlNet checkpoint ({' or '.join(classes)})",
        )
        yield Problem("controlnet", found, wanted, _class_advice(class_name, family))
        return
    channels = config.get("conditioning_channels", MAP_CHANNELS)
    if channels != MAP_CHANNELS:
        found = f"{network.source}, which reads {channels} channels"
        yield Problem("controlnet", found, f"one that reads control maps ({MAP_CHANNELS} channels)")
    settings = {} if family is None else family.denoiser_config(base)
    if family is not None and settings:
        yield from _base_problems(network, config, base, settings, family)


def _classes_of(family: ModelFamily | None) -> list[str]:
    """The classes of the ControlNets of a family, or of all if it is not known."""
    families = all_families() if family is None else (family,)
    settings = [
        each.control
        for each in families
        if "controlnet" in each.pipelines and not each.control.built_in
    ]
    names = [each.class_name for each in settings]
    names += [each.union.class_name for each in settings if each.union is not None]
    return list(dict.fromkeys(names))


def _class_advice(class_name: str, family: ModelFamily | None) -> str:
    if "ControlNetUnion" in class_name:
        over = "" if family is None else f" over {family.label}"
        return (
            "use a ControlNet for one kind of map; those for several (Union) are not supported"
            f"{over}"
        )
    if "ControlNet" in class_name:
        labels = [each.label for each in all_families() if class_name in _classes_of(each)]
        others = f", {' or '.join(labels)}" if labels else ""
        return f"it is for another family of models{others}"
    return ""


def _base_problems(
    network: Checkpoint, config: Config, base: Checkpoint, settings: Config, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a ControlNet that does not fit its base.

    `config` is that of the ControlNet, `settings` that of the base's denoiser.
    """
    if text_width(config) != text_width(settings):
        found = f"{network.source}, for text features of {text_width(config)}"
        wanted = f"one for {base.source} ({text_width(settings)})"
        yield Problem("controlnet", found, wanted, _OTHER_BASE)
        return
    own_width, width = transformer_width(config), transformer_width(settings)
    if family.denoiser.name == "transformer" and own_width != width:
        found = f"{network.source}, which is {own_width} wide"
        yield Problem("controlnet", found, f"one for {base.source} ({width})", _OTHER_BASE)
        return
    for name in family.control.same_settings:
        own, others = config.get(name), settings.get(name)
        if own is not None and others is not None and own != others:
            found = f"{network.source}, whose {name} is {own}"
            yield Problem("controlnet", found, f"one for {base.source} ({others})", _OTHER_BASE)
            return
    if (misfit := family.control.misfit(config, settings)) is not None:
        found, wanted = misfit
        yield Problem("controlnet", f"{network.source}, {found}", wanted, _OTHER_BASE)
    if family.denoiser.name == "unet":
        yield from _unet_problems(network, config, base, settings, family)


def _unet_problems(
    network: Checkpoint, config: Config, base: Checkpoint, settings: Config, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of the ControlNet of a U-Net with latents, embeddings or size of its base."""
    latents = family.decoder_config(base).get("latent_channels")
    if latents is not None and config.get("in_channels", latents) != latents:
        found = f"{network.source}, for latents of {config['in_channels']} channels"
        yield Problem("controlnet", found, f"one for {base.source} ({latents})", _OTHER_BASE)
        return
    embedding = config.get("addition_embed_type")
    if embedding is not None and settings.get("addition_embed_type") != embedding:
        found = f"{network.source}, which reads an embedding of the size too ({embedding})"
        yield Problem("controlnet", found, f"one for {family.label}", _OTHER_BASE)
        return
    stages, scale = config.get("conditioning_embedding_out_channels"), family.latent_scale(base)
    if stages and 2 ** (len(stages) - 1) != scale:
        found = f"{network.source}, for latents {2 ** (len(stages) - 1)} times smaller than the map"
        yield Problem("controlnet", found, f"one for {base.source} ({scale} times)", _OTHER_BASE)


def _purpose_problems(
    control: Control, base: Checkpoint, family: ModelFamily, task: Task
) -> Iterator[Problem]:
    """The problem of a ControlNet for another task, or one that does not know the kind of a map."""
    network, settings = control.checkpoint, family.control
    config = resolve(network).config() if network is not None else None
    if network is None or config is None:
        return
    if settings.repainting_channels:
        repaints = bool(config.get(settings.repainting_channels))
        if repaints and task != "controlnet-inpaint":
            found = f"{network.source}, which reads a picture and a mask"
            fix = "leave `control` out, and give an image and a mask"
            yield Problem("controlnet", found, "a ControlNet that reads control maps", fix)
        if not repaints and task == "controlnet-inpaint":
            found = f"{network.source}, which reads a control map and no mask"
            fix = "leave image and mask out, and give a control map"
            yield Problem("controlnet", found, "a ControlNet for repainting", fix)
    if task == "controlnet-inpaint":
        misfit = settings.repainting_misfit(config, family.denoiser_config(base))
        if misfit is not None:
            yield Problem("controlnet", f"{network.source}, {misfit[0]}", misfit[1])
    yield from _mode_problems(control, config, family)


def _mode_problems(control: Control, config: Config, family: ModelFamily) -> Iterator[Problem]:
    """The problem of a map of a kind that a ControlNet for several kinds does not know."""
    network = control.checkpoint
    union = union_of(network, family)
    if network is None or union is None:
        return
    known = union.known_modes(int(config[union.count]))
    if control.kind not in known:
        kinds = ", ".join(kind.__name__ for kind in known) or "none"
        found = f"{control.kind.__name__} for {network.source}, which knows no such maps"
        fix = "take such a map, or a ControlNet for this kind"
        yield Problem("control", found, f"a kind that it knows: {kinds}", fix)


def control_warnings(family: ModelFamily, task: Task, strength: float) -> Iterator[Problem]:
    """The warning of a strength that has no effect, because a pipeline starts from noise.

    Args:
        family: The family of the base.
        task: What the node does.
        strength: The strength that was set.
    """
    if task == "controlnet-inpaint" and not family.control.has_strength:
        found = f"{strength:g} for {family.label}, which has no effect"
        wanted = "none: it repaints from noise"
        yield Problem("strength", found, wanted, "leave strength out")
