"""Orders in a real ComfyUI: they are taught once, go through sessions, and change the next ranking."""

from typing import Any

import pytest
from clpips_client import Client

from tests.support import workflows
from tests.support.comfyui import ComfyUI, Failed, Graph, needs_comfyui
from tests.support.workflows import COLOURS, ORDER, started, text_of

pytestmark = [needs_comfyui, pytest.mark.timeout(400)]

service = workflows.service
comfy = workflows.comfy


def taught(graph: Graph, inputs: dict[str, Any], order: str) -> str:
    rank = graph.add("CLPIPSRank", **inputs)
    return graph.add("CLPIPSTeach", server=inputs["server"], comparison=[rank, 4], order=order, make_profile=True)


def test_an_order_is_taught_once_and_the_next_ranking_is_by_what_was_learned(comfy: ComfyUI, service: str) -> None:
    with Client(service) as client:
        client.profiles.create("ada")
        for order in ("", "0, 1, 2, 3", "0, 1, 2, 3"):
            graph, inputs = started(address=service, profile="ada")
            report = taught(graph, inputs, order)
            said = text_of(comfy.run(graph), report)
            assert client.profiles.get("ada").rankings == (1 if order else 0), said
            assert ("nothing is taught" in said) == (not order)


def test_a_profile_is_made_where_there_is_none(comfy: ComfyUI, service: str) -> None:
    graph, inputs = started(address=service, profile="balanced")
    inputs["server"] = [graph.add("CLPIPSServer", address=service, profile="eve", timeout=60.0), 0]
    rank = graph.add("CLPIPSRank", target=inputs["target"], images=inputs["images"])  # by plain LPIPS
    graph.add("CLPIPSTeach", server=inputs["server"], comparison=[rank, 4], order="best 2", make_profile=True)
    comfy.run(graph)
    with Client(service) as client:
        assert client.profiles.get("eve").rankings == 1


def test_images_are_sent_to_a_session_and_its_order_teaches(comfy: ComfyUI, service: str) -> None:
    with Client(service) as client:
        client.profiles.create("kim", parent="lpips")
        for turn, expected in ((0, "4"), (1, "6")):
            graph, inputs = started(address=service, profile="kim")
            if turn:
                inputs["images"] = graph.colours((10, 100, 100), (100, 10, 100))
            sent = graph.add("CLPIPSSession", title="towards grey", **inputs)
            report = graph.add("CLPIPSTeach", server=inputs["server"], session=[sent, 0], order="", make_profile=False)
            count = graph.show(sent, 1)
            outputs = comfy.run(graph)
            assert text_of(outputs, count) == expected  # the second run goes on where the first ended
            assert "nobody has ordered" in text_of(outputs, report)
        session = client.shared(text_of(outputs, sent))
        assert [place for place in session.state().ranking if place < 4] == ORDER  # of the first run
        session.order([0, 1, 2, 3])
        graph, inputs = started(address=service, profile="kim")
        link = session.url
        report = graph.add("CLPIPSTeach", server=inputs["server"], session=link, order="", make_profile=False)
        assert "kim has learned from the session" in text_of(comfy.run(graph), report)
        graph, inputs = started(address=service, profile="kim")
        graph.add("CLPIPSTeach", server=inputs["server"], session=link, order="best 2", make_profile=False)
        comfy.run(graph)
        order = session.state().order
        assert order is not None
        assert order.kind == "best"


def test_an_image_that_a_session_has_is_not_added_again_when_its_profile_has_learned(
    comfy: ComfyUI, service: str
) -> None:
    with Client(service) as client:
        client.profiles.create("lee", parent="lpips")
        for images in (COLOURS, COLOURS, [*COLOURS, (10, 100, 100)]):
            graph, inputs = started(address=service, profile="lee")
            inputs["images"] = graph.colours(*images)
            sent = graph.add("CLPIPSSession", title="", **inputs)
            count = graph.show(sent, 1)
            outputs = comfy.run(graph)
            assert text_of(outputs, count) == str(len(images))
            client.profiles.import_weights(
                "lee", client.profiles.export_weights("lee")
            )  # another version: all runs again
        assert len(client.shared(text_of(outputs, sent)).state().candidates) == 5


def test_an_order_an_address_and_a_profile_may_come_from_other_nodes(comfy: ComfyUI, service: str) -> None:
    graph, inputs = started()
    address, profile, order = (graph.add("PrimitiveString", value=text) for text in (service, "pat", "3, 1, 2, 0"))
    server = [graph.add("CLPIPSServer", address=[address, 0], profile=[profile, 0], timeout=60.0), 0]
    rank = graph.add("CLPIPSRank", target=inputs["target"], images=inputs["images"])
    graph.add("CLPIPSTeach", server=server, comparison=[rank, 4], order=[order, 0], make_profile=True)
    comfy.run(graph)
    with Client(service) as client:
        assert client.profiles.get("pat").rankings == 1


@pytest.mark.parametrize(
    ("profile", "order", "match"),
    [
        ("lpips", "0, 1, 2, 3", "ships with the service"),
        ("zoe", "0, 1, 9", "each of the 4 candidates"),
        ("zoe", "two, one", "is no order"),
    ],
)
def test_what_cannot_be_taught_is_said(comfy: ComfyUI, service: str, profile: str, order: str, match: str) -> None:
    with Client(service) as client:
        client.profiles.create("zoe", exist_ok=True)
    graph, inputs = started(address=service, profile=profile)
    taught(graph, inputs, order)
    with pytest.raises(Failed, match=match):
        comfy.run(graph)


def test_a_taught_profile_ranks_again_and_an_unchanged_one_does_not(comfy: ComfyUI, service: str) -> None:
    with Client(service) as client:
        client.profiles.create("joe")
        graph, inputs = started(address=service, profile="joe")
        order = graph.show(graph.add("CLPIPSRank", **inputs), 4)
        first, second = (text_of(comfy.run(graph), order) for _ in range(2))
        client.profiles.rollback("joe", 1)
        weights = client.profiles.export_weights("joe")
        client.profiles.import_weights("joe", weights)  # another version
        third = text_of(comfy.run(graph), order)
    assert first == second
    assert third != first
