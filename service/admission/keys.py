"""API keys: how they are made, written down and read. The service knows them by their hashes alone."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from clpips.service.settings import Settings, SettingsError

KeyScope = Literal["score", "teach", "admin"]
SCOPES: Final[tuple[KeyScope, ...]] = get_args(KeyScope)

KEY_PREFIX: Final = "clpips_"  # scanners for leaked secrets recognise a key by it
KEY_BYTES: Final = 32  # all random: no person has chosen a key, so a plain hash protects it
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
EXPIRES: Final = "expires="
FORM: Final = "NAME TENANT SCOPE[,SCOPE] sha256:HASH [expires=DATE]"


class ApiKey(NamedTuple):
    """A key as it is configured: everything but the key itself."""

    name: str
    tenant: str
    scopes: frozenset[KeyScope]
    sha256: str  # of the key, hex
    expires: datetime | None = None  # from then on it opens nothing


def new_key(name: str, tenant: str, scopes: Iterable[KeyScope], expires: str | None = None) -> tuple[str, str]:
    """A fresh key, and the line by which the service knows it.

    Raises `SettingsError` for a name that cannot be one, or where `expires` is neither a date nor a moment.
    """
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    line = f"{name} {tenant} {','.join(scopes)} sha256:{hash_of(key)}"
    line += f" {EXPIRES}{expires}" if expires else ""
    parse_keys(line, "the key")
    return key, line


def hash_of(key: str) -> str:
    """The sha256 of a key, hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(settings: Settings) -> list[ApiKey]:
    """The keys of `CLPIPS_API_KEYS` and of the file `CLPIPS_API_KEYS_FILE`. Raises `SettingsError`."""
    texts = {"CLPIPS_API_KEYS": settings.api_keys}
    if settings.api_keys_file is not None:
        try:
            texts[str(settings.api_keys_file)] = Path(settings.api_keys_file).read_text("utf-8-sig")
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
    """Keys from lines (or parts between `;`) of the form `NAME TENANT SCOPE[,SCOPE] sha256:HASH [expires=DATE]`.

    A `#` begins a comment. A date is its first moment in UTC; a moment is `2027-01-31T12:00:00Z` or with an offset.
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


def listed(scopes: Iterable[KeyScope]) -> str:
    """Scopes as messages name them."""
    return ", ".join(sorted(scopes, key=SCOPES.index)) or "none"


def _key(words: list[str]) -> ApiKey | str:
    """The key that a line says, or what is wrong with the line."""
    if len(words) not in {4, 5}:
        return f"expected {FORM}, found {len(words)} words"
    name, tenant, scope_list, hashed, *rest = words
    if not NAME.fullmatch(name) or not NAME.fullmatch(tenant):
        return "names and tenants have letters, digits and . _ @ -, at most 64"
    scopes = scope_list.split(",")
    if not set(scopes) <= set(SCOPES):
        return f"the third word has another scope than {listed(SCOPES)}"
    match = HASH.fullmatch(hashed)
    if match is None:
        return "the fourth word must be sha256: and the 64 hexadecimal digits of the key's hash; `clpips key` makes one"
    expires = _moment(rest[0]) if rest else None
    if rest and expires is None:
        return "the fifth word must be expires= and a date, like expires=2027-01-31 (its first moment, in UTC)"
    return ApiKey(name, tenant, frozenset(scope for scope in SCOPES if scope in scopes), match[1], expires)


def _moment(word: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(word.removeprefix(EXPIRES))
    except ValueError:
        return None
    if not word.startswith(EXPIRES):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
