"""Access control: a bearer token tells who the caller is, a guard checks its scope and its rate."""

import hmac
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from clpips.service.admission.keys import SCOPES, ApiKey, KeyScope, hash_of, listed, read_keys
from clpips.service.admission.rates import Bounds, Rates
from clpips.service.problems import Forbidden, Unauthenticated
from clpips.service.settings import Settings

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

CHALLENGE: Final = {"www-authenticate": 'Bearer realm="clpips"'}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Caller(NamedTuple):
    """Who sent a request."""

    key: str  # the key's name, for the log
    tenant: str
    scopes: frozenset[KeyScope]


OPEN: Final = Caller("open", "default", frozenset(SCOPES))


class Access:
    """Access control by the `Authorization: Bearer` header. Without keys everybody is the same caller, `OPEN`."""

    def __init__(
        self,
        keys: Iterable[ApiKey],
        rates: Rates | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._keys = tuple(keys)
        self._rates = rates or Rates(Bounds())
        self._now = now
        self.used: Callable[[str], None] = _nothing  # called with the name of each key that opens

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Raises `SettingsError` for a key that is not written as it should be."""
        return cls(read_keys(settings), Rates.from_settings(settings))

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self._keys

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Let these keys open from now on, and no other; rates go on as they are. Without any, nothing changes."""
        self._keys = tuple(keys) or self._keys
        self._rates.keep({key.name for key in self._keys}, {key.tenant for key in self._keys})

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header. Raises `Unauthenticated`."""
        if self.is_open:
            return OPEN
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("send your API key as `Authorization: Bearer …`", headers=CHALLENGE)
        presented = hash_of(key.strip())
        # Every key is compared, and each to its end, so that the time tells nothing about how near a guess was.
        matches = [known for known in self._keys if hmac.compare_digest(known.sha256, presented)]
        if not matches:
            raise Unauthenticated("this API key is not known", headers=CHALLENGE)
        if not (valid := [known for known in matches if known.expires is None or self._now() < known.expires]):
            raise Unauthenticated("this API key has expired; ask for a new one", headers=CHALLENGE)
        self.used(valid[0].name)
        return Caller(valid[0].name, valid[0].tenant, valid[0].scopes)

    def knows(self, key: str, tenant: str) -> bool:
        """Whether a key of this name opens to a tenant now: what it has lent out is good for as long as it is."""
        if self.is_open:
            return (key, tenant) == (OPEN.key, OPEN.tenant)
        now = self._now()
        return any(
            (known.name, known.tenant) == (key, tenant) and (known.expires is None or now < known.expires)
            for known in self._keys
        )

    def require_rate(self, caller: Caller) -> None:
        """Count a request against the rates of the caller. Raises `TooManyRequests`."""
        if not self.is_open:
            self._rates.take_request(caller.key, caller.tenant)

    def require_image_rate(self, key: str, tenant: str, images: int, cost: float) -> None:
        """Count images of a request, and what new ones cost, in units. Raises `TooManyRequests`."""
        if not self.is_open:
            self._rates.take_images(key, tenant, images, cost)


def _nothing(_: str) -> None:
    pass


def require(scope: KeyScope) -> Guard:
    """A guard for operations that need `scope`; it leaves the `Caller` in the request's state.

    The guard runs before the body is read. It raises `Unauthenticated`, `TooManyRequests` or `Forbidden`. It is a
    coroutine because Litestar would run a plain function in a thread, for every request.
    """

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        access: Access = connection.app.state.access
        caller = access.caller(connection.headers.get("authorization"))
        structlog.contextvars.bind_contextvars(key=caller.key)
        access.require_rate(caller)
        if scope not in caller.scopes:
            raise Forbidden(f"this needs the scope {scope!r}; the key {caller.key!r} has {listed(caller.scopes)}")
        connection.state.caller = caller

    return check


def tenant_of(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Whose profiles a request is about, once a guard of `require` has let it pass."""
    caller: Caller = request.state.caller
    return caller.tenant
