"""API keys: from the environment or a file, each for one address. A workflow is saved inside images, so it holds none.

A workflow comes from anywhere, and names the address that it sends to: a key that went to every address would be
anybody's who shares a workflow.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from clpips_client.connecting import address_of

ADDRESS_VARIABLE = "CLPIPS_ADDRESS"
KEY_VARIABLE = "CLPIPS_KEY"
DEFAULT_ADDRESS = "http://localhost:8000"
FILE_NAME = "clpips.keys"


def default_address(environment: Mapping[str, str] = os.environ) -> str:
    """The service that is used where a workflow names none."""
    return environment.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS


def key_for(address: str, file: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The key for an address, "" where there is none.

    `CLPIPS_KEY` is for the address in `CLPIPS_ADDRESS`. A line of the file is an address, a space and its key.
    """
    known = {_origin(default_address(environment)): environment.get(KEY_VARIABLE, "")}
    for line in _lines(file):
        named, _, key = line.partition(" ")
        if named and not named.startswith("#"):
            known[_origin(named)] = key.strip()
    return known.get(_origin(address), "")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _origin(address: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, which is what a key is for. Raises `ValueError` for an address that has none."""
    parts = urlsplit(address_of(address.strip()))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the address {address!r} is not like http://localhost:8000")
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
