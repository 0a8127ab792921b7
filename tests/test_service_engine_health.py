"""Health of the engine: failing after a batch that fails, probed every second, dead after too many in a row."""

import asyncio

from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.lanes.engine_health import EngineHealth
from tests.support.virtual_time import run, settle


class Probe:
    """A small batch that fails as often as it is told to, and notes when it ran."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.ran_at: list[float] = []

    async def __call__(self) -> None:
        self.ran_at.append(asyncio.get_running_loop().time())
        if len(self.ran_at) <= self.failures:
            raise RuntimeError("the device is gone")


def test_it_is_probed_every_second_until_a_probe_succeeds() -> None:
    probe = Probe(failures=2)

    async def main() -> None:
        health = EngineHealth(probe, Telemetry(), max_failures=9)
        health.note("embed", failed=True)
        assert health.failing
        await asyncio.sleep(10)
        assert not health.failing

    run(main)
    assert probe.ran_at == [1.0, 2.0, 3.0]


def test_it_is_dead_after_so_many_failures_in_a_row_and_is_not_probed_any_more() -> None:
    probe = Probe(failures=99)

    async def main() -> None:
        health = EngineHealth(probe, Telemetry(), max_failures=3)
        health.note("embed", failed=True)
        await asyncio.sleep(10)
        assert health.dead

    run(main)
    assert probe.ran_at == [1.0, 2.0]


def test_a_batch_that_succeeds_ends_the_row() -> None:
    probe = Probe(failures=0)

    async def main() -> None:
        health = EngineHealth(probe, Telemetry(), max_failures=3)
        for _ in range(5):
            health.note("embed", failed=True)
            health.note("embed", failed=True)
            health.note("embed", failed=False)
            assert not health.failing
            assert not health.dead
        await asyncio.sleep(10)

    run(main)
    assert probe.ran_at == []


def test_closing_stops_the_probes() -> None:
    probe = Probe(failures=99)

    async def main() -> None:
        health = EngineHealth(probe, Telemetry(), max_failures=99)
        health.note("embed", failed=True)
        health.close()
        await settle()
        await asyncio.sleep(10)

    run(main)
    assert probe.ran_at == []
