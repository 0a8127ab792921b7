"""Health check of the engine: failures in a row, counted by stage, and probes that end them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from clpips.service.ops.telemetry import Telemetry

PROBE_SECONDS: Final = 1.0  # between two probes

log = structlog.get_logger()


class EngineHealth:
    """Health of an engine by the batches at which it failed, in a row and in one stage: `embed` or `compare`.

    The first failure makes the engine `failing`, and `probe` (one small batch through both stages) is then run every
    second: a probe that succeeds makes it well again, and a batch that succeeds makes its own stage well. After
    `max_failures` in a row in one stage it is `dead`, and is not probed any more.

    `fell` is called when it begins to fail; `device` is its name in the log, where it is one of several.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[None]], telemetry: Telemetry, max_failures: int, device: str = ""
    ) -> None:
        self.fell: Callable[[], None] = lambda: None
        self._probe = probe
        self._named = {"device": device} if device else {}
        self._failed_batches = telemetry.engine_failures
        self._max_failures = max_failures
        self._failures: Counter[str] = Counter()  # in a row, by stage
        self._probing: asyncio.Task[None] | None = None

    @property
    def failing(self) -> bool:
        return bool(self._failures)

    @property
    def dead(self) -> bool:
        return max(self._failures.values(), default=0) >= self._max_failures

    def note(self, stage: str, *, failed: bool) -> None:
        """Count a batch of a stage: `failed` if the engine is at fault. Belongs on the event loop."""
        if not failed:
            self._failures.pop(stage, None)
            return
        was_failing = self.failing
        self._failures[stage] += 1
        self._failed_batches.labels(stage).inc()
        log.error("the engine failed", stage=stage, failures=self._failures[stage], dead=self.dead, **self._named)
        if not was_failing:
            self.fell()
        if not self.dead and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._probe_until_well())

    def lose(self) -> None:
        """It is dead, and never was alive: it has failed its warm-up."""
        self._failures["warm-up"] = self._max_failures
        self.fell()

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
                for stage in list(self._failures):
                    self.note(stage, failed=True)
            else:
                self._failures.clear()
                log.info("the engine runs again", **self._named)


class HealthOfAll:
    """The health of several engines as one: it fails, and is dead, where each of them is."""

    def __init__(self, each: Sequence[EngineHealth]) -> None:
        self._each = each

    @property
    def failing(self) -> bool:
        return all(one.failing for one in self._each)

    @property
    def dead(self) -> bool:
        return all(one.dead for one in self._each)
