"""What a client is given: the service's address, and the headers of every request."""

import os
from collections.abc import Mapping

KEY_VARIABLE = "CLPIPS_KEY"


def address_of(address: str) -> str:
    """An address with its scheme; `http` where it names none, as for `localhost:8000`."""
    return address if "://" in address else f"http://{address}"


def headers_of(key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of every request, by the API key that is given or, for None, stands in the environment."""
    key = os.environ.get(KEY_VARIABLE) if key is None else key
    return {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
