"""Bytes of a request body → a request. One reader for JSON, MessagePack and multipart, chosen by content type.

Nothing here trusts the client: a body is bounded before it is parsed, a list is counted before it is decoded.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar import Request
from msgspec import Raw
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from service.errors import BodyTooLarge, ClientGone, Fault, InvalidRequest, MalformedBody, UnsupportedContent
from service.profile_schemas import PROFILE_BODIES
from service.schemas import (
    DistanceBody,
    DistanceOptions,
    DistanceRequest,
    HeldImage,
    PairBody,
    RankBody,
    RankOptions,
    RankRequest,
    SentImage,
    Slot,
    Unreadable,
)

JSON = "application/json"
MSGPACK = ("application/vnd.msgpack", "application/msgpack", "application/x-msgpack")
MULTIPART = "multipart/form-data"
CONTENT_TYPES = (JSON, *MSGPACK, MULTIPART)

LONGEST_ECHO = 200  # characters of what a client sent that an answer repeats

T = TypeVar("T")
StructT = TypeVar("StructT", bound=msgspec.Struct)

# What msgspec raises for bytes that are not what they should be: the last for nesting deeper than the stack.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Limits(NamedTuple):
    """What a body may ask for at most."""

    body_bytes: int
    images: int
    resolution: int


async def read_bytes(request: Request[Any, Any, Any], limit: int) -> bytes:
    """The whole body. Raises `BodyTooLarge` as soon as it is known to be, `ClientGone` if it ends early."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedContent(f"the body is encoded as {_short(encoding)!r}; send it unencoded")
    too_large = BodyTooLarge(
        f"the body is larger than {limit:,} bytes, which is the limit; send fewer or smaller images"
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise too_large
    chunks, size = [], 0
    while True:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        if event["type"] != "http.request":
            continue
        chunks.append(event["body"])
        size += len(event["body"])
        if size > limit:
            raise too_large
        if not event["more_body"]:
            return b"".join(chunks)


def parse_rank(content_type: str, body: bytes, limits: Limits) -> RankRequest:
    """The body of `/rank` as a request. Raises a `Problem`; images that cannot be read become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(RankOptions, images={"target", "candidates"})
        target = form.one("target")
        candidates = form.images("candidates", "/candidates/{}")
    else:
        fields = form.decode(RankBody, body)
        options = RankOptions(profile=fields.profile, resolution=fields.resolution)
        target = form.slot("/target", fields.target)
        images = form.list_of(Raw, fields.candidates, "/candidates", limits)
        candidates = [form.slot(f"/candidates/{index}", image) for index, image in enumerate(images)]
    if not candidates:
        raise invalid("/candidates", "there must be at least one candidate")
    check_images(1 + len(candidates), "/candidates", options.resolution, limits)
    return RankRequest(target, candidates, options)


def parse_distance(content_type: str, body: bytes, limits: Limits) -> DistanceRequest:
    """The body of `/distance` as a request. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(DistanceOptions, images={"target", "candidate"})
        targets = form.images("target", "/pairs/{}/target")
        candidates = form.images("candidate", "/pairs/{}/candidate")
        if len(targets) != len(candidates):
            raise invalid(
                "/pairs",
                f"the form has {len(targets)} `target` and {len(candidates)} `candidate` parts; a pair needs both",
            )
        pairs = list(zip(targets, candidates, strict=True))
    else:
        fields = form.decode(DistanceBody, body)
        options = DistanceOptions(profile=fields.profile, resolution=fields.resolution, layers=fields.layers)
        pairs = [
            (form.slot(f"/pairs/{index}/target", pair.target), form.slot(f"/pairs/{index}/candidate", pair.candidate))
            for index, pair in enumerate(form.list_of(PairBody, fields.pairs, "/pairs", limits))
        ]
    if not pairs:
        raise invalid("/pairs", "there must be at least one pair")
    check_images(2 * len(pairs), "/pairs", options.resolution, limits)
    return DistanceRequest(pairs, options)


def parse_fields(content_type: str, body: bytes, limits: Limits, shape: type[StructT]) -> StructT:
    """A body without images, one of `PROFILE_BODIES`. Raises a `Problem`."""
    form = form_of(content_type, body, limits)
    return form.options(shape, images=set()) if isinstance(form, Multipart) else form.decode(shape, body)


def check_images(images: int, pointer: str, resolution: int | None, limits: Limits) -> None:
    """Raise `InvalidRequest` for more images than a request may have, or a resolution above the limit."""
    if images > limits.images:
        raise _too_many(pointer, limits.images)
    if resolution is not None and resolution > limits.resolution:
        raise invalid("/resolution", f"{resolution} is above the limit of {limits.resolution} pixels a side")


def invalid(pointer: str, detail: str) -> InvalidRequest:
    """That `detail` is wrong with what `pointer` names in the body."""
    return InvalidRequest(f"{pointer}: {detail}" if pointer else detail, [Fault(pointer, detail)])


def _too_many(pointer: str, limit: int) -> InvalidRequest:
    return invalid(pointer, f"the request has more than {limit} images, which is the limit; send them in parts")


# --- JSON and MessagePack ---------------------------------------------------------------------------------------------


class Encoding:
    """One of the two encodings whose bodies are trees: decoders are built once and kept."""

    name: str
    image: str  # what an image looks like in it
    decoder: Callable[[Any], Any]

    def __init__(self) -> None:
        self._decoders: dict[Any, Any] = {
            shape: self.decoder(shape)
            for shape in (RankBody, DistanceBody, *PROFILE_BODIES, list[Raw], list[PairBody], bytes, str)
        }

    def decode(self, shape: type[T], content: bytes | Raw, pointer: str = "") -> T:
        """`content` as a `shape`; raises `MalformedBody` (it is not this encoding) or `InvalidRequest`."""
        if not content:
            raise MalformedBody("the body is empty; send the request as JSON, MessagePack or multipart/form-data")
        try:
            decoded: T = self._decoders[shape].decode(content)
        except msgspec.ValidationError as error:
            fault = _fault(error, pointer)
            raise InvalidRequest(
                f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail, [fault]
            ) from error
        except UNDECODABLE as error:
            raise MalformedBody(f"the body is not {self.name}: {_reason(error)}") from error
        return decoded

    def list_of(self, shape: type[T], content: Raw, pointer: str, limits: Limits) -> list[T]:
        """`content` as a list of items that are a `shape` each, an image or more; far too many are not decoded."""
        if self.longer_than(limits.images, content):
            raise _too_many(pointer, limits.images)
        return self.decode(list[shape], content, pointer)  # type: ignore[valid-type]

    def longer_than(self, most: int, content: Raw) -> bool:
        """Whether the list in `content` has surely more than `most` items, found without decoding it."""
        raise NotImplementedError

    def slot(self, pointer: str, content: Raw) -> Slot:
        """The image in `content`."""
        try:
            return Slot(pointer, sent(self._decoders[bytes].decode(content)))  # plain bytes or base64, as mostly
        except UNDECODABLE:
            pass
        try:
            return Slot(pointer, image_from_text(self._decoders[str].decode(content)))
        except UNDECODABLE as error:
            return Slot(pointer, Unreadable(f"expected an image as {self.image}; {_reason(error)}"))


class Json(Encoding):
    """JSON: images are base64, a `data:` URL, or `sha256:…`."""

    name = "JSON"
    image = "base64 in a string"
    decoder = msgspec.json.Decoder

    def longer_than(self, most: int, content: Raw) -> bool:
        # Every item but the first costs a comma; a pair has one inside, and so has each data: URL.
        return bytes(content).count(b",") > 4 * most


class MessagePack(Encoding):
    """MessagePack: images are raw bytes; a string is read as in JSON."""

    name = "MessagePack"
    image = "bytes"
    decoder = msgspec.msgpack.Decoder

    def longer_than(self, most: int, content: Raw) -> bool:
        head = bytes(memoryview(content)[:5])
        if head[:1] == b"\xdc":
            return int.from_bytes(head[1:3], "big") > most
        return head[:1] == b"\xdd" and int.from_bytes(head[1:5], "big") > most


ENCODINGS: dict[str, Encoding] = {JSON: Json(), **dict.fromkeys(MSGPACK, MessagePack())}


def sent(content: bytes) -> SentImage:
    """An image that came as bytes, with its hash."""
    return SentImage(content, hashlib.sha256(content).hexdigest())


def image_from_text(text: str) -> SentImage | HeldImage | Unreadable:
    """The image that a string stands for: base64, a base64 `data:` URL, or `sha256:` and the hash of its bytes."""
    if text.startswith("sha256:"):
        name = text.removeprefix("sha256:")
        if re.fullmatch("[0-9a-fA-F]{64}", name):
            return HeldImage(name.lower())
        return Unreadable("after `sha256:` come the 64 hexadecimal digits of the hash of the image's bytes")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            return Unreadable("a data: URL must be base64: data:image/png;base64,…")
    for candidate in (text, _unwrapped(text)):  # the second for lines wrapped by the base64 command
        try:
            return sent(msgspec.convert(candidate, bytes))
        except msgspec.ValidationError:
            continue
    return Unreadable("this is not base64; send the image's bytes in base64, or send the file as multipart/form-data")


def _unwrapped(text: str) -> str:
    return text.encode("ascii", "replace").translate(None, b" \t\r\n").decode()


def _fault(error: msgspec.ValidationError, pointer: str) -> Fault:
    """A validation error in msgspec's words, with its place as a JSON pointer."""
    detail, _, place = str(error).partition(" - at `")
    path = place.partition("$")[2].removesuffix("`")
    unknown = re.search(r"unknown field `(.*)`$", detail, re.DOTALL)
    steps = [step for step in re.split(r"[.\[\]]+", path) if step]
    if unknown:
        steps.append(_short(unknown[1]))
    return Fault(_pointer(pointer, steps), _short(detail))


def _pointer(start: str, steps: Iterable[str]) -> str:
    """A JSON pointer (RFC 6901) from `start` down the steps."""
    return "/".join([start, *(step.replace("~", "~0").replace("/", "~1") for step in steps)])


def _short(text: str) -> str:
    """`text`, or its beginning where a client has made it longer than anyone reads."""
    return text if len(text) <= LONGEST_ECHO else text[:LONGEST_ECHO] + "…"


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else _short(str(error))


# --- multipart/form-data ----------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """One part of a form."""

    content: bytes
    is_file: bool


class Multipart:
    """The parts of a form, by name, in the order they came."""

    def __init__(self, parts: Mapping[str, Sequence[Part]]) -> None:
        self._parts = parts

    def options(self, shape: type[StructT], images: set[str]) -> StructT:
        """The parts that are not images, as a `shape`; raises `InvalidRequest` where one is unknown or wrong."""
        known = {field.name for field in msgspec.structs.fields(shape)}
        texts: dict[str, str] = {}
        for name, parts in self._parts.items():
            if name in images:
                continue
            pointer = _pointer("", [name])
            if name not in known:
                raise invalid(pointer, f"the form has a part {name!r}; known are {', '.join(sorted(images | known))}")
            if len(parts) > 1:
                raise invalid(pointer, f"the form has {len(parts)} parts of this name, expected one")
            try:
                texts[name] = parts[0].content.decode().strip()
            except UnicodeDecodeError as error:
                raise MalformedBody(f"the part {name!r} is not UTF-8 text") from error
        try:
            return msgspec.convert(texts, shape, strict=False)
        except msgspec.ValidationError as error:
            fault = _fault(error, "")
            raise InvalidRequest(f"{fault.pointer}: {fault.detail}", [fault]) from error

    def one(self, name: str) -> Slot:
        """The one image of this name."""
        slots = self.images(name, f"/{name}")
        if len(slots) != 1:
            raise invalid(f"/{name}", f"the form has {len(slots)} parts of this name, expected one")
        return slots[0]

    def images(self, name: str, pointer: str) -> list[Slot]:
        """The images of this name; `pointer` has a place for the index."""
        return [Slot(pointer.format(index), _image(part)) for index, part in enumerate(self._parts.get(name, ()))]


def _image(part: Part) -> SentImage | HeldImage | Unreadable:
    if not part.is_file and part.content.startswith((b"sha256:", b"data:")):
        return image_from_text(part.content.decode("ascii", "replace").strip())
    return sent(part.content)


def _multipart(content_type: str, body: bytes, limits: Limits) -> Multipart:
    boundary = re.search(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', content_type, re.IGNORECASE)
    if boundary is None:
        raise MalformedBody("the content type multipart/form-data names no boundary; let your HTTP library write it")
    parts: defaultdict[str, list[Part]] = defaultdict(list)
    most = limits.images + len(msgspec.structs.fields(DistanceOptions))
    try:
        with PushMultipartParser(boundary[1] or boundary[2], max_segment_count=most) as parser:
            name, is_file, pieces = "", False, list[bytes]()
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    name, is_file, pieces = event.name, event.filename is not None, []
                elif event:
                    pieces.append(bytes(event))
                else:
                    parts[name].append(Part(b"".join(pieces), is_file))
    except ParserLimitReached as error:
        raise InvalidRequest(f"the form has too many parts or too long headers: {error}") from error
    except (MultipartError, ValueError, LookupError) as error:
        raise MalformedBody(f"the body is not multipart/form-data: {error}") from error
    return Multipart(parts)


def form_of(content_type: str, body: bytes, limits: Limits) -> Encoding | Multipart:
    """What reads a body of this content type. Raises `UnsupportedContent` or `MalformedBody`."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return _multipart(content_type, body, limits)
    try:
        return ENCODINGS[media_type]
    except KeyError:
        raise UnsupportedContent(
            f"the body comes as {_short(media_type) or 'no content type'!r}; send {', '.join(CONTENT_TYPES)}",
            headers={"accept": ", ".join(CONTENT_TYPES)},
        ) from None
