"""Depth estimation: the raw prediction of a model."""

from __future__ import annotations

from typing import Any

from sdgraph.errors import InvalidValueError, Problem


def predict_depth(model: Any, processor: Any, picture: Any, device: str) -> Any:
    """The raw prediction of a depth estimator: 1 × height × width in its own size and direction.

    Half precision runs under autocast, as in the depth pipeline, because DPT's batch norms need it.

    Args:
        model: The estimator.
        processor: Its image processor.
        picture: A Pillow picture in RGB.
        device: Where to compute.

    Raises:
        InvalidValueError: The prediction is the same everywhere, or the picture is too narrow.
    """
    import torch

    device_before, dtype = model.device, model.dtype
    try:
        pixels = processor(images=[picture], return_tensors="pt").pixel_values
    except ValueError as error:
        # The processor of Depth Anything keeps the proportions: a narrow picture gets no width.
        found = f"{picture.width}×{picture.height}, too narrow for the estimator ({error})"
        wanted = "a picture of other proportions, such as a part of it"
        raise InvalidValueError(Problem("image", found, wanted)) from None
    half = dtype in (torch.float16, torch.bfloat16)
    try:
        model.to(device)
        with torch.no_grad(), torch.autocast(device.partition(":")[0], dtype=dtype, enabled=half):
            depth = model(pixels.to(device=device, dtype=dtype)).predicted_depth
    finally:
        # A model that was kept in host memory returns there.
        model.to(device_before)
    if not torch.isfinite(depth).all() or depth.max() == depth.min():
        found = f"the same depth {depth.flatten()[0].item():g} everywhere, or NaN"
        wanted = "a picture with near and far in it (a picture of one colour has none)"
        raise InvalidValueError(Problem("the estimated depth", found, wanted))
    return depth
