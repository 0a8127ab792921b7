"""A posted ranking inside the service: what it holds while a fit runs, and what is said of it the second time."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.fitting.job import FitResult
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.families import ALL_FAMILIES, Families
from clpips.service.admission.door import INTERACTIVE, Ticket
from clpips.service.ops.telemetry import Telemetry
from clpips.service.profiles.comparisons import RecentComparisons
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import Comparer
from clpips.service.scoring.pipeline import Thumbnails
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from clpips.service.teaching.fit_messages import Task
from clpips.service.teaching.fit_processes import FitPostponedError, FitWorkers
from clpips.service.teaching.judging import Judging
from clpips.service.teaching.learner import Learner
from clpips.service.wire.ranking_bodies import RankingRequest, parse_ranking
from clpips.service.wire.schemas import Limits, SentImage, Slot
from tests.support.databases import distances, version
from tests.support.pictures import encode, picture
from tests.support.services import FORMS, Form, multipart, tree

T = "studio"
LIMITS = Limits(10**6, 8, 512)
IMAGES = [encode(picture(seed, 40)) for seed in range(4)]


class Measured(Comparer):
    """Finds channel distances without looking at an image."""

    def __init__(self) -> None:
        pass

    async def compare(
        self,
        tenant: str,
        pairs: Sequence[tuple[Slot, Slot]],
        resolution: int | None,
        ticket: Ticket,
        families: Families = ALL_FAMILIES,
        masks: Sequence[Slot | None] | None = None,
        thumbnails: Thumbnails | None = None,
    ) -> NDArray[np.float32]:
        return distances(0, len(pairs)).astype(np.float32)


class HeldFits(FitWorkers):
    """Fits that begin, and end when the test says so, without weights."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()

    def expect(self) -> None:
        pass

    async def fit(self, task: Task) -> FitResult:
        self.began.set()
        await self.may_end.wait()
        return FitResult(None, 256, False, "there is too little to learn from", {})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ProfileStore]:
    database = Database(f"sqlite:///{tmp_path}/clpips.db")
    await database.migrate()
    store = ProfileStore(database, TenantQuota(10, 10))
    await store.create(T, "ada", "lpips", SHIPPED_FINGERPRINT, version())
    yield store
    await database.close()


def judging(store: ProfileStore, workers: FitWorkers) -> Judging:
    telemetry = Telemetry()
    registry = Registry(ShippedWeights.load(SHIPPED_FINGERPRINT), store, SHIPPED_FINGERPRINT, 2.0, 10, telemetry)
    learner = Learner(store, registry, workers, telemetry)
    return Judging(store, registry, learner, RecentComparisons(60, 10**6), Measured(), telemetry)


def body_of(form: Form) -> tuple[bytes, str]:
    """An order of three images."""
    target, *candidates = IMAGES
    if form == "multipart":
        return multipart([("target", target), *(("candidates", one) for one in candidates)], {"order": "2,0,1"})
    return tree(form, {"target": target, "candidates": candidates, "order": [2, 0, 1]})


def sent_bytes(request: RankingRequest) -> list[bytes]:
    assert request.target is not None
    return [slot.image.content for slot in (request.target, *request.candidates) if isinstance(slot.image, SentImage)]


@pytest.mark.parametrize("form", FORMS)
def test_a_parsed_ranking_does_not_keep_its_body(form: Form) -> None:
    body, content_type = body_of(form)
    held = sys.getrefcount(body)
    request = parse_ranking(content_type, body, LIMITS)
    assert sent_bytes(request) == IMAGES
    assert sys.getrefcount(body) == held


@pytest.mark.parametrize("form", FORMS)
async def test_nothing_holds_the_bytes_of_a_rankings_images_while_it_is_fitted(store: ProfileStore, form: Form) -> None:
    body, content_type = body_of(form)
    request = parse_ranking(content_type, body, LIMITS)
    images, free = sent_bytes(request), [b"nobody else holds this" + body]
    workers = HeldFits()
    taught = asyncio.create_task(judging(store, workers).teach(T, "ada", request, Ticket(1e9, 0, INTERACTIVE)))
    await workers.began.wait()
    assert {sys.getrefcount(images[index]) for index in range(4)} == {sys.getrefcount(free[0])}
    workers.may_end.set()
    answer, is_new = await taught
    assert (answer.ranking, answer.rankings, is_new) == (1, 1, True)


class Unlucky(HeldFits):
    """Fits that cannot begin: the system has no descriptor left, or the database does not answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    async def fit(self, task: Task) -> FitResult:
        if self.error is not None:
            raise self.error
        self.may_end.set()
        return await super().fit(task)


@pytest.mark.parametrize(
    "error",
    [FitPostponedError("no process could be started to fit weights (Too many open files)"), StorageError("away")],
)
async def test_a_ranking_that_cannot_be_fitted_now_is_kept_and_its_answer_says_so(
    store: ProfileStore, error: Exception
) -> None:
    workers = Unlucky(error)
    own = judging(store, workers)
    body, content_type = body_of("json")
    asked = parse_ranking(content_type, body, LIMITS)
    answer, is_new = await own.teach(T, "ada", asked, Ticket(1e9, 0, INTERACTIVE))
    assert (answer.ranking, answer.rankings, answer.taken, is_new) == (1, 1, False, True)
    assert answer.reason.startswith("the ranking is kept, and is learned from later: ")
    assert own._taught.labels("postponed")._value.get() == 1.0
    assert (await store.find(T, "ada")).fitted_ranking == 0
    workers.error = None
    keeping_up = asyncio.create_task(own._learner.keep_up(SHIPPED_FINGERPRINT, after_seconds=0.01))
    await workers.began.wait()  # without anybody's asking
    async with asyncio.timeout(10):
        while (await store.find(T, "ada")).fitted_ranking == 0:  # noqa: ASYNC110 - another task writes it
            await asyncio.sleep(0.01)
    keeping_up.cancel()
