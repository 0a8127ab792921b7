"""Numerical precision: what the convolutions compute in, exact or fast, on which device."""

import torch

from clpips.models.engines.contract import Precision


def compute_dtype(device: str, precision: Precision) -> torch.dtype:
    """What the convolutions compute in: float32 for `exact`, half precision for `fast`.

    `fast` is float16 on GPUs: as quick there as bfloat16 and eight times as precise. It is bfloat16 on CPUs, whose
    matrix units (AMX, AVX-512 BF16) know no float16 before Granite Rapids.

    >>> compute_dtype("cpu", "fast")
    torch.bfloat16
    """
    if precision == "exact":
        return torch.float32
    return torch.float16 if device == "cuda" else torch.bfloat16


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    return any(has for unit, has in torch.cpu.get_capabilities().items() if "bf16" in unit or unit == "amx_tile")
