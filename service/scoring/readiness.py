"""Readiness check: whether requests are welcome, as `/readyz` and `clpips_ready` say."""

from clpips.service.admission.door import Door
from clpips.service.scoring.engine_health import EngineHealth


class Readiness:
    """Ready when the engine is warm and well, and the door open."""

    def __init__(self, health: EngineHealth, door: Door) -> None:
        self.warm = False  # True from the engine's first batch on
        self._health = health
        self._door = door

    @property
    def reason(self) -> str | None:
        """Why requests are not welcome; None when they are."""
        if not self.warm:
            return "the engine has not run its first batch yet"
        if self._door.closed:
            return "the service is stopping"
        if self._health.failing:
            return "the engine fails; it is tried again every second"
        return None
