"""Runs cases: each suite against a service of its own, one case after the other, under watch."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.hostile.case import Case, Suite, Unexpected
from loadtest.hostile.service import Service
from loadtest.hostile.watch import Sample, Watch
from loadtest.kit.contenders import LOGS

LONGEST_HEALTHZ = 0.25  # seconds
MOST_MEMORY = int(1.2 * 2**30)  # bytes, of all processes of a service
TRIES = 3  # of a case in which `/healthz` was late: on a busy machine that may have been somebody else's work


@dataclass(frozen=True)
class Outcome:
    """How a case ended: `complaint` is empty where it holds."""

    suite: str
    case: str
    complaint: str
    seconds: float
    healthz_seconds: float  # the longest, 0 where nobody watched
    memory_bytes: int  # the most, 0 where nobody watched
    tries: int = 1


class Runner:
    """Meets one suite's cases with a service, and starts another where a case has ended it."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._service: Service | None = None
        self._watch: Watch | None = None

    def run(self, case: Case) -> Outcome:
        """Run a case, again where `/healthz` was late in it: it has failed if that is so each time."""
        outcome = self._try(case, 1)
        for number in range(2, TRIES + 1):
            if outcome.complaint or outcome.healthz_seconds <= LONGEST_HEALTHZ:
                break
            outcome = self._try(case, number)
        if not outcome.complaint and outcome.healthz_seconds > LONGEST_HEALTHZ:
            late = f"/healthz took {outcome.healthz_seconds * 1e3:.0f} ms, in each of {TRIES} tries too long"
            return Outcome(**{**outcome.__dict__, "complaint": late})
        return outcome

    def _try(self, case: Case, number: int) -> Outcome:
        service = self._running()
        started = time.monotonic()
        complaint = _complaint(case, service)
        ended = time.monotonic()
        samples: Sequence[Sample] = self._watch.between(started, ended) if self._watch else []
        memory = max((sample.memory_bytes for sample in samples), default=0)
        if not complaint and memory > MOST_MEMORY:
            complaint = f"the service's processes held {memory / 2**20:.0f} MiB, the bound is {MOST_MEMORY / 2**20:.0f}"
        if complaint:
            self.close()  # whatever is wrong with it, the next case gets a service that is well
        return Outcome(
            self._suite.name,
            case.name,
            complaint,
            ended - started,
            max((sample.healthz_seconds for sample in samples), default=0.0),
            memory,
            number,
        )

    def _running(self) -> Service:
        if self._service is not None and not self._service.alive:
            self.close()
        if self._service is None:
            name = f"hostile-{self._suite.name}"
            service = Service(name, self._suite.settings)
            service.start()
            self._service = service
            if self._suite.watched:
                self._watch = Watch(service.port, service.pid, LOGS / f"{name}.watch")
        return self._service

    def close(self) -> None:
        """Stop the service and who watches it."""
        if self._watch is not None:
            self._watch.close()
        if self._service is not None:
            self._service.stop()
        self._watch = self._service = None


def _complaint(case: Case, service: Service) -> str:
    async def check() -> None:
        async with asyncio.timeout(case.seconds):
            await case.check(service)

    try:
        asyncio.run(check())
    except Unexpected as error:
        return str(error)
    except TimeoutError:
        return f"it was not over after {case.seconds:g} s"
    except Exception as error:  # noqa: BLE001 - a case that cannot be tried does not hold
        return f"{type(error).__name__}: {error}"
    return ""
