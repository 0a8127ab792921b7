"""Step: what this machine is: card, cores, memory, versions."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from loadtest.device.rows import emit

PACKAGES = ("torch", "torchvision", "triton", "numpy", "scipy", "onnxruntime", "lpips", "litestar", "pillow")


def main() -> int:
    print(f"Python {platform.python_version()}, {platform.platform()}")
    for name in PACKAGES:
        try:
            print(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            print(f"{name} is missing")
    emit("cores", len(os.sched_getaffinity(0)), note=_processor())
    emit("memory", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, "GiB")
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    emit("GPUs", cards, note="" if cards else "no CUDA here")
    for number in range(cards):
        card = torch.cuda.get_device_properties(number)
        emit(
            f"memory of GPU {number}",
            card.total_memory / 2**30,
            "GiB",
            note=f"{card.name}, PyTorch {torch.__version__}",
        )
    return 0


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
