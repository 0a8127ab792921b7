"""Media types of bodies: JSON, MessagePack under its three names, and multipart forms."""

from typing import Final

JSON: Final = "application/json"
MSGPACK: Final = ("application/vnd.msgpack", "application/msgpack", "application/x-msgpack")
MULTIPART: Final = "multipart/form-data"
