"""multipart/form-data: what browsers and curl send."""

import base64
import binascii
import codecs
import quopri
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import msgspec
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from clpips.service.problems import InvalidRequest, MalformedBody
from clpips.service.wire.body_memory import Body
from clpips.service.wire.encodings import image_from_text, sent
from clpips.service.wire.faults import fault_of, invalid, pointer_to, short
from clpips.service.wire.schemas import HeldImage, Limits, SentImage, Slot, Unreadable

StructT = TypeVar("StructT", bound=msgspec.Struct)


PART_BYTES: Final = 2**18  # of a form that the parser is given at a time
MOST_TEXTS: Final = 8  # parts of a form beside its images, or a few more than any has
TRANSPARENT: Final = frozenset({"", "7bit", "8bit", "binary"})  # transfer encodings that change no byte
# What Python decodes under the name of a charset, and is none: host names (some in quadratic time), escapes and UTF-7,
# by both of which half a character (a surrogate) comes in, and what decodes nothing.
NO_CHARSETS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"})


class Part(NamedTuple):
    """One part of a form."""

    content: bytes
    is_file: bool
    charset: str = "utf-8-sig"  # UTF-8, with or without a byte order mark


class Multipart:
    """The parts of a form, by name, in the order they came."""

    def __init__(self, parts: Mapping[str, Sequence[Part]]) -> None:
        self._parts = parts

    def options(self, shape: type[StructT], form: type[msgspec.Struct] | None = None) -> StructT:
        """The parts that are not images, as a `shape`; raises `InvalidRequest` where one is unknown or wrong.

        `form` is the struct that describes all of the form, where it has images.
        """
        texts_known = _fields_of(shape)
        known = _fields_of(form or shape)
        texts: dict[str, str] = {}
        for name, parts in self._parts.items():
            pointer = pointer_to("", [name])
            if name not in known:
                raise invalid(pointer, f"the form has a part {short(name)!r}; known are {', '.join(sorted(known))}")
            if name not in texts_known:
                continue  # an image
            if len(parts) > 1:
                raise invalid(pointer, f"the form has {len(parts)} parts of this name, expected one")
            try:
                texts[name] = _text(parts[0]).strip()
            except (ValueError, LookupError) as error:
                told = "UTF-8" if parts[0].charset == "utf-8-sig" else short(parts[0].charset)
                raise MalformedBody(f"the part {name!r} is not {told} text; send it in UTF-8") from error
        try:
            return msgspec.convert(texts, shape, strict=False)
        except msgspec.ValidationError as error:
            fault = fault_of(error, "")
            raise InvalidRequest(f"{fault.pointer}: {fault.detail}", [fault]) from error

    def one(self, name: str) -> Slot:
        """The one image of this name."""
        slots = self.images(name, f"/{name}")
        if len(slots) != 1:
            raise invalid(f"/{name}", f"the form has {len(slots)} parts of this name, expected one")
        return slots[0]

    def count(self, name: str) -> int:
        """How many parts have this name."""
        return len(self._parts.get(name, ()))

    def optional(self, name: str) -> Slot | None:
        """The image of this name, if there is one."""
        return self.one(name) if name in self._parts else None

    def images(self, name: str, pointer: str) -> list[Slot]:
        """The images of this name; `pointer` has a place for the index."""
        return [Slot(pointer.format(index), _image(part)) for index, part in enumerate(self._parts.get(name, ()))]


def _fields_of(shape: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(shape)}


def _text(part: Part) -> str:
    """A part's text. Raises `ValueError` where the bytes are not of its charset, `LookupError` where that is none."""
    if codecs.lookup(part.charset).name in NO_CHARSETS:
        raise LookupError(part.charset)
    return part.content.decode(part.charset)


def _image(part: Part) -> SentImage | HeldImage | Unreadable:
    if not part.is_file and part.content[:64].lstrip().lower().startswith((b"sha256:", b"data:")):
        return image_from_text(part.content.decode("ascii", "replace").strip())
    return sent(part.content)


def _part(segment: MultipartSegment, content: bytes) -> Part:
    """A part as its headers say. Raises `MalformedBody` for a transfer encoding that is not known, or is broken.

    RFC 7578 (section 4.7) has done away with transfer encodings; mail libraries still write them.
    """
    encoding = segment.header("Content-Transfer-Encoding", "").strip().lower()
    try:
        if encoding == "base64":
            content = base64.b64decode(content.translate(None, b" \t\r\n"), validate=True)
        elif encoding == "quoted-printable":
            content = quopri.decodestring(content)
        elif encoding not in TRANSPARENT:
            raise MalformedBody(
                f"a part has the Content-Transfer-Encoding {short(encoding)!r}; send the bytes as they are, without one"
            )
    except binascii.Error as error:
        raise MalformedBody(f"a part says that it is base64, and is not: {error}") from error
    return Part(content, segment.filename is not None, segment.charset or Part._field_defaults["charset"])


def _parts_of(body: Body) -> Iterator[bytes]:
    """The body in parts, none of which is a copy of all of it."""
    return (bytes(body[start : start + PART_BYTES]) for start in range(0, len(body), PART_BYTES))


def _name(segment: MultipartSegment) -> str:
    """A part's name. Headers are read as Latin-1, which takes any byte: file names come in the charset of a system."""
    name: str = segment.name.encode("latin-1").decode("utf-8", "replace")
    return name


def parse_multipart(content_type: str, body: Body, limits: Limits) -> Multipart:
    """The parts of a form; raises `MalformedBody`, or `InvalidRequest` for more parts than any request has."""
    boundary = re.search(r';\s*boundary=(?:"([^"]+)"|([^\s;"]+))', content_type, re.IGNORECASE)
    if boundary is None:
        raise MalformedBody("the content type multipart/form-data names no boundary; let your HTTP library write it")
    parts: defaultdict[str, list[Part]] = defaultdict(list)
    most = limits.images + MOST_TEXTS
    try:
        with PushMultipartParser(
            boundary[1] or boundary[2], max_segment_count=most, header_charset="latin-1"
        ) as parser:
            segment, pieces = None, list[bytes]()
            for event in chain.from_iterable(map(parser.parse, _parts_of(body))):
                if isinstance(event, MultipartSegment):
                    segment, pieces = event, []
                elif event:
                    pieces.append(event)
                elif segment is not None:
                    parts[_name(segment)].append(_part(segment, b"".join(pieces)))
    except ParserLimitReached as error:
        raise InvalidRequest(f"the form has too many parts or too long headers: {error}") from error
    except (MultipartError, ValueError, LookupError) as error:
        raise MalformedBody(f"the body is not multipart/form-data: {error}") from error
    return Multipart(parts)
