"""Request lifecycle: the way of every request that has a body, from its head to its reply."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from litestar import Request, Response

from clpips.service.admission.deadlines import (
    PRIORITY_HEADER,
    TIMEOUT_HEADER,
    deadline_of,
    is_bulk,
    receive_until,
    skip_body,
    work_until,
)
from clpips.service.admission.door import Door, Ticket
from clpips.service.admission.headroom import Headroom
from clpips.service.batching.turns import Place
from clpips.service.ops.telemetry import Telemetry
from clpips.service.ops.traces import span
from clpips.service.wire.bodies import announced_bytes, read_bytes
from clpips.service.wire.body_memory import Body, BodyMemory
from clpips.service.wire.replies import reply
from clpips.service.wire.schemas import Limits

LARGE_BYTES: Final = 8 * 2**20  # of a body that waits for memory to be parsed
PARSED_SHARE: Final = 2  # bytes beside each of a body while it is parsed: of base64 a copy, and the images

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")


class Reception(NamedTuple):
    """Gives a request its deadline, admits it, reads and parses its body, has it answered, and encodes the answer."""

    door: Door
    limits: Limits
    longest_seconds: float  # from a request's head to its answer
    telemetry: Telemetry
    headroom: Headroom

    async def answer(
        self,
        request: Request[Any, Any, Any],
        parse: Callable[[str, Body, Limits], AskedT],
        score: Callable[[AskedT, Ticket], Awaitable[AnswerT]],
        *,
        most_bytes: int | None = None,
        respond: Callable[[Request[Any, Any, Any], AnswerT], Response[Any]] = reply,
    ) -> Response[Any]:
        """The reply to a request: what `score` answers to what `parse` has read, before the request's deadline.

        `parse` runs in a thread, on the content type and the body. `most_bytes` is for a body without images, which is
        bounded by its bytes alone. `respond` makes the response of an answer that is no struct. Raises a `Problem`, or
        `ClientGone`.
        """
        if self.door.closed:
            await skip_body(request)
        deadline = deadline_of(request.headers.get(TIMEOUT_HEADER), self.longest_seconds)
        place = Place(request.state.caller.key, is_bulk(request.headers.get(PRIORITY_HEADER)))
        announced = announced_bytes(request.headers.get("content-length"))
        limit = self.limits.body_bytes if most_bytes is None else most_bytes
        with self.door.admit(deadline, announced, place, scores=most_bytes is None) as ticket:
            with span("read"):
                memory = BodyMemory(announced)
                reading = partial(read_bytes, request, memory, limit, images=most_bytes is None)
                body = await receive_until(deadline, reading, memory.release, self.door, ticket, self.telemetry)
                del memory
            async with work_until(deadline, request, self.telemetry):
                content_type = request.headers.get("content-type", "")
                if len(body) < LARGE_BYTES:
                    asked = await asyncio.to_thread(parse, content_type, body, self.limits)
                else:  # its images lie beside it until it is parsed
                    async with self.headroom.of(PARSED_SHARE * len(body), least=len(body)):
                        asked = await asyncio.to_thread(parse, content_type, body, self.limits)
                del body  # the parsed request holds its images
                answer = respond(request, await score(asked, ticket))
        if self.door.closed:
            answer.headers["Connection"] = "close"  # the client's next request is better sent elsewhere
        return answer
