"""Step: the tests of the GPU's kernels, graphs and JPEGs, compiled and on the card.

    python -m loadtest.device.kernels [pytest's own options]

Plugins that this machine happens to have stay out, and a warning of another PyTorch's fails nothing.
"""

import os
import sys

import pytest

from loadtest.device.rows import emit, require_device, seconds_left

TESTS = ("tests/test_models_engine_triton.py", "tests/test_models_engine_jpeg.py")
OPTIONS = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider", "-W", "default", "-v")


class Counting:
    """Counts outcomes, says each failure as it happens, and begins no test when the time is over."""

    def __init__(self) -> None:
        self.passed = self.failed = self.skipped = 0

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if seconds_left() < 0:
            item.session.shouldstop = "the time is over"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed += 1
            emit(f"failed: {report.nodeid}", 1, "tests")
        elif report.skipped:
            self.skipped += 1
        elif report.when == "call":
            self.passed += 1


def main() -> int:
    on_cuda = require_device() == "cuda"
    os.environ["CLPIPS_TEST_GPU"] = str(int(on_cuda))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    counting = Counting()
    code = pytest.main([*OPTIONS, *TESTS, *sys.argv[1:]], plugins=[counting])
    emit("tests passed", counting.passed, "tests", least=1, note=f"{counting.skipped} skipped")
    emit("tests failed", counting.failed, "tests", most=0)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
