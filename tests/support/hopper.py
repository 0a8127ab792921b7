"""Compile the GPU's kernels for compute capability 9.0, where there need be no GPU, and report what came of it.

`python -m tests.support.hopper` prints one JSON list: registers, bytes spilled, and how many loads of a kernel's tiles
are 16 bytes wide.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from clpips.models.engines.pytorch import triton_kernels
from clpips.models.metric.backbone import CHANNELS

HOPPER = GPUTarget("cuda", 90, 32)
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def compile_for_hopper(kernel: Any, arguments: dict[str, str], constants: dict[str, Any]) -> dict[str, Any]:
    """`arguments` are types as Triton writes them, in order; pointers and multiples (`i32:16`) are aligned."""
    names = list(arguments)
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(arguments.values())
        if kind.startswith("*") or kind.endswith(":16")
    }
    signature = {name: kind.removesuffix(":16") for name, kind in arguments.items()}
    signature = {name: signature.get(name, "constexpr") for name in [*names, *constants]}
    source = ASTSource(
        fn=kernel, signature={name: signature[name] for name in kernel.arg_names}, constexprs=constants, attrs=aligned
    )
    compiled = triton.compile(source, target=HOPPER)
    loads = re.findall(r"ld\.global\.(\S+)", compiled.asm["ptx"])
    # Scalars that every thread reads (addresses, the plan) are .b32 and .b64; a tile's loads are vectors or .b16.
    return {
        "kernel": kernel.__name__,
        "wide_loads": sum("v4" in load for load in loads),
        "tile_loads": sum(load not in {"b32", "b64"} for load in loads),
        **_resources(compiled.asm["cubin"]),
    }


def _resources(cubin: bytes) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        run = subprocess.run([CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True)
    found = dict(re.findall(r"(REG|STACK|LOCAL|SHARED):(\d+)", run.stdout))
    return {"registers": int(found["REG"]), "stack": int(found["STACK"]), "local": int(found["LOCAL"])}


def main() -> None:
    reports = []
    for pointer, unit in (("*fp16", tl.float16), ("*fp32", tl.float32)):
        reports.append(
            compile_for_hopper(
                triton_kernels.blocks_kernel,
                {"pixels": "*u8", "out": pointer, "height": "i32", "width": "i32", "rows": "i32", "columns": "i32"},
                {**triton_kernels.BLOCKS_CONSTANTS, "TILE": 1024},
            )
        )
        for channels in sorted(set(CHANNELS)):
            constants = triton_kernels.store_constants(channels)
            arguments = {"maps": pointer, "addresses": "*i64", "start": "i32:16", "positions": "i32"}
            reports.append(compile_for_hopper(triton_kernels.store_kernel, arguments, constants))
        reports.append(
            compile_for_hopper(
                triton_kernels.compare_kernel,
                {"addresses": "*i64", "items": "*i32", "partial": "*fp32"},
                {"unit": unit, **triton_kernels.COMPARE_CONSTANTS},
            )
        )
        reports.append(
            compile_for_hopper(
                triton_kernels.measure_kernel,
                {"addresses": "*i64", "items": "*i32", "partial": "*fp32"},
                {"unit": unit, **triton_kernels.COMPARE_CONSTANTS},
            )
        )
    reports.append(
        compile_for_hopper(
            triton_kernels.finish_kernel,
            {"partial": "*fp32", "blocks": "*i32", "z": "*fp32", "items": "i32"},
            {"CHANNEL_TILE_": triton_kernels.CHANNEL_TILE},
        )
    )
    reports.append(
        compile_for_hopper(
            triton_kernels.finish_measure_kernel,
            {"partial": "*fp32", "items": "*i32", "blocks": "*i32", "addresses": "*i64", "number": "i32"},
            triton_kernels.FINISH_MEASURE_CONSTANTS,
        )
    )
    reports.append(
        compile_for_hopper(
            triton_kernels.statistics_kernel,
            {"addresses": "*i64", "z": "*fp32"},
            {"TILE": triton_kernels.STATISTICS_TILE},
        )
    )
    json.dump(reports, sys.stdout)


if __name__ == "__main__":
    main()
