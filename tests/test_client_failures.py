"""What goes wrong between the client and a service: refusals, full queues, lost answers, and nobody there."""

import asyncio
import contextlib
import hashlib
import socket
import threading
import time
from typing import Any

import pytest
from clpips_client import (
    AsyncClient,
    BadImagesError,
    Client,
    ClpipsError,
    ComparisonNotFoundError,
    ConnectionLostError,
    ForbiddenError,
    OutOfTimeError,
    OverloadedError,
    ProfileExistsError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnknownProfileError,
)

from tests.support import client_service
from tests.support.client_service import CANDIDATES, TARGET
from tests.support.faulty import losing_line
from tests.support.gated import gated
from tests.support.pictures import picture
from tests.support.services import listening

url = client_service.url
client = client_service.client

KEY = "the-key"
LINES = f"ada studio score,teach sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"


def test_bad_images_are_named_by_their_places(client: Client) -> None:
    with pytest.raises(BadImagesError, match="no image in a format") as caught:
        client.rank(TARGET, [CANDIDATES[0], b"no image", CANDIDATES[1], b"none"])
    assert (caught.value.indices, caught.value.status) == ([1, 3], 422)


def test_errors_are_of_their_kind(client: Client) -> None:
    with pytest.raises(UnknownProfileError, match="nobody"):
        client.rank(TARGET, CANDIDATES, profile="nobody")
    with pytest.raises(ComparisonNotFoundError):
        client.profiles.suggest(client.profiles.create("empty").name, "none")
    with pytest.raises(ProfileExistsError):
        client.profiles.create("empty")
    assert client.profiles.create("empty", exist_ok=True).name == "empty"
    with pytest.raises(ClpipsError, match="candidate"):
        client.rank(TARGET, [])


def test_a_full_queue_is_waited_for() -> None:
    with gated(max_queue=2, decode_processes=0, request_seconds=100) as service, Client(service.url) as client:
        answers: list[Any] = []
        first = threading.Thread(target=lambda: answers.append(client.rank(TARGET, CANDIDATES)))
        second = threading.Thread(target=lambda: answers.append(client.rank(CANDIDATES[5], CANDIDATES[:5])))
        first.start()
        while not service.metric("clpips_batch_running_seconds", stage="embed"):
            pass  # another process is what is waited for: the engine holds the first request's images
        second.start()
        while not service.metric("clpips_rejected_total", reason="queue_full"):
            pass
        with pytest.raises(OverloadedError) as caught:
            client.within(0.5).rank(picture(7), [picture(8)])
        service.allow(50)
        first.join()
        second.join()
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
    assert sorted(len(answer) for answer in answers) == [5, 6]


def test_a_rate_is_kept_by_waiting_where_there_is_time() -> None:
    with listening(api_keys=LINES, rate_limit=60) as url, Client(url, key=KEY) as client:
        hasty = client.within(0.2)
        refused = None
        while refused is None:  # until the minute's requests are used up
            try:
                hasty.profiles.list()
            except TooManyRequestsError as error:
                refused = error
        assert (refused.status, refused.retry_after) == (429, 1.0)
        assert client.profiles.list().profiles == ()


def test_keys_are_sent_and_what_they_may_not_is_said() -> None:
    with listening(api_keys=LINES) as url, Client(url, key=KEY) as client, Client(url) as nobody:
        client.profiles.create("ada")
        with pytest.raises(ForbiddenError):
            client.profiles.delete("ada")
        with pytest.raises(UnauthenticatedError):
            nobody.rank(TARGET, CANDIDATES)


def test_after_a_lost_answer_a_ranking_counts_once_and_a_reset_is_not_repeated(url: str) -> None:
    with losing_line(url) as line, Client(line.url) as client:
        client.profiles.create("eve")
        line.losses = 1
        ranking = client.rank(TARGET, CANDIDATES, profile="eve")
        line.losses = 2
        taught = client.profiles.teach("eve", ranking, order=[5, 4, 3, 2, 1, 0])
        line.losses = 1
        by_images = client.profiles.teach("eve", target=CANDIDATES[0], candidates=CANDIDATES[1:3], best=0)
        assert (taught.rankings, by_images.rankings) == (1, 2)
        assert [status for status in line.carried if "/rankings" in status] == [
            "POST /profiles/eve/rankings 201",
            "POST /profiles/eve/rankings 200",
            "POST /profiles/eve/rankings 200",
            "POST /profiles/eve/rankings 201",
        ]
        line.losses = 1
        with pytest.raises(ConnectionLostError) as caught:
            client.profiles.reset("eve")
        assert caught.value.sent
        assert client.profiles.get("eve").rankings == 0  # it was done, once
        assert sum("/reset" in carried for carried in line.carried) == 1


def test_where_nobody_listens_the_time_is_used_and_not_more() -> None:
    with Client("127.0.0.1:1", timeout=0.3) as client, pytest.raises(ConnectionLostError, match="cannot be reached"):
        client.rank(TARGET, CANDIDATES)


def test_patience_ends_where_a_connection_is_neither_made_nor_refused() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as others:
        for _ in range(4):  # there is no room in its backlog for one more
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(deaf.getsockname())
        with Client("127.0.0.1:{1}".format(*deaf.getsockname()), patience=0.5) as client:
            asked = time.monotonic()
            with pytest.raises(ConnectionLostError, match="cannot be reached"):
                client.profiles.list()
            assert time.monotonic() - asked < 30  # and not the 60 seconds of its timeout


def test_an_answer_that_is_late_is_not_waited_for() -> None:
    with gated(decode_processes=0) as service:
        with Client(service.url) as client, pytest.raises(OutOfTimeError):
            client.within(0.3).rank(TARGET, CANDIDATES)
        service.allow(50)


async def test_a_cancelled_request_is_dropped_by_the_service() -> None:
    with gated(decode_processes=0) as service:
        async with AsyncClient(service.url) as client:
            asked = asyncio.create_task(client.rank(TARGET, CANDIDATES))
            while not await asyncio.to_thread(service.metric, "clpips_batch_running_seconds", stage="embed"):
                pass
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            while not await asyncio.to_thread(service.metric, "clpips_rejected_total", reason="client_gone"):
                pass
            service.allow(50)
            assert len(await client.rank(TARGET, CANDIDATES[:1])) == 1
