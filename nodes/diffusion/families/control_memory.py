"""A formula for the memory of ControlNets of transformers, which run before the denoiser.

A ControlNet makes a tensor for each of its layers, which the denoiser adds to its own; they are
held while it runs. At the end of a ControlNet the results of its layers, what it makes of them, and
that times the scale exist at once; with many layers this is the peak of the step.
`tests/nodes/diffusion/test_control_memory.py` measures it, without computing.
"""

from __future__ import annotations

from collections.abc import Sequence

from .networks import Config

_OTHERS, _OTHERS_OF_STACK = 2.0, 8.6
"""Further tensors at the end of a ControlNet; of one that stacks its results (Z-Image)."""


def control_tensors(
    denoiser: float, controls: Sequence[Config], tokens: int, picture_tokens: int
) -> float:
    """The number of tensors of tokens × width that exist at once in a step with ControlNets.

    Args:
        denoiser: The number without ControlNets.
        controls: The configs of the ControlNets, one for each control map.
        tokens: The number of tokens of the picture and of the prompt.
        picture_tokens: The number of tokens of the picture.
    """
    held, peak = 0.0, denoiser
    for config in controls:
        made, at_end = _results_of(config, picture_tokens / tokens)
        peak = max(peak, held + at_end, denoiser + max(held, made))
        held = max(held, made)
    return peak


def _results_of(config: Config, share: float) -> tuple[float, float]:
    """The tensors that a ControlNet makes, and all that exist at its end.

    Args:
        config: Its config.
        share: The share of the picture among the tokens; other results have no tokens of text.
    """
    if "control_layers_places" in config:
        count = len(config["control_layers_places"] or ())
        return count, 2 * (count + 1) + _OTHERS_OF_STACK
    layers = [int(config.get(name) or 0) for name in ("num_layers", "num_single_layers")]
    made = share * sum(layers)
    return made, 2 * made + share * max(layers) + _OTHERS
