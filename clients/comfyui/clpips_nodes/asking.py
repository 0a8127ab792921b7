"""A request from within a node: ComfyUI's interrupt ends it, and what goes wrong is said in the node's own words."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import comfy.model_management
from clpips_client import AsyncClient, ClpipsError, ConnectionLostError, OutOfTimeError, UnauthenticatedError

from .background import background
from .servers import Server
from .waiting import outcome

T = TypeVar("T")


class ClpipsNodeError(Exception):
    """What a node shows in place of its result."""


async def ask(server: Server, operation: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What an operation comes to. Raises `ClpipsNodeError`, or ComfyUI's own exception for an interrupt."""
    begun = background().submit(server.address, server.key(), server.seconds, operation)
    try:
        return await outcome(begun, comfy.model_management.throw_exception_if_processing_interrupted)
    except ClpipsError as error:
        raise ClpipsNodeError(_said(server, error)) from error


def _said(server: Server, error: ClpipsError) -> str:
    if isinstance(error, ConnectionLostError) and not error.sent:
        return f"CLPIPS: no service answers at {server.address}. Start one (clpips serve) or name another."
    if isinstance(error, OutOfTimeError):
        return f"CLPIPS: {server.address} gave no answer in {server.seconds:g} s. CLPIPS Server can give it more time."
    if isinstance(error, UnauthenticatedError):
        return f"CLPIPS: {error}. The README of this pack says where the key for {server.address} belongs."
    return f"CLPIPS: {error}"
