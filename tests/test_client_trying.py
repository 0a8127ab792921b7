"""When a request is sent again, and when it must not be: operations are driven by hand, in a time of their own."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from clpips_client import (
    ClpipsError,
    ConnectionLostError,
    ImagesNotHeldError,
    Limits,
    OutOfTimeError,
    OverloadedError,
    ProblemError,
    TooManyRequestsError,
    profiles,
    scoring,
)
from clpips_client.core import Core
from clpips_client.steps import Answer, Call, Flow, Pause

Reply = Answer | ClpipsError
LOST = ConnectionLostError("lost", sent=True)
UNREACHED = ConnectionLostError("nobody listens", sent=False)
SUMMARY = Answer(
    200, b'{"name": "ada", "parent": "lpips", "version": 1, "rankings": 0, "created": "2026-11-27T01:11:51.9Z"}'
)
COMPUTED: dict[str, dict[str, Any]] = {
    "profile": {"name": "lpips", "version": 1, "fingerprint": "f"},
    "engine": {"name": "e", "device": "cpu", "precision": "exact", "convolution": "direct", "backbone": "b"},
}


class Time:
    """A clock that pauses and answers move on, and nothing else."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def problem(status: int, kind: str, retry_after: str | None = None, *pointers: str) -> Answer:
    told = {
        "type": f"urn:problem-type:clpips:{kind}",
        "detail": "so it is",
        "errors": [{"pointer": pointer, "detail": "this"} for pointer in pointers],
    }
    headers = {"content-type": "application/problem+json"} | ({"retry-after": retry_after} if retry_after else {})
    return Answer(status, json.dumps(told).encode(), headers)


BUSY = problem(503, "overloaded", "2")
PROXY = Answer(503, b"<html>", {"content-type": "text/html"})


def drive(
    make: Callable[[Core], Flow[Any]],
    replies: Iterator[Reply],
    *,
    timeout: float = 60.0,
    takes: float = 0.0,
    **core: Any,
) -> tuple[Any, list[Call], list[float]]:
    """What an operation comes to, or the error it raises; its calls, and how long it waited between them."""
    clock = Time()
    flow = make(Core(timeout=timeout, clock=clock, jitter=lambda: 1.0, **core))
    calls: list[Call] = []
    pauses: list[float] = []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                pauses.append(step.seconds)
                clock.now += step.seconds
                step = flow.send(None)
                continue
            calls.append(step)
            clock.now += takes
            reply = next(replies)
            step = flow.throw(reply) if isinstance(reply, ClpipsError) else flow.send(reply)
    except StopIteration as stop:
        return stop.value, calls, pauses
    except ClpipsError as error:
        return error, calls, pauses


def look(core: Core) -> Flow[Any]:
    return profiles.rollback(core, "ada", 1)  # twice is the same as once


def change(core: Core) -> Flow[Any]:
    return profiles.reset(core, "ada")  # twice is two versions


@pytest.mark.parametrize("make", [look, change])
@pytest.mark.parametrize(
    "refused", [BUSY, problem(429, "too-many-requests", "2"), problem(503, "not-ready"), UNREACHED]
)
def test_what_was_refused_is_sent_again(make: Callable[[Core], Flow[Any]], refused: Reply) -> None:
    done, calls, _ = drive(make, iter([refused, refused, SUMMARY]))
    assert (done.name, len(calls)) == ("ada", 3)


def test_a_service_that_cannot_be_reached_is_given_up_when_patience_ends_and_a_busy_one_is_not() -> None:
    error, calls, pauses = drive(look, iter([UNREACHED] * 100), patience=3.0)
    assert error is UNREACHED
    assert 2 < sum(pauses) < 10
    assert len(calls) == len(pauses) + 1
    done, _, pauses = drive(look, iter([BUSY, BUSY, BUSY, SUMMARY]), patience=3.0)
    assert (done.name, sum(pauses) > 3) == ("ada", True)


@pytest.mark.parametrize("perhaps", [LOST, problem(503, "storage-unavailable", "5"), PROXY, Answer(502)])
def test_what_may_have_been_done_is_sent_again_only_where_twice_is_once(perhaps: Reply) -> None:
    done, calls, _ = drive(look, iter([perhaps, SUMMARY]))
    assert (done.name, len(calls)) == ("ada", 2)
    failed, calls, pauses = drive(change, iter([perhaps]))
    assert isinstance(failed, ClpipsError)
    assert (len(calls), pauses) == (1, [])


@pytest.mark.parametrize("status", [400, 404, 422, 500, 504])
def test_what_would_be_answered_the_same_is_not_sent_again(status: int) -> None:
    failed, calls, _ = drive(look, iter([Answer(status)]))
    assert isinstance(failed, ProblemError)
    assert (failed.status, len(calls)) == (status, 1)


def test_patience_is_for_a_service_that_is_away_and_not_for_one_that_was_just_there() -> None:
    error, calls, pauses = drive(look, iter([BUSY, BUSY, *[UNREACHED] * 100]), patience=3.0)
    assert error is UNREACHED
    assert sum(pauses) == pytest.approx(2 * 2.5 + 3.0)  # and no longer: the last try is when patience ends
    assert len(calls) > 4
    done, _, _ = drive(look, iter([BUSY, BUSY, UNREACHED, SUMMARY]), patience=3.0)
    assert done.name == "ada"


def test_a_service_that_asks_for_no_wait_is_not_asked_without_a_pause() -> None:
    _, _, pauses = drive(look, iter([problem(503, "overloaded", "0"), problem(429, "too-many-requests", "0"), SUMMARY]))
    assert pauses == [0.1, 0.2]


def test_waits_are_the_services_and_a_little_more() -> None:
    _, _, pauses = drive(look, iter([BUSY, SUMMARY]))
    assert pauses == [2 * 1.25]


