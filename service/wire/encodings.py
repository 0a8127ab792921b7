"""JSON and MessagePack: bodies that are trees, and the images in them."""

import codecs
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import Raw, UnsetType

from clpips.service.problems import InvalidRequest, MalformedBody
from clpips.service.wire.body_memory import Body
from clpips.service.wire.counting import has_more_commas, has_more_values
from clpips.service.wire.faults import fault_of, invalid, reason, too_many
from clpips.service.wire.media_types import JSON, MSGPACK
from clpips.service.wire.schemas import HeldImage, Limits, SentImage, Slot, Unreadable

# What msgspec raises for bytes that are not what they should be: the last for nesting deeper than the stack.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

LARGE_BODY: Final = 2**20  # bytes: a smaller one is decoded at once
VALUES_AN_IMAGE: Final = 8  # at most: a pair is an object of two names and two images, a data: URL has a comma
SPARE_VALUES: Final = 64  # for whatever else a request says

T = TypeVar("T")


@cache  # a decoder is built once for each shape that a body is asked for: those in the code, and no other
def _decoder_of(kind: Callable[[Any], Any], shape: Hashable) -> Any:
    return kind(shape)


class Encoding(ABC):
    """One of the two encodings whose bodies are trees."""

    name: str
    image: str  # what an image looks like in it
    null: bytes
    decoder: Callable[[Any], Any]

    def decode(self, shape: type[T], content: Body | Raw, pointer: str = "") -> T:
        """`content` as a `shape`; raises `MalformedBody` (it is not this encoding) or `InvalidRequest`."""
        if not content:
            raise MalformedBody("the body is empty; send the request as JSON, MessagePack or multipart/form-data")
        try:
            decoded: T = self._decoder(shape).decode(content)
        except msgspec.ValidationError as error:
            fault = fault_of(error, pointer)
            raise InvalidRequest(
                f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail, [fault]
            ) from error
        except UNDECODABLE as error:
            raise MalformedBody(f"the body is not {self.name}: {reason(error)}") from error
        return decoded

    def list_of(self, shape: type[T], content: Raw, pointer: str, limits: Limits) -> list[T]:
        """`content` as a list of items that are a `shape` each, an image or more; far too many are not decoded."""
        if self.longer_than(limits.images, content):
            raise too_many(pointer, limits.images)
        return self.decode(list[shape], content, pointer)  # type: ignore[valid-type]

    def _decoder(self, shape: Any) -> Any:
        return _decoder_of(self.decoder, shape)

    @abstractmethod
    def longer_than(self, most: int, content: Raw) -> bool:
        """Whether the list in `content` has surely more than `most` items, found without decoding it."""

    @abstractmethod
    def holds_more(self, most: int, content: Body) -> bool:
        """Whether a body surely holds more than `most` values, found without decoding it."""

    def require_countable(self, content: Body, limits: Limits) -> None:
        """Raise `InvalidRequest` for a large body of far more values than any request has, before it is decoded."""
        if len(content) >= LARGE_BODY and self.holds_more(VALUES_AN_IMAGE * limits.images + SPARE_VALUES, content):
            raise invalid(
                "", f"the body has far more values than a request of {limits.images} images, which is the limit, has"
            )

    def slot(self, pointer: str, content: Raw) -> Slot:
        """The image in `content`."""
        try:
            return Slot(pointer, sent(self._decoder(bytes).decode(content)))  # plain bytes or base64, as mostly
        except UNDECODABLE:
            pass
        try:
            return Slot(pointer, image_from_text(self._decoder(str).decode(content)))
        except UNDECODABLE as error:
            return Slot(pointer, Unreadable(f"expected an image as {self.image}; {reason(error)}"))

    def optional_slot(self, pointer: str, content: Raw | UnsetType) -> Slot | None:
        """The image in `content`, if there is one; a null is none."""
        if isinstance(content, UnsetType) or memoryview(content) == self.null:
            return None
        return self.slot(pointer, content)


class Json(Encoding):
    """JSON: images are base64, a `data:` URL, or `sha256:…`."""

    name = "JSON"
    image = "base64 in a string"
    null = b"null"
    decoder = msgspec.json.Decoder

    def decode(self, shape: type[T], content: Body | Raw, pointer: str = "") -> T:
        if not isinstance(content, Raw):
            head = bytes(content[:4])
            if head.startswith((codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE)):  # UTF-32 begins like it
                raise MalformedBody("the body is text in UTF-16; send JSON in UTF-8")
            if head.startswith(codecs.BOM_UTF8):
                raise MalformedBody("the body begins with a byte order mark (EF BB BF); send JSON without one")
        return super().decode(shape, content, pointer)

    def longer_than(self, most: int, content: Raw) -> bool:
        return has_more_commas(content, 4 * most)  # a pair has one inside, and so has each data: URL

    def holds_more(self, most: int, content: Body) -> bool:
        return has_more_commas(content, most)


class MessagePack(Encoding):
    """MessagePack: images are raw bytes; a string is read as in JSON."""

    name = "MessagePack"
    image = "bytes"
    null = b"\xc0"
    decoder = msgspec.msgpack.Decoder

    def longer_than(self, most: int, content: Raw) -> bool:
        head = bytes(memoryview(content)[:5])
        if head[:1] == b"\xdc":
            return int.from_bytes(head[1:3], "big") > most
        return head[:1] == b"\xdd" and int.from_bytes(head[1:5], "big") > most

    def holds_more(self, most: int, content: Body) -> bool:
        return has_more_values(content, most)


ENCODINGS: dict[str, Encoding] = {JSON: Json(), **dict.fromkeys(MSGPACK, MessagePack())}


def sent(content: bytes) -> SentImage:
    """An image that came as bytes, with its hash."""
    return SentImage(content, hashlib.sha256(content).hexdigest())


def image_from_text(text: str) -> SentImage | HeldImage | Unreadable:
    """The image that a string stands for: base64, a base64 `data:` URL, or `sha256:` and the hash of its bytes."""
    kind = text[:7].lower()
    if kind == "sha256:":
        name = text[7:]
        if re.fullmatch("[0-9a-fA-F]{64}", name):
            return HeldImage(name.lower())
        return Unreadable("after `sha256:` come the 64 hexadecimal digits of the hash of the image's bytes")
    if kind.startswith("data:"):  # the names of schemes and encodings are the same in capitals
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            return Unreadable("a data: URL must be base64: data:image/png;base64,…")
        text = unquote(text) if "%" in text else text
    # The second for lines wrapped by the base64 command, the third for the alphabet of URLs (RFC 4648, section 5).
    for candidate in (text, _unwrapped(text), _of_urls(text)):
        try:
            return sent(msgspec.convert(candidate, bytes))
        except msgspec.ValidationError:
            continue
    return Unreadable("this is not base64; send the image's bytes in base64, or send the file as multipart/form-data")


def _of_urls(text: str) -> str:
    plain = _unwrapped(text).translate(str.maketrans("-_", "+/"))
    return plain + "=" * (-len(plain) % 4)


def _unwrapped(text: str) -> str:
    return text.encode("ascii", "replace").translate(None, b" \t\r\n").decode()
