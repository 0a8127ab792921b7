"""Single-flight fitting: one fit of a profile at a time, from its newest rankings to a version that may be used."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from clpips.models.fitting.job import FitResult
from clpips.service.ops.telemetry import Telemetry
from clpips.service.ops.traces import span
from clpips.service.problems import FitFailed, FitPostponed, Problem
from clpips.service.profiles.registry import Registry
from clpips.service.storage.errors import ProfileMissingError, RefusedError, StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion, Profile, Version
from clpips.service.teaching.fit_messages import Task
from clpips.service.teaching.fit_processes import FitPostponedError, FitWorkerError, FitWorkers

RETRY_SECONDS: Final = 30.0
MAX_ATTEMPTS: Final = 5  # fits in a row that others may overtake
PATIENCE_SECONDS: Final = 20.0  # that somebody waits for a fit, which goes on without them

log = structlog.get_logger()


@dataclass(frozen=True)
class FitOutcome:
    """What came of a fit: the profile after it, and the version it made, if it made one."""

    profile: Profile
    version: Version | None
    reason: str  # why it was taken into use, or only proposed, or why there is none

    @property
    def became(self) -> Literal["none", "taken", "proposed"]:
        """What became of its version."""
        if self.version is None:
            return "none"
        return "taken" if self.version.taken else "proposed"


class Learner:
    """Fits profiles. Whoever asks while a fit of the same profile runs waits for the next, together."""

    def __init__(
        self,
        store: ProfileStore,
        registry: Registry,
        workers: FitWorkers,
        telemetry: Telemetry,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._store = store
        self._registry = registry
        self._workers = workers
        self._telemetry = telemetry
        self._fits: dict[tuple[str, str], asyncio.Task[FitOutcome]] = {}
        self._postponed = asyncio.Event()

    async def learn(self, changed: Profile) -> FitOutcome:
        """Fit a profile to its rankings, at least as they were when it was changed: one was added, or one removed.

        Raises `ProfileMissingError` where it is deleted meanwhile, `FitFailed`, `FitPostponed` or `StorageError`.
        """
        key = (changed.tenant, changed.name)
        while True:
            task = self._fits.get(key) or self._begin(*key, again=False)
            outcome = await self._outcome(changed.name, task)
            after = outcome.profile
            if after.id != changed.id:  # another one has its name
                raise ProfileMissingError(changed.name)
            if after.epoch >= changed.epoch and after.fitted_ranking >= changed.latest_ranking:
                return outcome

    async def refit(self, tenant: str, name: str) -> FitOutcome:
        """Fit the profile now, whether or not there is anything new. Raises as `learn` does."""
        if (running := self._fits.get((tenant, name))) is not None:
            await asyncio.wait([running], timeout=self._patience_seconds)
        return await self._outcome(name, self._fits.get((tenant, name)) or self._begin(tenant, name, again=True))

    async def _outcome(self, name: str, fit: asyncio.Task[FitOutcome]) -> FitOutcome:
        """What comes of a fit that others may wait for, too: it goes on, however long this one waits."""
        done, _ = await asyncio.wait([fit], timeout=self._patience_seconds)
        if not done:
            raise FitPostponed(
                f"the rankings of {name!r} are kept, and the fit to them goes on: it takes longer than "
                f"{self._patience_seconds:g} s; `GET /profiles/{name}` shows what becomes of it",
                headers={"retry-after": str(round(RETRY_SECONDS))},
            )
        return fit.result()

    def postpone(self) -> None:
        """Learn what was kept and not learned in a while."""
        self._postponed.set()

    async def keep_up(self, backbone: str, after_seconds: float = RETRY_SECONDS) -> None:
        """Catch up now, and so many seconds after each time that a fit is postponed; without end."""
        while True:
            self._postponed.clear()
            await self.catch_up(backbone)
            await self._postponed.wait()
            await asyncio.sleep(after_seconds)

    async def catch_up(self, backbone: str) -> None:
        """Learn what was kept and not learned: the process that should have was killed, or its fit failed."""
        try:
            behind = await self._store.unlearned(backbone)
        except StorageError as error:
            log.warning("rankings not caught up", reason=str(error))
            self.postpone()
            return
        for profile in behind:
            try:
                await self.learn(profile)
            except (Problem, RefusedError, StorageError) as error:  # deleted, or failed once more
                if isinstance(error, StorageError):
                    self.postpone()
                log.warning("profile not caught up", tenant=profile.tenant, profile=profile.name, reason=str(error))

    def _begin(self, tenant: str, name: str, *, again: bool) -> asyncio.Task[FitOutcome]:
        key = (tenant, name)
        task = self._fits[key] = asyncio.create_task(self._fit(tenant, name, again=again))

        def end(done: asyncio.Task[FitOutcome]) -> None:
            del self._fits[key]
            if not done.cancelled():
                done.exception()  # whoever waits gets it; with nobody left it is no news for the log

        task.add_done_callback(end)
        return task

    async def _fit(self, tenant: str, name: str, *, again: bool) -> FitOutcome:
        for _ in range(MAX_ATTEMPTS):
            seen = await self._store.find(tenant, name)
            if not again and seen.fitted_ranking >= seen.latest_ranking:
                return await self._made_elsewhere(seen)
            start = time.perf_counter()
            result = await self._run(seen)
            if result is None:  # deleted meanwhile, and perhaps made anew
                continue
            version = None if result.weights is None else _new_version(result)
            kept = await self._store.add_fitted(seen, version, result.reason, taken=result.taken, again=again)
            if kept is None:
                self._telemetry.fits.labels("overtaken").inc()
                continue
            self._registry.forget(tenant, name)
            outcome = FitOutcome(*kept, result.reason)
            self._tell(outcome, time.perf_counter() - start)
            return outcome
        raise FitFailed(
            f"the profile {name!r} changed faster than it could be fitted; its rankings are kept: "
            f"`POST /profiles/{name}/fit` tries again"
        )

    async def _run(self, seen: Profile) -> FitResult | None:
        try:
            with span("fit"), self._telemetry.fit_seconds.time():
                return await self._workers.fit(Task.of(seen, self._registry.networks))
        except FitPostponedError as error:
            self._telemetry.fits.labels("failed").inc()
            log.error("fit postponed", tenant=seen.tenant, profile=seen.name, reason=str(error))  # noqa: TRY400
            self.postpone()
            raise FitPostponed(
                f"the rankings of {seen.name!r} are kept, but {error}; they are fitted within a minute, or by "
                f"`POST /profiles/{seen.name}/fit`",
                headers={"retry-after": str(round(RETRY_SECONDS))},
            ) from error
        except FitWorkerError as error:
            self._telemetry.fits.labels("failed").inc()
            log.error("fit failed", tenant=seen.tenant, profile=seen.name, reason=str(error))  # noqa: TRY400
            raise FitFailed(
                f"the rankings of {seen.name!r} are kept, but fitting to them failed: {error}; "
                f"`POST /profiles/{seen.name}/fit` tries again"
            ) from error

    async def _made_elsewhere(self, seen: Profile) -> FitOutcome:
        """What another replica's fit, which saw all of these rankings, came to; or that there are none."""
        if not seen.rankings:
            return FitOutcome(seen, None, "it has no rankings to learn from")
        newest = await self._store.versions(seen.id, None, 1)
        version = newest[0] if newest and newest[0].origin == "fitted" and not newest[0].superseded else None
        reason = str(version.report.get("reason", "")) if version is not None else ""
        if seen.waiting is not None and seen.waiting != reason:  # the newest fit gave no version
            version, reason = None, seen.waiting
        return FitOutcome(seen, version, reason or "there is nothing new to learn")

    def _tell(self, outcome: FitOutcome, seconds: float) -> None:
        profile, version = outcome.profile, outcome.version
        self._telemetry.fits.labels(outcome.became).inc()
        log.info(
            "profile fitted",
            tenant=profile.tenant,
            profile=profile.name,
            outcome=outcome.became,
            version=None if version is None else version.number,
            in_use=profile.current_version,
            rankings=profile.rankings,
            reason=outcome.reason,
            seconds=round(seconds, 4),
        )


def _new_version(result: FitResult) -> NewVersion:
    assert result.weights is not None  # noqa: S101 - the caller has looked
    return NewVersion(result.weights, "fitted", result.resolution, {**result.report, "reason": result.reason})
