"""Who may do what: API keys, each with a tenant, scopes and a rate. Keys are known by their hashes alone."""

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, get_args

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from clpips.service.problems import Forbidden, TooManyRequests, Unauthenticated
from clpips.service.settings import Settings, SettingsError

Scope = Literal["score", "teach", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

KEY_PREFIX: Final = "clpips_"  # so that scanners for leaked secrets know one
KEY_BYTES: Final = 32  # of randomness: nothing that a person chose, so a plain hash keeps it
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
FORM: Final = "NAME TENANT SCOPE[,SCOPE] sha256:HASH"
CHALLENGE: Final = {"www-authenticate": 'Bearer realm="clpips"'}

log = structlog.get_logger()


class ApiKey(NamedTuple):
    """A key as it is configured: everything but the key itself."""

    name: str
    tenant: str
    scopes: frozenset[Scope]
    sha256: str  # of the key, hex


class Caller(NamedTuple):
    """Who sent a request."""

    key: str  # the key's name, for the log
    tenant: str
    scopes: frozenset[Scope]


OPEN: Final = Caller("open", "default", frozenset(SCOPES))


class Access:
    """Tells callers apart by their `Authorization: Bearer` header. Without keys everybody is the same caller."""

    def __init__(self, keys: Iterable[ApiKey], requests_per_minute: int | None) -> None:
        self._keys = tuple(keys)
        self._buckets = {key.name: _Bucket(requests_per_minute) for key in self._keys if requests_per_minute}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Raises `SettingsError` for a key that is not written as it should be."""
        return cls(read_keys(settings), settings.rate_limit)

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self._keys

    def caller(self, authorization: str | None) -> Caller:
        """Who sends this header. Raises `Unauthenticated`."""
        if self.is_open:
            return OPEN
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("send your API key as `Authorization: Bearer …`", headers=CHALLENGE)
        presented = hashlib.sha256(key.strip().encode()).hexdigest()
        # Every key is compared, and each to its end, so that the time tells nothing about how near a guess was.
        matches = [known for known in self._keys if hmac.compare_digest(known.sha256, presented)]
        if not matches:
            raise Unauthenticated("this API key is not known", headers=CHALLENGE)
        return Caller(matches[0].name, matches[0].tenant, matches[0].scopes)

    def admit(self, caller: Caller) -> None:
        """Count a request of the caller. Raises `TooManyRequests` with the seconds to wait."""
        bucket = self._buckets.get(caller.key)
        wait = bucket.take(time.monotonic()) if bucket else 0.0
        if wait:
            seconds = max(1, round(wait + 0.5))
            raise TooManyRequests(
                f"the key {caller.key!r} may send {bucket.per_minute if bucket else 0:,} requests a minute; "
                f"wait {seconds} s",
                headers={"retry-after": str(seconds)},
            )


def require(scope: Scope) -> Guard:
    """A guard for operations that need `scope`; it leaves the `Caller` in the request's state.

    It runs before the body is read. Raises `Unauthenticated`, `TooManyRequests` or `Forbidden`. A coroutine, because
    Litestar would run anything else in a thread, for every request.
    """

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        access: Access = connection.app.state.access
        caller = access.caller(connection.headers.get("authorization"))
        structlog.contextvars.bind_contextvars(key=caller.key)
        access.admit(caller)
        if scope not in caller.scopes:
            raise Forbidden(f"this needs the scope {scope!r}; the key {caller.key!r} has {_listed(caller.scopes)}")
        connection.state.caller = caller

    return check


def tenant_of(request: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Whose profiles a request is about, once `require` has let it in."""
    caller: Caller = request.state.caller
    return caller.tenant


class _Bucket:
    """A token bucket: a minute's worth at once, refilled evenly."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute)
        self._filled: float | None = None

    def take(self, now: float) -> float:
        """Take a token, or the seconds until there is one."""
        elapsed = 0.0 if self._filled is None else now - self._filled
        self._tokens = min(float(self.per_minute), self._tokens + elapsed * self.per_minute / 60)
        self._filled = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * 60 / self.per_minute


def new_key(name: str, tenant: str, scopes: Iterable[Scope]) -> tuple[str, str]:
    """A fresh key, and the line by which the service knows it. Raises `SettingsError` for a name that cannot be one."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    line = f"{name} {tenant} {','.join(scopes)} sha256:{hashlib.sha256(key.encode()).hexdigest()}"
    parse_keys(line, "the key")
    return key, line


def read_keys(settings: Settings) -> list[ApiKey]:
    """The keys of `CLPIPS_API_KEYS` and of the file `CLPIPS_API_KEYS_FILE`. Raises `SettingsError`."""
    texts = {"CLPIPS_API_KEYS": settings.api_keys}
    if settings.api_keys_file is not None:
        try:
            texts[str(settings.api_keys_file)] = Path(settings.api_keys_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SettingsError(f"cannot read CLPIPS_API_KEYS_FILE {settings.api_keys_file}: {reason}") from error
    keys = [key for source, text in texts.items() for key in parse_keys(text, source)]
    if settings.api_keys_file is not None and not keys:
        raise SettingsError(f"{settings.api_keys_file} has no key; write one a line as {FORM}, see `clpips key --help`")
    names = [key.name for key in keys]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"API keys must have different names: {', '.join(twice)} stands there more than once")
    return keys


def parse_keys(text: str, source: str) -> list[ApiKey]:
    """Keys from lines (or parts between `;`) of the form `NAME TENANT SCOPE[,SCOPE] sha256:HASH`; `#` begins a comment.

    Raises `SettingsError` that names each bad line by its number, and never what stands in it: it may be a key.
    """
    keys, bad = [], []
    for number, line in enumerate(re.split(r"[\n;]", text), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = _key(words)
        if isinstance(key, str):
            bad.append(f"{source}, line {number}: {key}")
        else:
            keys.append(key)
    if bad:
        raise SettingsError("; ".join(bad))
    return keys


def _key(words: list[str]) -> ApiKey | str:
    """The key that a line says, or what is wrong with the line."""
    if len(words) != 4:
        return f"expected {FORM}, found {len(words)} words"
    name, tenant, scope_list, hashed = words
    if not NAME.fullmatch(name) or not NAME.fullmatch(tenant):
        return "names and tenants have letters, digits and . _ @ -, at most 64"
    scopes = scope_list.split(",")
    if not set(scopes) <= set(SCOPES):
        return f"the third word has another scope than {_listed(SCOPES)}"
    match = HASH.fullmatch(hashed)
    if match is None:
        return "the last word must be sha256: and the 64 hexadecimal digits of the key's hash; `clpips key` makes one"
    return ApiKey(name, tenant, frozenset(scope for scope in SCOPES if scope in scopes), match[1])


def require_safe_binding(settings: Settings, access: Access) -> None:
    """Raise `SettingsError` where other machines could reach an open service unmeant."""
    if access.is_open and not settings.allow_open and is_reachable(settings.host):
        raise SettingsError(
            f"without API keys everybody who reaches {settings.host} could use, teach and delete every profile: set "
            "CLPIPS_API_KEYS or CLPIPS_API_KEYS_FILE (`clpips key` makes one), or CLPIPS_ALLOW_OPEN=1 if that is meant"
        )


def is_reachable(host: str) -> bool:
    """Whether other machines could reach a service that listens there; not, where nobody could."""
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return not all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)


def _listed(scopes: Iterable[Scope]) -> str:
    return ", ".join(sorted(scopes, key=SCOPES.index)) or "none"
