"""Sessions that the service keeps: a tool adds candidates, and a person orders them in the studio, by its link."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

from clpips_client.connecting import segment
from clpips_client.core import Core
from clpips_client.holding import Place, send
from clpips_client.packing import Tree, json_of
from clpips_client.pictures import Picture
from clpips_client.reading import read
from clpips_client.replies import Heatmap
from clpips_client.scoring import PICTURES, RESOLUTION, content_of, heatmap_of, place_of
from clpips_client.session_replies import SessionForgotten, SessionMade, SessionState, SessionSuggestion, SessionTaught
from clpips_client.splitting import pictures_at
from clpips_client.steps import Flow
from clpips_client.trying import call

TOKEN_HEADER: Final = "X-Session-Token"  # noqa: S105 - a header's name
JSON: Final = {"Accept": "application/json", "Content-Type": "application/json"}


@dataclass(frozen=True)
class Shared:
    """A session of the service, and the target where this client has it."""

    core: Core
    session: str  # its id
    url: str = ""  # for a person; "" where only the id is known
    target: Picture | None = None
    resolution: int | None = RESOLUTION


def create(
    core: Core,
    target: Any,
    *,
    profile: str = "lpips",
    title: str = "",
    resolution: int | None = RESOLUTION,
    mask: Any = None,
) -> Flow[Shared]:
    """Make a session of this target. Its `url` is for a person. Images are as in `rank`, and so is a `mask`, for all.

    Raises `ConnectionLostError` where it cannot be known whether it was made.
    """
    (one,), *masks = pictures_at([("/target", [target]), *place_of(mask)], resolution)
    beside = {"profile": profile, "title": title, "resolution": resolution, **content_of(masks)}
    answer = yield from send(
        core,
        core.budget(),
        "/sessions",
        [("/target", one)],
        resolution,
        lambda place: {**beside, "target": place(one)},
        one.name,
        repeatable=False,
    )
    made = read(SessionMade, answer)
    return Shared(_with_token(core, made.token), made.session, made.url, one, resolution)


def opened(core: Core, link: str, token: str = "") -> Shared:
    """The session of a link that `create` has made, or of an id with its token or the maker's key. Nothing is sent."""
    parts = parse_qs(urlsplit(link).fragment)
    if "session" in parts:
        return Shared(_with_token(core, parts.get("token", [token])[0]), parts["session"][0], link)
    return Shared(_with_token(core, token), link)


def add(
    shared: Shared,
    candidates: Any,
    *,
    prompts: Sequence[str | None] | None = None,
    steps: Sequence[int | None] | None = None,
) -> Flow[SessionState]:
    """Add an image, a batch or a list of them, and rank all so far. Of each may be said its prompt and its step.

    What is sent twice is two candidates: where an answer is lost, `ConnectionLostError` is raised, and `state` tells.
    """
    (new,) = pictures_at([("/candidates/{}", candidates)], shared.resolution)
    notes: dict[str, Any] = {"prompts": prompts, "steps": steps}
    said = {name: list(each) for name, each in notes.items() if each is not None}
    one = shared.target
    target = [("/target", one)] if one is not None else []

    def body(place: Place) -> Tree:
        """The target stands there where the service is not believed to hold it any more."""
        again = place(one) if one is not None else None
        beside = {"target": again} if isinstance(again, bytes) else {}
        return {**said, **beside, "candidates": [place(each) for each in new]}

    answer = yield from send(
        shared.core,
        shared.core.budget(),
        _path(shared, "candidates"),
        [*target, *((f"/candidates/{place}", each) for place, each in enumerate(new))],
        shared.resolution,
        body,
        one.name if one is not None else None,
        repeatable=False,
    )
    return read(SessionState, answer)


def state(shared: Shared, *, profile: str | None = None) -> Flow[SessionState]:
    """The session as it is now; by another profile, changing nothing, where one is named."""
    query = "" if profile is None else f"?{urlencode({'profile': profile})}"
    core = shared.core
    answer = yield from call(core, core.budget(), "GET", _path(shared) + query, headers=JSON, repeatable=True)
    return read(SessionState, answer)


def order(
    shared: Shared,
    order: Sequence["int | Sequence[int]"] | None = None,
    *,
    best: int | None = None,
    top: Sequence[int] | None = None,
) -> Flow[SessionTaught]:
    """Say what a person says of the candidates, by their indices; it replaces what was said before, and teaches.

    `order` has the most similar first, those that are tied in a list of their own, and may leave out some.
    """
    said: dict[str, Any] = {"order": order, "best": best, "top": top}
    given = {name: value for name, value in said.items() if value is not None}
    if len(given) != 1:
        raise ValueError("say what the person said as one of order, best and top")
    core = shared.core
    body = json_of(given)
    answer = yield from call(core, core.budget(), "PUT", _path(shared, "order"), body, JSON, repeatable=True)
    return read(SessionTaught, answer)


def take_back(shared: Shared) -> Flow[SessionForgotten]:
    """Take back what a person said of the candidates; the profile that learned from it forgets it too."""
    core = shared.core
    answer = yield from call(core, core.budget(), "DELETE", _path(shared, "order"), headers=JSON, repeatable=True)
    return read(SessionForgotten, answer)


def suggest(shared: Shared) -> Flow[SessionSuggestion]:
    """Which two of the candidates to ask a person about next: `order([nearer, other])` says what they answer."""
    core = shared.core
    answer = yield from call(core, core.budget(), "GET", _path(shared, "suggest"), headers=JSON, repeatable=True)
    return read(SessionSuggestion, answer)


def heatmap(
    shared: Shared,
    candidate: int,
    *,
    profile: str | None = None,
    format: Literal["png", "npy"] = "png",  # noqa: A002 - the service's word
    style: Literal["map", "overlay"] = "map",
    upsample: Literal["nearest", "bilinear"] = "nearest",
    layer: int | None = None,
    opacity: float = 0.6,
    high: float | None = None,
) -> Flow[Heatmap]:
    """Where a candidate, by its index, differs from the target, by the session's profile or by another one.

    The link is enough for it. Options are as in `Client.heatmap`; `layer` is the part of one of the backbone's layers.
    Raises `ImagesNotHeldError` where the service has given up what it computed of the two images.
    """
    given = {"profile": profile, "layer": layer, "high": high}
    options = {"candidate": candidate, "format": format, "style": style, "upsample": upsample, "opacity": opacity}
    query = urlencode(options | {name: value for name, value in given.items() if value is not None})
    core = shared.core
    path = f"{_path(shared, 'heatmap')}?{query}"
    headers = {"Accept": PICTURES}
    if shared.target is not None:
        headers["X-Target-Hash"] = shared.target.name.removeprefix("sha256:")
    answer = yield from call(core, core.budget(), "GET", path, headers=headers, repeatable=True)
    return heatmap_of(answer, format)


def delete(shared: Shared, *, forget: bool = False) -> Flow[None]:
    """End the session; with `forget`, what it has taught its profile is forgotten, too.

    That needs the client's own key, of the session's tenant, where the service has keys: the link alone does not do.
    """
    query = "?forget=true" if forget else ""
    own = {name: value for name, value in shared.core.headers.items() if name != TOKEN_HEADER}
    core = replace(shared.core, headers=own)
    yield from call(core, core.budget(), "DELETE", _path(shared) + query, headers=JSON, repeatable=False)


def _path(shared: Shared, *more: str) -> str:
    return "/".join(["/sessions", segment(shared.session), *more])


def _with_token(core: Core, token: str) -> Core:
    return replace(core, headers={**core.headers, TOKEN_HEADER: token}) if token else core
