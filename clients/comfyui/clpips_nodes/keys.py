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

    `CLPIPS_KEY` is for the address in `CLPIPS_ADDRESS`. A line of the file is an address, white space and its key.

    Raises `ValueError` for an address that is none, and for a file that cannot be read, without saying what is in it.
    """
    known = {_origin(default_address(environment)): environment.get(KEY_VARIABLE, "").strip()}
    for number, line in enumerate(_lines(file), 1):
        named, *key = line.split(maxsplit=1) or ["#"]
        if named.startswith("#"):
            continue
        try:
            known[_origin(named)] = key[0].strip()
        except (ValueError, IndexError):
            wanted = "an address, a space and its key, such as https://clpips.example.org 0123456789abcdef"
            raise ValueError(f"line {number} of {file} is not {wanted}") from None
    return known.get(_origin(address), "")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8: save it as that") from None


def _origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port, which is what a key is for. Raises `ValueError` for an address that has none."""
    try:
        parts = urlsplit(address_of(address.strip()))
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (ValueError, KeyError):
        host = ""
    if not host:
        raise ValueError(f"the address {address!r} is not like http://localhost:8000")
    return parts.scheme, host, port
