"""What a process loads: nothing heavy before it is needed, and no room's libraries in a process of another."""

import ctypes
import subprocess
import sys

import pytest

from tests.support.manifests import ROOT

HEAVY = ("torch", "torchvision", "lpips", "onnx", "matplotlib")


@pytest.mark.parametrize(
    "module",
    [
        "clpips.models",
        "clpips.models.cli.commands",
        "clpips.models.engines.onnx",
        "clpips.service.cli",
        "clpips.service.server",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(module: str) -> None:
    code = f"import {module}, sys; sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_scoring_from_the_command_line_does_not_wait_for_statistics() -> None:
    code = "import clpips.models.cli.commands, sys; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_service_leaves_solvers_to_the_processes_that_fit() -> None:
    code = "import clpips.service.server, sys; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_command_line_starts_without_a_web_framework() -> None:
    code = "import clpips.service.cli, sys; sys.exit('litestar' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_process_that_fits_loads_no_web_and_nothing_of_the_wire() -> None:
    code = """
import sys
import clpips.service.teaching.fit_worker
web = {"litestar", "uvicorn", "starlette", "prometheus_client"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(" ".join(sorted(web | {name for name in sys.modules if name.startswith("clpips.service.wire")})) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_that_fits_loads_no_scipy_and_no_migrations() -> None:
    code = """
import sys
import clpips.service.teaching.fit_worker
sys.exit(" ".join({"scipy", "alembic"} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_choosing_an_engine_without_a_gpu_does_not_wait_for_pytorch() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        code = (
            "import sys; from clpips.models.engines.opening import open_engine; "
            "open_engine(); sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    else:
        pytest.skip("there is an NVIDIA driver here, and PyTorch has to be asked")
