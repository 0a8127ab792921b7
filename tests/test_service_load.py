"""Overload, deadlines, vanished clients, failing engines and SIGTERM, on real sockets and a real process."""

import asyncio
import re
import signal
import socket
from collections.abc import Callable

import httpx

from tests.support.gated import Gated, files, gated
from tests.support.pictures import encode, picture
from tests.support.services import assert_problem

IMAGES = [encode(picture(seed, 40)) for seed in range(24)]


async def rank(client: httpx.AsyncClient, service: Gated, images: list[bytes], **headers: str) -> httpx.Response:
    return await client.post(f"{service.url}/rank", files=files(images), headers=headers)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; bounded by the time limit of every test."""
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process decides it
        await asyncio.sleep(0.01)


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=60)


async def test_a_full_queue_is_a_503_that_says_when_to_come_back_and_reads_nothing() -> None:
    with gated(max_queue=8) as service:
        async with client() as http:
            running = asyncio.create_task(rank(http, service, IMAGES[:8]))
            await until(lambda: service.metric("clpips_queue_items", stage="decode") == 0)
            refused = await rank(http, service, IMAGES[8:12])
            problem = assert_problem(refused, 503, "overloaded")
            assert re.fullmatch("[1-9][0-9]?", refused.headers["retry-after"])
            assert "try again in" in problem["detail"]
            assert service.metric("clpips_rejected_total", reason="queue_full") == 1
            service.allow(8)
            assert (await running).status_code == 200
            assert service.metric("clpips_images_total", source="decoded") == 8


async def test_a_request_larger_than_the_queue_is_answered_when_nobody_else_is_there() -> None:
    with gated(max_queue=2) as service:
        service.allow(20)
        async with client() as http:
            assert (await rank(http, service, IMAGES[:10])).status_code == 200


async def test_a_deadline_that_passes_is_a_504_and_what_waited_never_runs() -> None:
    with gated(max_batch=1) as service:
        async with client() as http:
            running = asyncio.create_task(rank(http, service, IMAGES[:2]))
            await until(lambda: service.metric("clpips_queue_items", stage="embed") == 1)
            late = await rank(http, service, IMAGES[2:6], **{"X-Request-Timeout-Ms": "150"})
            assert_problem(late, 504, "deadline-passed")
            await until(lambda: service.metric("clpips_queue_items", stage="embed") == 1)
            service.allow(2)
            assert (await running).status_code == 200
            assert service.metric("clpips_batch_items_sum", stage="embed") == 2


async def test_a_timeout_that_is_none_is_refused() -> None:
    with gated() as service:
        async with client() as http:
            for wrong in ("soon", "0", "-5", "1e3", ""):
                reply = await rank(http, service, IMAGES[:2], **{"X-Request-Timeout-Ms": wrong})
                assert_problem(reply, 422, "invalid-request")


async def test_the_work_of_a_client_that_went_away_is_dropped() -> None:
    with gated(max_batch=1) as service:
        async with client() as http:
            running = asyncio.create_task(rank(http, service, IMAGES[:2]))
            await until(lambda: service.metric("clpips_queue_items", stage="embed") == 1)
            async with client() as other:
                gone = asyncio.create_task(rank(other, service, IMAGES[2:7]))
                await until(lambda: service.metric("clpips_queue_items", stage="embed") == 6)
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
            await until(lambda: service.metric("clpips_rejected_total", reason="client_gone") == 1)
            assert service.metric("clpips_queue_items", stage="embed") == 1
            service.allow(2)
            assert (await running).status_code == 200
            assert service.metric("clpips_batch_items_sum", stage="embed") == 2


async def test_an_image_that_two_requests_wait_for_is_embedded_once_though_the_first_goes_away() -> None:
    with gated(max_batch=1) as service:
        async with client() as http:
            async with client() as other:
                gone = asyncio.create_task(rank(other, service, IMAGES[:3]))
                await until(lambda: service.metric("clpips_queue_items", stage="embed") == 2)
                stays = asyncio.create_task(rank(http, service, IMAGES[:3]))
                await until(lambda: _inside(service) == 2)
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
            await until(lambda: service.metric("clpips_rejected_total", reason="client_gone") == 1)
            service.allow(3)
            assert (await stays).status_code == 200
            assert service.metric("clpips_batch_items_sum", stage="embed") == 3
            assert service.metric("clpips_images_total", source="inflight") == 3


def _inside(service: Gated) -> float:
    """Requests that are being ranked."""
    text = httpx.get(f"{service.url}/metrics").text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("litestar_requests_in_progress") and 'path="/rank"' in line
    )


async def test_a_client_that_sends_its_body_too_slowly_gets_408_in_time() -> None:
    with gated() as service:
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
            b"X-Request-Timeout-Ms: 200\r\n\r\n{"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert b"connection: close" in head.lower()
        assert b"request-timeout" in await reader.read()
        writer.close()
        assert service.metric("clpips_rejected_total", reason="slow_client") == 1


async def test_a_failed_batch_is_a_500_and_the_service_is_ready_again_when_the_engine_is() -> None:
    with gated(max_batch=1) as service:
        async with client() as http:
            service.fail(4)  # two images, and each time a check of the engine
            assert_problem(await rank(http, service, IMAGES[:2]), 500)
            assert_problem(await http.get(f"{service.url}/readyz"), 503, "not-ready")
            assert service.metric("clpips_ready") == 0
            assert service.metric("clpips_engine_failures_total", stage="embed") >= 1
            service.allow(20)  # the engine is tried again without any request
            await until(lambda: httpx.get(f"{service.url}/readyz").status_code == 200)
            assert (await rank(http, service, IMAGES[:2])).status_code == 200


async def test_an_engine_that_keeps_failing_ends_the_process_for_its_supervisor() -> None:
    with gated(max_engine_failures=3, max_batch=8) as service:
        async with client() as http:
            service.fail(20)
            assert (await rank(http, service, IMAGES[:2])).status_code == 500
            assert await asyncio.to_thread(service.process.wait) == 4


async def test_sigterm_lets_requests_in_flight_finish_refuses_new_ones_and_exits_with_0() -> None:
    with gated(max_batch=1) as service:
        async with client() as http:
            running = asyncio.create_task(rank(http, service, IMAGES[:4]))
            await until(lambda: service.metric("clpips_queue_items", stage="embed") == 3)
            service.process.send_signal(signal.SIGTERM)
            await until(lambda: httpx.get(f"{service.url}/readyz").status_code == 503)
            assert (await http.get(f"{service.url}/healthz")).status_code == 200
            refused = await rank(http, service, IMAGES[4:6])
            assert_problem(refused, 503, "not-ready")
            service.allow(4)
            assert (await running).status_code == 200
            assert await asyncio.to_thread(service.process.wait) == 0


async def test_sigterm_under_load_loses_nothing() -> None:
    """Each client is answered until it is told to go elsewhere; no connection breaks on a request."""
    last: list[httpx.Response] = []
    answered = 0

    async def ask_until_refused(http: httpx.AsyncClient, service: Gated, number: int) -> None:
        nonlocal answered
        while (reply := await rank(http, service, IMAGES[number : number + 3])).status_code == 200:
            answered += 1
        last.append(reply)

    with gated(feature_cache_bytes=0, drain_seconds=1) as service:
        service.allow(20_000)
        async with client() as http:
            clients = [asyncio.create_task(ask_until_refused(http, service, number)) for number in range(8)]
            await until(lambda: answered >= 40)
            service.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*clients)
            assert await asyncio.to_thread(service.process.wait) == 0
    for reply in last:
        assert_problem(reply, 503, "not-ready")
        assert reply.headers["connection"] == "close"


async def test_the_metrics_of_a_run_add_up() -> None:
    with gated(content=False) as service:  # no network is left that pixels would be kept for
        service.allow(5000)
        sent = 0
        async with client() as http:
            started = asyncio.get_running_loop().time()
            for start in (0, 4, 8, 0, 4):
                replies = await asyncio.gather(*(rank(http, service, IMAGES[start : start + 4]) for _ in range(3)))
                assert [reply.status_code for reply in replies] == [200] * 3
                sent += 12
            seconds = asyncio.get_running_loop().time() - started
        counts = {source: service.metric("clpips_images_total", source=source) for source in SOURCES}
        assert sum(counts.values()) == sent
        assert counts["decoded"] == 12
        assert counts["cache"] >= 24
        assert service.metric("clpips_batch_items_sum", stage="embed") == 12
        pairs = {source: service.metric("clpips_pairs_total", source=source) for source in ("compared", "recent")}
        assert sum(pairs.values()) == 45
        assert 9 <= service.metric("clpips_batch_items_sum", stage="compare") == pairs["compared"] <= 27
        assert all(service.metric("clpips_queue_items", stage=stage) == 0 for stage in ("decode", "embed", "compare"))
        assert 0 < service.metric("clpips_engine_busy_seconds_total") <= seconds
        assert service.metric("clpips_feature_cache_bytes") == 12 * 12  # three float32 for each image


SOURCES = ("decoded", "cache", "inflight")


async def test_an_image_may_be_named_by_its_hash_while_it_is_held() -> None:
    with gated(feature_cache_bytes=3 * 12, content=False) as service:
        service.allow(5000)
        async with client() as http:
            first = (await rank(http, service, IMAGES[:3])).json()
            named = {"target": first["target"], "candidates": [row["candidate"] for row in first["ranking"]]}
            again = await http.post(f"{service.url}/rank", json=named)
            assert [row["distance"] for row in again.json()["ranking"]] == [row["distance"] for row in first["ranking"]]
            assert service.metric("clpips_images_total", source="decoded") == 3
            await rank(http, service, IMAGES[3:5])  # pushes two out
            lost = assert_problem(await http.post(f"{service.url}/rank", json=named), 409, "images-not-held")
            assert len(lost["errors"]) == 2
            other_size = await http.post(f"{service.url}/rank", json={**named, "resolution": 64})
            assert len(assert_problem(other_size, 409, "images-not-held")["errors"]) == 3


async def test_the_service_outlives_garbage_on_the_wire() -> None:
    with gated() as service:
        host, port = service.url.removeprefix("http://").split(":")
        for garbage in (b"\x00" * 100, b"GET\r\n\r\n", b"POST /rank HTTP/1.1\r\nContent-Length: 99\r\n\r\n"):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(garbage)
        await until(lambda: httpx.get(f"{service.url}/readyz").status_code == 200)
