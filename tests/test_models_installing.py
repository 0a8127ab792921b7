"""What is not installed is named, with a command that installs it: from a checkout or a wheel, for no index has us."""

import subprocess
import sys

import pytest

from clpips import __version__
from clpips.models.installing import PYTHON, install_hint
from tests.support.pictures import encode, picture


def without(package: str, code: str) -> str:
    """What `code` prints in a process of its own where `package` cannot be imported."""
    code = f"import sys; sys.modules[{package!r}] = None\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def refusal(package: str, engine: str) -> str:
    return without(
        package,
        "from clpips.models.engines.contract import EngineError\n"
        "from clpips.models.engines.opening import open_engine\n"
        f"try: open_engine({engine!r}, 'cpu')\n"
        "except EngineError as error: print(error)",
    )


def test_a_hint_names_the_checkout_and_this_versions_wheel() -> None:
    assert "pip install '.[report]' in a checkout" in install_hint("report")
    assert f"'clpips-{__version__}-py3-none-any.whl[report]'" in install_hint("report")


@pytest.mark.parametrize(("package", "engine", "extra"), [("onnxruntime", "onnx", "cpu"), ("torch", "torch", "torch")])
def test_an_engine_that_is_not_installed_says_how_it_is(package: str, engine: str, extra: str) -> None:
    assert install_hint(extra) in refusal(package, engine)


def test_a_python_without_a_wheel_of_the_engine_is_told_what_to_do() -> None:
    assert f"no onnxruntime for {PYTHON}, take an older Python or the engine torch" in refusal("onnxruntime", "onnx")


def test_without_imgread_pillow_decodes_and_says_what_would_be_faster() -> None:
    pixels = picture(3, 40, 56)
    code = (
        "from clpips.models.images.decoding import decode\n"
        "from clpips.models.images.png import png_decoder\n"
        f"assert decode({encode(pixels, 'PNG')!r}).tobytes() == {pixels.tobytes()!r}\n"
        "print(png_decoder())"
    )
    said = without("imgread", code)
    assert install_hint("decode") in said
    assert f"no wheel of it for {PYTHON}, leave it out" in said
