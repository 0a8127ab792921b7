"""The arrows: who may import whom."""

import ast
import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for package in ("models", "service") for path in (ROOT / package).rglob("*.py"))
WITH_TORCH = {
    *(
        f"models/engines/pytorch/{part}.py"
        for part in (
            "cuda_graphs",
            "engine",
            "jpeg",
            "kernels",
            "layout",
            "memory",
            "network",
            "precision",
            "slots",
            "triton_kernels",
        )
    ),
    "models/fitting/paper.py",
}
HEAVY = ("torch", "torchvision", "lpips", "onnx", "matplotlib")


def imports(path: Path) -> set[str]:
    """Every module that the file imports anywhere, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; name the module in full"
            found |= {node.module or ""}
    return found


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert {"models/engines/pytorch/engine.py", "service/app.py"} <= {named(path) for path in MODULES}


@pytest.mark.parametrize("path", [path for path in MODULES if named(path).startswith("models/")], ids=named)
def test_the_metric_knows_nothing_of_the_service(path: Path) -> None:
    known = {name.partition(".")[0] for name in imports(path)}
    assert not known & {"service", "loadtest", "tests", "litestar", "uvicorn", "asyncio", "structlog", "sqlalchemy"}


@pytest.mark.parametrize("path", [path for path in MODULES if named(path).startswith("service/")], ids=named)
def test_the_service_knows_nothing_of_tests_and_load(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & {"loadtest", "tests"}


def test_pytorch_is_imported_where_it_must_be_and_nowhere_else() -> None:
    users = {
        named(path) for path in MODULES if {name.partition(".")[0] for name in imports(path)} & {"torch", "torchvision"}
    }
    # The first asks whether there is a GPU, and lives without an answer.
    assert users - {"models/engines/opening.py"} <= WITH_TORCH


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


def test_the_command_line_starts_without_a_web_framework() -> None:
    code = "import clpips.service.cli, sys; sys.exit('litestar' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


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
