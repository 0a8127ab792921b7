"""What all tests share: those that need more than the default install skip, and say how to get it."""

import importlib.util

import pytest

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "lpips", "onnx"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if HAS_TORCH:
        return
    skip = pytest.mark.skip(reason="needs PyTorch, lpips and onnx: pip install -e '.[torch]'")
    for item in items:
        if item.get_closest_marker("torch"):
            item.add_marker(skip)
