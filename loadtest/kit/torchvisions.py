"""A torchvision beside a PyTorch of another build. This module imports nothing of ours."""

import contextlib

import torch


def import_torchvision() -> None:
    """Import torchvision, also beside a PyTorch of another build (CPU here, CUDA there).

    Its compiled operators then do not load, and its import fails for want of their names. The metric uses none of
    them: declaring those that it asks for is enough. Where they do load, a second declaration would end the process.
    """
    try:
        import torchvision
    except RuntimeError:  # "operator torchvision::nms does not exist"
        for operator in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):  # declared already
                torch.library.define(
                    f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
        import torchvision  # noqa: F401
