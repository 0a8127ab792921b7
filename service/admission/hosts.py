"""Host validation against DNS rebinding: the names by which the service may be asked for.

A page at `evil.example` can have its own name resolve to this machine, and then counts as one site with the service:
the browser lets it read everything. What gives it away is the name, which the browser sends as `Host`. An address
cannot be rebound, and neither can a name that no public server answers for; every other name must be configured.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from clpips.service.settings import Settings, SettingsError

# RFC 9110, section 7.2: a name or an address, and a port.
AUTHORITY: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?", re.ASCII)
NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
LARGEST_PORT: Final = 65535
# Names without a dot, and those below these, are resolved on the machine, its network or its cluster alone: RFC 6761,
# RFC 6762, RFC 8375, ICANN's `.internal`, and Kubernetes's `NAME.NAMESPACE.svc`.
LOCAL: Final = ("localhost", "local", "internal", "home.arpa", "svc")
BELOW_LOCAL: Final = tuple(f".{name}" for name in LOCAL)


class Authority(NamedTuple):
    """What a `Host` header says: the name in small letters, an IPv6 address in brackets; and the port, if any."""

    name: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """The name and the port in a `Host` header; None where it is neither."""
    match = AUTHORITY.fullmatch(text)
    if match is None:
        return None
    name, port = match["name"].lower(), match["port"]
    if port and int(port) > LARGEST_PORT:
        return None
    if name.startswith("[") and not _is_address(name):
        return None
    return Authority(name, int(port) if port else None)


class Hosts:
    """The names that the service goes by. `any_name` lets every name pass."""

    def __init__(self, names: Iterable[str], *, any_name: bool = False) -> None:
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._parents = tuple(name.removeprefix("*") for name in names if name.startswith("*."))
        self._any_name = any_name

    @classmethod
    def from_settings(cls, settings: Settings, *, guarded: bool) -> Self:
        """The names of `CLPIPS_ALLOWED_HOSTS`, the machine's own, and the one that it is told to listen on.

        `guarded` says that API keys are asked for, and other machines can reach the service: a page that is taken for
        ours then still has no key, and a proxy may use any name. Raises `SettingsError` for what is no name.
        """
        names = [name.strip().lower().rstrip(".") for name in settings.allowed_hosts.split(",") if name.strip()]
        if wrong := [name for name in names if name != "*" and not (NAME.fullmatch(name) or _is_address(name))]:
            raise SettingsError(
                f"CLPIPS_ALLOWED_HOSTS has {', '.join(map(repr, wrong))}: expected names without scheme and port, like "
                "clpips.example.com or *.example.com"
            )
        own = [settings.host.lower(), socket.gethostname().lower()]
        return cls([*names, *own], any_name="*" in names or (guarded and not names))

    def __contains__(self, name: str) -> bool:
        """Whether the service goes by this name, as `parse_authority` gives it."""
        name = name.rstrip(".")
        return (
            self._any_name
            or "." not in name
            or name in self._names
            or name.endswith((*BELOW_LOCAL, *self._parents))
            or _is_address(name)
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
