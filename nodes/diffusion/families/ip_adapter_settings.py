"""How the pipelines of a family take an IP-Adapter, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IpAdapterLayout = Literal["unet", "flux", "sd3"]
"""The network whose layers an IP-Adapter has, and so the names and shapes of its tensors."""


@dataclass(frozen=True, kw_only=True)
class IpAdapterSettings:
    """How the pipelines of a family take an IP-Adapter.

    Args:
        layout: The network that the adapters are for.
        encoder: The class of the image encoder, in transformers.
        tasks: The tasks whose pipelines take one; () for all.
        max_pictures: How many pictures of the subject it takes; 0 for any number.
    """

    layout: IpAdapterLayout = "unet"
    encoder: str = "CLIPVisionModelWithProjection"
    tasks: tuple[str, ...] = ()
    max_pictures: int = 0


UNET_IP_ADAPTER = IpAdapterSettings()
"""The IP-Adapters of U-Nets (Ye et al. 2023)."""
