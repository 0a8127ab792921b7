"""Device names: a CPU, a card by its number, or several with commas between them, each with an engine of its own."""

import logging
import re
from collections.abc import Callable
from typing import Final

from clpips.models.engines.contract import DeviceName, Engine, EngineError

DEVICES: Final = r"^(auto|cpu(\s*,\s*cpu)*|cuda|cuda:\d{1,3}(\s*,\s*cuda:\d{1,3})*)$"  # what a setting may say
DEVICES_EXPECTED: Final = "auto, cpu, cuda, or cards by their numbers with commas between them, like cuda:0,cuda:1"

logger = logging.getLogger(__name__)


def devices_of(names: str) -> list[DeviceName]:
    """The devices that are named, in their order. All are of one kind: one's features are then those of another.

    A device may be named twice, and then has two engines. Raises `EngineError` for anything else.

    >>> devices_of("cuda:0, cuda:1")
    ['cuda:0', 'cuda:1']
    """
    if re.fullmatch(DEVICES, names.strip()) is None:
        raise EngineError(f"{names!r} names no devices: expected {DEVICES_EXPECTED}")
    return [name.strip() for name in names.split(",")]


def open_all(open_one: Callable[[DeviceName], Engine], devices: list[DeviceName], *, fallback: bool) -> list[Engine]:
    """An engine on each device. With `fallback`, one that cannot be had is left out where another can, with a warning.

    Raises `EngineError` where one is missing; those that were opened are then closed.
    """
    engines: list[Engine] = []
    missing: EngineError | None = None
    for device in devices:
        try:
            engines.append(open_one(device))
        except EngineError as error:
            missing = missing or error
            logger.warning("no engine on %s: %s", device, error)
            if not fallback:
                break
    if missing is not None and not (fallback and engines):
        for engine in engines:
            engine.close()
        raise missing
    return engines


def shares_main_memory(engine: Engine) -> bool:
    """Whether an engine's features lie in main memory, and not on its device: any engine of its kind reads them there.

    ONNX Runtime's do on CUDA, too.
    """
    return engine.name == "onnx" or engine.device == "cpu"
