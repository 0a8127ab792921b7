"""A request from within a node: ComfyUI's interrupt ends it, and what goes wrong is said in the node's own words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import comfy.model_management
from clpips_client import AsyncClient, ClpipsError, ConnectionLostError, OutOfTimeError, UnauthenticatedError

from .background import background
from .servers import Server

T = TypeVar("T")

POLL_SECONDS: Final = 0.1  # between two looks at whether somebody has pressed the button


class ClpipsNodeError(Exception):
    """What a node shows in place of its result."""


async def ask(server: Server, operation: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What an operation comes to. Raises `ClpipsNodeError`, or ComfyUI's own exception for an interrupt."""
    asked = asyncio.wrap_future(background().submit(server.address, server.key(), server.seconds, operation))
    try:
        while not (await asyncio.wait([asked], timeout=POLL_SECONDS))[0]:
            comfy.model_management.throw_exception_if_processing_interrupted()
        return asked.result()
    except ClpipsError as error:
        raise ClpipsNodeError(_said(server, error)) from error
    finally:
        asked.cancel()  # if it is not done: this prompt has ended


def _said(server: Server, error: ClpipsError) -> str:
    if isinstance(error, ConnectionLostError) and not error.sent:
        return f"CLPIPS: no service answers at {server.address}. Start one (clpips serve) or name another."
    if isinstance(error, OutOfTimeError):
        return f"CLPIPS: {server.address} gave no answer in {server.seconds:g} s. CLPIPS Server can give it more time."
    if isinstance(error, UnauthenticatedError):
        return f"CLPIPS: {error}. The README of this pack says where the key for {server.address} belongs."
    return f"CLPIPS: {error}"
