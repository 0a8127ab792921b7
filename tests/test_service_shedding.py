"""Load shedding: what the door would refuse is refused by the head of a request alone, and counted like all others."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from clpips.service.admission.door import Door
from clpips.service.admission.shedding import Shedder
from clpips.service.admission.throughput import Throughput
from clpips.service.batching.turns import Place
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import Overloaded
from tests.support.gated import files, gated
from tests.support.pictures import encode, picture
from tests.support.services import assert_problem

pytestmark = pytest.mark.asyncio  # a door lives on an event loop

LATER = 1e9  # a deadline, in seconds of the event loop's clock
IMAGE = 1000  # bytes


class Crowd:
    """A door of ten images, a shedder before it, and who is inside."""

    def __init__(self, staying: ExitStack) -> None:
        self.telemetry = Telemetry()
        seconds = iter([0.0, 1.0])
        throughput = Throughput(clock=lambda: next(seconds))
        with throughput.image():  # which takes a second, as all others are expected to
            pass
        self.door = Door(10, throughput, self.telemetry)
        self.shedder = Shedder(self.door, 60.0, self.telemetry, {"/rank"})
        self._staying = staying

    def let_in(self, images: int) -> None:
        """A request of so many images, which stays."""
        ticket = self._staying.enter_context(self.door.admit(LATER, images * IMAGE))
        self.door.count(ticket, images)

    def problem(self, path: str = "/rank", method: str = "POST", images: int = 1, **headers: str) -> Overloaded | None:
        scope: Any = {"type": "http", "method": method, "path": path}
        head = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return self.shedder.problem(scope, {b"content-length": str(images * IMAGE)} | head)

    def counted(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with ExitStack() as staying:
        yield Crowd(staying)


async def test_who_has_room_passes_and_leaves_no_trace(crowd: Crowd) -> None:
    crowd.let_in(4)
    assert crowd.problem(images=4, x_request_timeout_ms="60000") is None
    assert len(crowd.door) == 1
    assert crowd.counted("litestar_requests_total", method="POST", path="/rank", status_code="503") == 0


async def test_who_has_none_is_told_when_to_come_back_and_counted(crowd: Crowd) -> None:
    crowd.let_in(8)
    problem = crowd.problem(images=4)
    assert problem is not None
    assert int(problem.headers["Retry-After"]) >= 1
    assert crowd.counted("clpips_rejected_total", reason="queue_full") == 1
    labels = {"method": "POST", "path": "/rank", "status_code": "503", "app_name": "clpips"}
    assert crowd.counted("litestar_requests_total", **labels) == 1
    assert crowd.counted("litestar_requests_error_total", **labels) == 1
    assert crowd.counted("litestar_request_duration_seconds_count", **labels) == 1


@pytest.mark.parametrize("images", range(1, 12))
@pytest.mark.parametrize("bulk", [False, True])
async def test_it_says_what_the_door_would(crowd: Crowd, images: int, bulk: bool) -> None:
    crowd.let_in(4)
    try:
        with crowd.door.admit(LATER, images * IMAGE, Place(bulk=bulk)):
            refused = False
    except Overloaded:
        refused = True
    priority = "bulk" if bulk else "interactive"
    assert (crowd.problem(images=images, x_priority=priority) is not None) == refused


async def test_a_deadline_that_would_pass_while_it_waits_is_told_from_the_head(crowd: Crowd) -> None:
    crowd.let_in(4)
    assert crowd.problem() is None
    assert crowd.problem(x_request_timeout_ms="1") is not None
    assert crowd.counted("clpips_rejected_total", reason="deadline") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"},
        {"path": "/profiles"},
        {"x_request_timeout_ms": "soon"},  # the handler says what is wrong with it
        {"x_priority": "urgent"},
    ],
)
async def test_what_it_does_not_know_it_lets_through(crowd: Crowd, other: dict[str, str]) -> None:
    crowd.let_in(10)
    assert crowd.problem(images=4) is not None
    assert crowd.problem(images=4, **other) is None


async def test_a_door_that_is_closed_says_so_itself(crowd: Crowd) -> None:
    crowd.let_in(10)
    crowd.door.closed = True
    assert crowd.problem(images=4) is None


async def test_a_refusal_before_all_routes_is_an_answer_like_any_other() -> None:
    images = [encode(picture(seed, 40)) for seed in range(12)]
    with gated(max_queue=8) as service:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as http:
            first = asyncio.create_task(http.post("/rank", files=files(images[:8])))
            while await asyncio.to_thread(service.metric, "clpips_inflight_bytes", kind="pixels") == 0:  # noqa: ASYNC110 - another process decides it
                await asyncio.sleep(0.01)
            refused = await http.post("/rank", files=files(images[8:]), headers={"X-Request-ID": "mine"})
            assert_problem(refused, 503, "overloaded")
            assert refused.headers["x-request-id"] == "mine"
            assert refused.headers["x-content-type-options"] == "nosniff"
            assert int(refused.headers["retry-after"]) >= 1
            labels = {"app_name": "clpips", "method": "POST", "path": "/rank", "status_code": "503"}
            assert service.metric("litestar_requests_total", **labels) == 1
            again = await http.post(
                "/rank", files=files(images[8:])
            )  # on the same connection: what it had sent was skipped
            assert_problem(again, 503, "overloaded")
            service.allow(8)
            assert (await first).status_code == 200
