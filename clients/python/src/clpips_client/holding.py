"""Content addressing: an image's bytes go once, its name afterwards, and again the bytes of what was given up (409)."""

from collections.abc import Callable, Sequence
from typing import Final

from clpips_client.core import Budget, Core
from clpips_client.errors import ImagesNotHeldError
from clpips_client.packing import Tree, pack
from clpips_client.pictures import Picture
from clpips_client.steps import Answer, Flow
from clpips_client.trying import call

MSGPACK: Final = "application/vnd.msgpack"

Place = Callable[[Picture], Tree]  # what stands in a body for an image: its bytes or its name


def send(
    core: Core,
    budget: Budget,
    path: str,
    pictures: Sequence[tuple[str, Picture]],
    resolution: int | None,
    body: Callable[[Place], Tree],
    target: str | None = None,
    accept: str = "application/json",
    *,
    repeatable: bool = True,
) -> Flow[Answer]:
    """The answer to a scoring request, whose `pictures` stand at these JSON pointers in what `body` makes.

    At first those go as bytes that the service is not known to hold; after a 409 those too that it names, and after
    another one, where what it holds changes under our hands, all. Raises what `call` raises; `ImagesNotHeldError` is
    left for images of which the caller gave the names alone.
    """
    at = dict(pictures)
    names = {picture.name for _, picture in pictures}
    contents = {picture.name: picture.content for _, picture in pictures if picture.content is not None}
    sent = {name for name in contents if (name, resolution) not in core.held}
    headers = {"Content-Type": MSGPACK, "Accept": accept}
    if target is not None:
        headers["X-Target-Hash"] = target.removeprefix("sha256:")
    for tries in range(3):
        if tries == 2:
            sent = set(contents)
        content = pack(body(_placing({name: contents[name] for name in sent})))
        try:
            answer = yield from call(core, budget, "POST", path, content, headers, repeatable=repeatable)
        except ImagesNotHeldError as error:
            missing = {at[fault.pointer].name for fault in error.faults if fault.pointer in at}
            core.held.forget((name, resolution) for name in missing)
            if tries == 2 or not missing or missing - contents.keys():
                raise
            sent |= missing
        else:
            core.held.note((name, resolution) for name in names)
            return answer
    raise AssertionError("the third try returns or raises")


def _placing(contents: dict[str, bytes]) -> Place:
    """The bytes of each of these images where it first stands, and names everywhere else."""
    return lambda picture: contents.pop(picture.name, picture.name)