def test_without_its_word_waits_grow_to_a_bound() -> None:
    _, _, pauses = drive(look, iter([LOST] * 8 + [SUMMARY]))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_one_budget_is_for_all_tries() -> None:
    failed, calls, pauses = drive(look, (BUSY for _ in count()), timeout=10, takes=1.0)
    assert isinstance(failed, OverloadedError)
    assert failed.retry_after == 2
    assert [call.seconds for call in calls] == [10, 6.5, 3.0]
    assert [call.headers["X-Request-Timeout-Ms"] for call in calls] == ["10000", "6500", "3000"]
    assert pauses == [2.5, 2.5]


def test_a_wait_beyond_the_budget_is_not_begun() -> None:
    failed, _, pauses = drive(look, iter([problem(429, "too-many-requests", "60")]), timeout=10)
    assert isinstance(failed, TooManyRequestsError)
    assert pauses == []


def test_time_that_is_over_is_said_so() -> None:
    late = OutOfTimeError("late")
    assert drive(look, iter([late]))[0] is late


def test_a_ranking_is_taught_again_after_a_lost_answer_because_the_service_knows_it() -> None:
    taught = {"profile": "ada", "version": 1, "taken": False, "reason": "", "waiting": None, "proposed": None}
    taught |= dict.fromkeys(("before", "after", "lpips", "pairs")) | {"rankings": 1, "ranking": 1, "guessed": 0.5}
    answer = Answer(200, json.dumps({**taught, "unknown": []}).encode())
    done, calls, _ = drive(lambda core: profiles.teach(core, "ada", "abc", order=[1, 0]), iter([LOST, answer]))
    assert done.ranking == 1
    assert calls[0].content == calls[1].content
    assert json.loads(calls[0].content) == {"comparison": "abc", "rater": "", "order": [1, 0]}


def ranked(places: list[float], base: str = "f") -> Answer:
    rows = [
        {"rank": 1, "index": index, "distance": value, "base_rank": 1, "base_distance": value, "candidate": f"c{value}"}
        for index, value in enumerate(places)
    ]
    computed = {**COMPUTED, "profile": {**COMPUTED["profile"], "fingerprint": base}}
    return Answer(200, json.dumps({"comparison": "abc", "ranking": rows, "target": "t", **computed}).encode())


def rank(core: Core) -> Flow[Any]:
    return scoring.rank(core, b"picture", [b"a", b"b", b"c", b"d", b"e"])


def test_more_candidates_than_a_request_may_have_make_one_ranking_of_several() -> None:
    replies = [ranked([0.5, 0.2]), ranked([0.1, 0.2]), ranked([0.3])]
    done, calls, _ = drive(rank, iter(replies), limits=Limits(images=3))
    assert done.order == [2, 1, 3, 4, 0]
    assert [one.rank for one in done] == [one.base_rank for one in done] == [1, 2, 3, 4, 5]
    assert done.comparison is None
    assert [b"picture" in call.content for call in calls] == [True, False, False]  # by name in the second and third
    assert all(call.headers["X-Target-Hash"] == calls[0].headers["X-Target-Hash"] for call in calls)
    with pytest.raises(ValueError, match="made in parts"):
        next(profiles.teach(Core(), "ada", done, best=0))


def test_parts_by_different_weights_are_asked_for_again() -> None:
    mixed = [ranked([0.1, 0.2]), ranked([0.1, 0.2], "g"), ranked([0.3], "g")]
    alike = [ranked([0.1, 0.2], "g"), ranked([0.1, 0.2], "g"), ranked([0.3], "g")]
    done, calls, _ = drive(rank, iter(mixed + alike), limits=Limits(images=3))
    assert (len(calls), done.profile.fingerprint) == (6, "g")


@pytest.mark.parametrize("limits", [Limits(body_bytes=700), Limits(scored_pixels=3 * 256**2)])
def test_bytes_and_scored_pixels_divide_a_request_too(limits: Limits) -> None:
    _, calls, _ = drive(rank, iter([ranked([0.1, 0.2]), ranked([0.1, 0.2]), ranked([0.3])]), limits=limits)
    assert len(calls) in {2, 3}


def test_a_fault_in_a_part_is_named_by_its_place_in_the_whole() -> None:
    replies = [ranked([0.1, 0.2]), problem(422, "bad-images", None, "/candidates/1", "/target")]
    failed, _, _ = drive(rank, iter(replies), limits=Limits(images=3))
    assert [fault.pointer for fault in failed.faults] == ["/candidates/3", "/target"]
    assert failed.indices == [3]


def test_only_what_is_not_held_is_sent_again_and_then_all_of_it() -> None:
    core: dict[str, Any] = {"held": Core().held}
    drive(rank, iter([ranked([0.1] * 5)]), **core)
    gone = [problem(409, "images-not-held", None, "/target"), problem(409, "images-not-held", None, "/candidates/4")]
    done, calls, pauses = drive(rank, iter([*gone, ranked([0.1] * 5)]), **core)
    assert pauses == []
    assert len(done) == 5
    sent = [b"".join(part for part in (b"picture", b"\x01a", b"\x01e") if part in call.content) for call in calls]
    assert sent == [b"", b"picture", b"picture\x01a\x01e"]


def test_a_name_that_is_not_held_is_the_callers_to_replace() -> None:
    name = "sha256:" + "0" * 64
    failed, calls, _ = drive(
        lambda core: scoring.rank(core, b"target", [b"a", name]),
        iter([problem(409, "images-not-held", None, "/candidates/1")]),
    )
    assert isinstance(failed, ImagesNotHeldError)
    assert (failed.indices, len(calls)) == ([1], 1)
