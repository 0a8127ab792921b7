"""Media types of bodies: JSON, MessagePack under its three names, forms; and of answers that are files or streams."""

from typing import Final

JSON: Final = "application/json"
MSGPACK: Final = ("application/vnd.msgpack", "application/msgpack", "application/x-msgpack")
MULTIPART: Final = "multipart/form-data"
NPY: Final = "application/x-npy"
PNG: Final = "image/png"
WEBP: Final = "image/webp"
EVENT_STREAM: Final = "text/event-stream"
