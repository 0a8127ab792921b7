"""Media types of bodies: JSON, MessagePack under its three names, multipart forms; and of answers that are files."""

from typing import Final

JSON: Final = "application/json"
MSGPACK: Final = ("application/vnd.msgpack", "application/msgpack", "application/x-msgpack")
MULTIPART: Final = "multipart/form-data"
NPY: Final = "application/x-npy"
PNG: Final = "image/png"
