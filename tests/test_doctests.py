"""The examples in the docstrings of `clpips.models` are run, and give what they say."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import clpips.models

OPTIONAL = {"torch", "torchvision", "triton", "lpips", "onnx", "matplotlib", "ray"}
NAMES = [module.name for module in pkgutil.walk_packages(clpips.models.__path__, "clpips.models.")]


def loaded(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"{name} needs {error.name}")


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name: str) -> None:
    assert doctest.testmod(loaded(name), optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("room", ["metric.distance", "images.decoding", "engines.opening"])
def test_examples_are_found(room: str) -> None:
    assert doctest.testmod(loaded(f"clpips.models.{room}")).attempted > 0
