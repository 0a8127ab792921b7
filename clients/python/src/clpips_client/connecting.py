"""What a client is given: the service's address, and the headers of every request."""

import os
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

KEY_VARIABLE = "CLPIPS_KEY"


def address_of(address: str) -> str:
    """An address with its scheme; `http` where it names none, as for `localhost:8000`.

    Raises `ValueError` for what is no address of HTTP.
    """
    named = address.strip()
    whole = named if "://" in named else f"http://{named}"
    try:
        parts = urlsplit(whole)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # of its port, or of an IPv6 address
        usable = False
    if not usable or len(whole.split()) != 1:
        raise ValueError(f"the address {address!r} is not like http://localhost:8000")
    return whole


def headers_of(key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of every request, by the API key that is given or, for None, stands in the environment.

    White space around a key, as of a file's last line, is not a part of it. Raises `ValueError`, which does not show
    the key, for one that no header can have.
    """
    key = (os.environ.get(KEY_VARIABLE, "") if key is None else key).strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the API key has characters that no header can have, such as a line's end: give the key alone")
    return {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}


def segment(name: str) -> str:
    """A name as a segment of a path. A dot or two would lead elsewhere in it."""
    return name.replace(".", "%2E") if name in {".", ".."} else quote(name, safe="")
