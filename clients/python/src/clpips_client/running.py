"""The two drivers of operations: httpx on the caller's thread, and httpx on the caller's event loop."""

import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import anyio
import httpx

from clpips_client.errors import ClpipsError, ConnectionLostError, OutOfTimeError
from clpips_client.steps import Answer, Call, Flow, Pause

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")  # what operations begin with: a `Core`, or what a session knows beside it

KEEPALIVE_SECONDS: Final = 3.0  # the service closes an idle connection after five
LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_SECONDS)


class Runs(Protocol[C]):
    """What has operations as methods, on a thread."""

    core: C

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        ...


class Awaits(Protocol[C]):
    """What has operations as methods, on an event loop."""

    core: C

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        ...


def called(operation: Callable[Concatenate[C, P], Flow[T]]) -> Callable[Concatenate[Runs[C], P], T]:
    """An operation as a method of a client that waits for it."""

    @functools.wraps(operation)
    def method(self: Runs[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(operation(self.core, *args, **kwargs))

    return method


def awaited(
    operation: Callable[Concatenate[C, P], Flow[T]],
) -> Callable[Concatenate[Awaits[C], P], Coroutine[Any, Any, T]]:
    """An operation as a method of a client that is awaited."""

    @functools.wraps(operation)
    async def method(self: Awaits[C], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(operation(self.core, *args, **kwargs))

    return method


def run(flow: Flow[T], http: httpx.Client) -> T:
    """Drive an operation with a client of httpx's. An exception that comes from outside ends it, and its request."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                step = next(flow)
                continue
            try:
                answer = _send(step, http)
            except ClpipsError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


async def run_async(flow: Flow[T], http: httpx.AsyncClient) -> T:
    """Drive an operation with an asynchronous client of httpx's. Cancelling the task cancels the request."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Pause):
                await anyio.sleep(step.seconds)
                step = next(flow)
                continue
            try:
                answer = await _send_async(step, http)
            except ClpipsError as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        flow.close()


def _send(call: Call, http: httpx.Client) -> Answer:
    deadline = time.monotonic() + call.seconds
    try:
        with http.stream(call.method, call.path, **_request(call)) as response:
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if time.monotonic() > deadline:
                    raise _late(call)
            return Answer(response.status_code, b"".join(parts), _headers(response))
    except httpx.RequestError as error:
        raise _failure(call, error) from error


async def _send_async(call: Call, http: httpx.AsyncClient) -> Answer:
    try:
        with anyio.fail_after(call.seconds):
            response = await http.request(call.method, call.path, **_request(call))
            return Answer(response.status_code, response.content, _headers(response))
    except TimeoutError:
        raise _late(call) from None
    except httpx.RequestError as error:
        raise _failure(call, error) from error


def _request(call: Call) -> dict[str, Any]:
    timeout = httpx.Timeout(call.seconds, connect=min(call.seconds, call.connecting))
    return {"content": call.content or None, "headers": dict(call.headers), "timeout": timeout}


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _failure(call: Call, error: httpx.RequestError) -> ClpipsError:
    """httpx's exception as ours."""
    where = f"{call.method} {error.request.url}"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return ConnectionLostError(f"{where}: the service cannot be reached ({_reason(error)})", sent=False)
    if isinstance(error, httpx.TimeoutException):
        return _late(call)
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return ConnectionLostError(f"{where}: the connection was lost ({_reason(error)})", sent=True)
    return ClpipsError(f"{where}: {_reason(error)}")


def _late(call: Call) -> OutOfTimeError:
    return OutOfTimeError(f"{call.method} {call.path}: no answer came within the {call.seconds:.3g} s that were left")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
