"""Bind address check: a service without API keys listens where other machines reach it only if that is asked for."""

import ipaddress
import socket

from clpips.service.admission.access import Access
from clpips.service.settings import Settings, SettingsError


def require_safe_binding(settings: Settings, access: Access) -> None:
    """Raise `SettingsError` for an open service that other machines could reach, unless `allow_open` says so."""
    if access.is_open and not settings.allow_open and is_reachable(settings.host):
        raise SettingsError(
            f"without API keys everybody who reaches {settings.host} could use, teach and delete every profile: set "
            "CLPIPS_API_KEYS or CLPIPS_API_KEYS_FILE (`clpips key` makes one), or CLPIPS_ALLOW_OPEN=1 if that is meant"
        )


def is_reachable(host: str) -> bool:
    """Whether other machines could connect to a service that listens on `host`: not on a loopback address.

    False also for a host that does not resolve, because nothing can listen there; the bind then says what is wrong.
    """
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return not all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses)
