"""Words for what is wrong with a body, and JSON pointers to where."""

import re
from collections.abc import Iterable

import msgspec

from clpips.service.problems import Fault, InvalidRequest

LONGEST_ECHO = 200  # characters of what a client sent that an answer repeats


def invalid(pointer: str, detail: str) -> InvalidRequest:
    """A request with one thing wrong, at `pointer`."""
    return InvalidRequest(f"{pointer}: {detail}" if pointer else detail, [Fault(pointer, detail)])


def too_many(pointer: str, limit: int) -> InvalidRequest:
    """A request with more than `limit` images."""
    return invalid(pointer, f"the request has more than {limit} images, which is the limit; send them in parts")


def fault_of(error: msgspec.ValidationError, pointer: str) -> Fault:
    """A validation error in msgspec's words, with its place as a JSON pointer."""
    detail, _, place = str(error).partition(" - at `")
    path = place.partition("$")[2].removesuffix("`")
    unknown = re.search(r"unknown field `(.*)`$", detail, re.DOTALL)
    steps = [step for step in re.split(r"[.\[\]]+", path) if step]
    if unknown:
        steps.append(short(unknown[1]))
    if "int" in detail and detail.endswith("got `float`"):
        detail += ": write a whole number, without a decimal point or an exponent"
    return Fault(pointer_to(pointer, steps), short(detail))


def pointer_to(start: str, steps: Iterable[str]) -> str:
    """A JSON pointer (RFC 6901) from `start` down the steps."""
    return "/".join([start, *(step.replace("~", "~0").replace("/", "~1") for step in steps)])


def short(text: str) -> str:
    """`text`, or its beginning where a client has made it longer than anyone reads."""
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "…"


def reason(error: Exception) -> str:
    """Why bytes could not be decoded, for the client."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else short(str(error))
