"""Bodies become the same request in whichever form they come."""

import base64
import itertools
import resource
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.service.problems import InvalidRequest, MalformedBody
from clpips.service.wire.bodies import parse_distance, parse_rank
from clpips.service.wire.body_memory import BodyMemory
from clpips.service.wire.encodings import image_from_text
from clpips.service.wire.ranking_bodies import parse_ranking
from clpips.service.wire.ranking_schemas import RankingFields
from clpips.service.wire.schemas import HeldImage, Limits, SentImage, Unreadable
from tests.support.services import FORMS, distance_body, rank_body

LIMITS = Limits(body_bytes=10**6, images=64, resolution=4096)

images = st.binary(max_size=200)
resolutions = st.none() | st.integers(31, 4096)
names = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=128)


def options(*optional: str) -> st.SearchStrategy[dict[str, Any]]:
    known = {"profile": names, "resolution": resolutions, "layers": st.booleans()}
    return st.fixed_dictionaries({}, optional={name: known[name] for name in optional})


@given(target=images, candidates=st.lists(images, min_size=1, max_size=8), said=options("profile", "resolution"))
def test_a_ranking_reads_the_same_in_every_form(target: bytes, candidates: list[bytes], said: dict[str, Any]) -> None:
    requests = []
    for form in FORMS:
        body, content_type = rank_body(form, target, candidates, **said)
        requests.append(parse_rank(content_type, body, LIMITS))
    assert requests[0] == requests[1] == requests[2]
    assert [slot.image.content for slot in requests[0].candidates if isinstance(slot.image, SentImage)] == candidates
    assert requests[0].options.resolution == said.get("resolution", 256)
    assert requests[0].options.profile == said.get("profile", "lpips")


@given(
    pairs=st.lists(st.tuples(images, images), min_size=1, max_size=8), said=options("profile", "resolution", "layers")
)
def test_pairs_read_the_same_in_every_form(pairs: list[tuple[bytes, bytes]], said: dict[str, Any]) -> None:
    requests = []
    for form in FORMS:
        body, content_type = distance_body(form, pairs, **said)
        requests.append(parse_distance(content_type, body, LIMITS))
    assert requests[0] == requests[1] == requests[2]
    assert [slot.pointer for pair in requests[0].pairs for slot in pair][:2] == [
        "/pairs/0/target",
        "/pairs/0/candidate",
    ]
    assert requests[0].options.layers == said.get("layers", False)


@given(
    candidates=st.lists(images, min_size=2, max_size=8),
    said=st.fixed_dictionaries({}, optional={"resolution": resolutions}),
)
def test_a_persons_order_reads_the_same_in_every_form(candidates: list[bytes], said: dict[str, Any]) -> None:
    order = list(range(len(candidates)))[::-1]
    requests = []
    for form in FORMS:
        text = ",".join(map(str, order)) if form == "multipart" else order
        body, content_type = rank_body(form, candidates[0], candidates, order=text, **said)
        requests.append(parse_ranking(content_type, body, LIMITS))
    assert requests[0] == requests[1] == requests[2]
    assert requests[0].fields.order == order
    # The fields live as long as the fit that follows: they must not hold the images, which are views of the body.
    assert {type(request.fields) for request in requests} == {RankingFields}


@given(content=images, width=st.integers(1, 80), media_type=st.sampled_from(["image/png", "", "image/x;a=b"]))
def test_base64_is_read_plain_wrapped_and_as_a_data_url(content: bytes, width: int, media_type: str) -> None:
    text = base64.b64encode(content).decode()
    for form in (text, textwrap.fill(text, width), f"data:{media_type};base64,{text}"):
        image = image_from_text(form)
        assert isinstance(image, SentImage)
        assert image.content == content


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_names_an_image_in_either_case(digest: bytes) -> None:
    assert image_from_text("sha256:" + digest.hex()) == HeldImage(digest.hex())
    assert image_from_text("sha256:" + digest.hex().upper()) == HeldImage(digest.hex())


@given(st.text())
def test_any_other_text_is_unreadable_and_never_an_exception(text: str) -> None:
    image = image_from_text(text + "!")
    assert isinstance(image, Unreadable)
    assert image.detail


@given(st.binary(min_size=1, max_size=40))
def test_a_body_of_one_form_is_not_read_as_another(content: bytes) -> None:
    bodies = {form: rank_body(form, content, [content]) for form in FORMS}
    for form, other in itertools.permutations(FORMS, 2):
        with pytest.raises((MalformedBody, InvalidRequest)):
            parse_rank(bodies[other][1], bodies[form][0], LIMITS)


@given(st.lists(st.binary(max_size=2**17), max_size=12), st.booleans())
def test_a_body_is_what_came_however_it_is_held(parts: list[bytes], announced: bool) -> None:
    whole = b"".join(parts)
    memory = BodyMemory(len(whole) if announced else 0)
    for part in parts:
        memory.append(part)

    assert len(memory) == len(whole)
    assert bytes(memory.whole()) == whole

    memory.release()
    assert len(memory) == 0
    assert bytes(memory.whole()) == b""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(sys.platform != "linux", reason="a body has pages of its own on Linux alone")
def test_a_body_that_does_not_come_takes_no_memory() -> None:
    before = resident_bytes()
    bodies = [BodyMemory(100_000_000) for _ in range(8)]
    for body in bodies:
        body.append(bytes(2**19))

    assert resident_bytes() - before < 32 * 2**20
