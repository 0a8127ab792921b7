"""Loading ONNX Runtime: the package that must be there, once, without its telemetry, with CUDA's libraries found."""

import contextlib
import ctypes
import functools
import io
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from clpips.models.engines.contract import EngineError
from clpips.models.installing import PYTHON, install_hint


def load_runtime() -> Any:
    """The module `onnxruntime`, with its reports to its makers turned off.

    Since 1.32 ONNX Runtime writes a device identifier into the user's cache and sends what it runs to Microsoft,
    unless this variable is set before it is loaded; someone who wants that sets it to 0.

    Raises `EngineError` where it is missing, or where `onnxruntime` and `onnxruntime-gpu` are both installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if all(_is_installed(name) for name in ("onnxruntime", "onnxruntime-gpu")):
        raise EngineError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's files: "
            f"pip uninstall -y onnxruntime onnxruntime-gpu, then {install_hint('cpu')}; or with gpu in place of cpu"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be imported ({error}): {install_hint('cpu')}; for CUDA with gpu in place of cpu; "
            f"where pip finds no onnxruntime for {PYTHON}, take an older Python or the engine torch"
        ) from error
    return onnxruntime


@functools.cache
def share_arena() -> None:
    """Let all sessions with `session.use_env_allocators` take the memory of their layers from one arena on the host.

    By itself each has one of its own, which keeps what its largest image took: a service that had seen images of
    2000² held 120 MiB more. The arena grows by what is asked for, and not by powers of two.
    """
    runtime = load_runtime()
    kind = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    host = runtime.OrtMemoryInfo("Cpu", kind, 0, runtime.OrtMemType.DEFAULT)
    unbounded, as_requested, default = 0, 1, -1
    runtime.create_and_register_allocator(host, runtime.OrtArenaCfg(unbounded, as_requested, default, default))


def load_cuda_libraries(runtime: Any) -> str:
    """Load the CUDA libraries that pip installed; what ONNX Runtime prints of those that it misses, for an error."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # stdout is the answer's
        runtime.preload_dlls()
    runtime.set_default_logger_severity(4)  # else it says the same again, in four lines on stderr
    said = " ".join(printed.getvalue().split())
    return f" ({said})" if said else ""


def shrinking_run(runtime: Any) -> Any:
    """Options of a run on the CPU after which the memory of its layers goes back to the system."""
    options = runtime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def release_freed_memory() -> None:
    """Give back to the system what opening a session has allocated and freed: glibc would keep it, some 200 MB.

    Where the C library is another, nothing happens.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
