"""Readiness check: whether requests are welcome, as `/readyz` and `clpips_ready` say."""

from clpips.service.admission.door import Door
from clpips.service.batching.running import Running
from clpips.service.scoring.lanes.engine_health import HealthOfAll


class Readiness:
    """Ready when the engine, or one of several, is warm and well, nothing that runs hangs, and the door is open."""

    def __init__(self, health: HealthOfAll, door: Door, running: Running, stall_seconds: float) -> None:
        self.warm = False  # True from the engine's first batch on
        self._health = health
        self._door = door
        self._running = running
        self._stall_seconds = stall_seconds

    @property
    def reason(self) -> str | None:
        """Why requests are not welcome; None when they are."""
        if not self.warm:
            return "the engine has not run its first batch yet"
        if self._door.closed:
            return "the service is stopping"
        if self._health.failing:
            return "the engine fails; it is tried again every second"
        seconds, stage = self._running.longest()
        if seconds > self._stall_seconds:
            return f"a batch of the stage {stage!r} has run for {seconds:.0f} s; the service is about to start again"
        return None
