"""T2I-Adapters, small and with random weights, for the small checkpoints that ship with sdgraph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_SCALE = 4
"""How much smaller than a picture the latents of the shipped checkpoints are."""


def _map_adapter(channels: int = 3) -> Any:
    import diffusers

    # The U-Nets of the shipped checkpoints begin without attention, as that of SDXL.
    return diffusers.T2IAdapter(
        in_channels=channels,
        channels=[32, 64, 64, 64],
        num_res_blocks=1,
        downscale_factor=2 * _SCALE,
        adapter_type="full_adapter_xl",
    )


MAP_ADAPTERS: Mapping[str, Callable[[], Any]] = {
    "t2i-adapter": _map_adapter,
    "t2i-adapter-grey": lambda: _map_adapter(channels=1),
}
"""What makes each T2I-Adapter, by its name without `random/`."""
