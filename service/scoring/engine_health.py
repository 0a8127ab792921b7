"""Health check of the engine: a count of failures in a row, and probes that end it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from clpips.service.ops.telemetry import Telemetry

PROBE_SECONDS: Final = 1.0  # between two probes

log = structlog.get_logger()


class EngineHealth:
    """Health of the engine by the batches that fail altogether, in a row.

    The first failure makes the engine `failing`, and `probe` (one small batch) is then run every second: a batch or a
    probe that succeeds makes it well again. After `max_failures` in a row it is `dead`, and is not probed any more.
    """

    def __init__(self, probe: Callable[[], Awaitable[None]], telemetry: Telemetry, max_failures: int) -> None:
        self._probe = probe
        self._failed_batches = telemetry.engine_failures
        self._max_failures = max_failures
        self._failures = 0  # in a row
        self._probing: asyncio.Task[None] | None = None

    @property
    def failing(self) -> bool:
        return self._failures > 0

    @property
    def dead(self) -> bool:
        return self._failures >= self._max_failures

    def note(self, *, failed: bool) -> None:
        """Count a batch: `failed` if the engine did not do a single item of it. Belongs on the event loop."""
        if not failed:
            self._failures = 0
            return
        self._failures += 1
        self._failed_batches.inc()
        log.error("the engine failed", failures=self._failures, dead=self.dead)
        if not self.dead and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe_until_well())

    def close(self) -> None:
        """Stop probing."""
        if self._probing:
            self._probing.cancel()

    async def _probe_until_well(self) -> None:
        while self.failing and not self.dead:
            await asyncio.sleep(PROBE_SECONDS)
            try:
                await self._probe()
            except Exception:  # noqa: BLE001  whatever it is, the engine has failed once more
                self.note(failed=True)
            else:
                self.note(failed=False)
                log.info("the engine runs again")
