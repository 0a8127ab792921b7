"""What goes wrong in a real ComfyUI: interrupts, a dead server, refusals, and a key that must not go elsewhere."""

import socket
import time

import pytest

from tests.support import workflows
from tests.support.comfyui import ComfyUI, Failed, needs_comfyui
from tests.support.faulty import eavesdropper
from tests.support.gated import gated
from tests.support.workflows import started, text_of

pytestmark = [needs_comfyui, pytest.mark.timeout(400)]

service = workflows.service
comfy = workflows.comfy


def seconds_until_interrupted(comfy: ComfyUI, name: str) -> float:
    """From the button to the end of the node. ComfyUI's own clock tells, for it collects garbage before it answers."""
    asked = time.time()
    comfy.http.post("/interrupt")
    comfy.wait(name)
    ended: float = dict(comfy.messages(name))["execution_interrupted"]["timestamp"] / 1000
    return ended - asked


def test_an_interrupt_ends_a_node_within_a_second_and_the_service_drops_the_work(comfy: ComfyUI) -> None:
    with gated(decode_processes=0) as service:
        graph, inputs = started(address=service.url)
        graph.show(graph.add("CLPIPSRank", **inputs), 1)
        name = comfy.queue(graph.prompt)
        while not service.metric("clpips_batch_running_seconds", stage="embed"):
            time.sleep(0.02)  # the engine holds the images
        assert seconds_until_interrupted(comfy, name) < 1
        while not service.metric("clpips_rejected_total", reason="client_gone"):
            time.sleep(0.02)  # another process is what is waited for
        service.allow(50)
        order = graph.show(graph.add("CLPIPSRank", **inputs), 1)
        assert text_of(comfy.run(graph), order)  # and all goes on


@pytest.mark.parametrize("after", [0.2, 1.6])  # while the profile's version is asked for; while the ranking is
def test_an_interrupt_is_heard_where_a_server_never_answers(comfy: ComfyUI, after: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        graph, inputs = started(address=f"http://127.0.0.1:{silent.getsockname()[1]}")
        graph.show(graph.add("CLPIPSRank", **inputs), 1)
        name = comfy.queue(graph.prompt)
        time.sleep(after)  # nothing comes of it that could be waited for
        assert seconds_until_interrupted(comfy, name) < 1


def test_a_dead_server_is_a_clear_error_within_seconds(comfy: ComfyUI) -> None:
    graph, inputs = started(address="http://127.0.0.1:9")
    graph.show(graph.add("CLPIPSRank", **inputs), 1)
    name = comfy.queue(graph.prompt)
    with pytest.raises(Failed, match=r"no service answers at http://127\.0\.0\.1:9\. Start one"):
        comfy.wait(name)
    times = {kind: told["timestamp"] / 1000 for kind, told in comfy.messages(name) if "timestamp" in told}
    assert max(times.values()) - times["execution_start"] < 6  # one for the profile's version, three for the ranking
    graph, inputs = started(address="ftp://host")
    graph.show(graph.add("CLPIPSRank", **inputs), 1)
    with pytest.raises(Failed, match="is not like http://localhost:8000"):
        comfy.run(graph)


def test_what_the_service_refuses_is_said_in_its_words(comfy: ComfyUI, service: str) -> None:
    graph, inputs = started(address=service, profile="nobody")
    graph.show(graph.add("CLPIPSRank", **inputs), 1)
    with pytest.raises(Failed, match=r"CLPIPS: .*nobody"):
        comfy.run(graph)
    graph, inputs = started()
    inputs["target"] = inputs["images"]
    graph.show(graph.add("CLPIPSRank", **inputs), 1)
    with pytest.raises(Failed, match="the target is one image, and this batch has 4"):
        comfy.run(graph)


def test_a_key_goes_to_its_own_address_alone(comfy: ComfyUI) -> None:
    file = comfy.log.parent / "user" / "clpips.keys"
    with eavesdropper() as (address, heard), eavesdropper() as (other, heard_there):
        file.write_text(f"# mine\n{address} the-key\n")
        try:
            for each in (address, other):
                graph, inputs = started(address=each, profile="mine")
                graph.show(graph.add("CLPIPSRank", **inputs), 1)
                with pytest.raises(Failed):
                    comfy.run(graph)
        finally:
            file.unlink()
    assert set(heard) == {"Bearer the-key"}
    assert set(heard_there) == {None}
