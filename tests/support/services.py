"""What the tests of the service share: an engine of a few lines, and requests in the three forms of a body."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import uvicorn
from litestar import Litestar
from litestar.testing import TestClient
from numpy.typing import NDArray

from clpips.models.engines.contract import (
    DEFAULT_FEATURE_BYTES,
    Convolution,
    Engine,
    Images,
    JpegDecoder,
    Precision,
    families_asked,
    nothing_to_free,
    pair_by_pair,
)
from clpips.models.metric.backbone import LAYERS, SHIPPED_FINGERPRINT
from clpips.models.metric.content import LAST_GRID
from clpips.models.metric.families import (
    ALEXNET,
    ALL_FAMILIES,
    ALL_NETWORKS,
    CONTENT,
    LAYOUTS,
    Families,
    Networks,
)
from clpips.models.metric.masks import Region
from clpips.models.metric.nets import ALEX, Net
from clpips.service.app import create_app
from clpips.service.ops.http_protocol import HttpProtocol
from clpips.service.settings import Settings
from tests.support.documented import assert_documented

Form = Literal["json", "msgpack", "multipart"]
FORMS: tuple[Form, ...] = ("json", "msgpack", "multipart")


class FakeFeatures(NamedTuple):
    """The mean colour of an image, as one of the networks sees it."""

    colour: NDArray[np.float32]  # (3,)
    network: str = ALEXNET

    @property
    def nbytes(self) -> int:
        return self.colour.nbytes


class FakeEngine:
    """An engine that knows mean colours alone; it counts what it is asked, and fails when told to."""

    name = "fake"
    device = "cpu"
    precision: Precision = "exact"
    convolution: Convolution = "direct"
    net: Net = ALEX
    fingerprint = SHIPPED_FINGERPRINT
    parallel = 1
    batch = 4
    seconds_per_image = 0.0

    def __init__(self) -> None:
        self.on_memory_pressure: Callable[[], None] = nothing_to_free
        self.embedded = 0  # images, by AlexNet
        self.embedded_content = 0
        self.compared: list[int] = []
        self.failure: Exception | None = None
        self.closed = False

    @property
    def loaded(self) -> Networks:
        return ALL_NETWORKS if self.embedded_content else ALL_NETWORKS - {CONTENT}

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        target, *_, candidate = self.embed(np.zeros((max(2, min(largest, 4)), side, side, 3), np.uint8))
        self.compare([target], [candidate])
        return DEFAULT_FEATURE_BYTES if feature_bytes is None else feature_bytes

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        if self.failure is not None:
            raise self.failure
        if network == ALEXNET:
            self.embedded += len(images)
        else:
            self.embedded_content += len(images)
        batch = np.stack([np.asarray(image) for image in images])
        return [FakeFeatures(colour, network) for colour in batch.mean(axis=(1, 2)).astype(np.float32) / 255]

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        _, families = families_asked(targets, candidates, families)
        self.compared.append(len(targets))
        difference = [
            np.square(target.colour - candidate.colour).mean()
            for target, candidate in zip(targets, candidates, strict=True)
        ]
        layout = LAYOUTS[self.net.name]
        z = np.repeat(np.array(difference, np.float32)[:, None], layout.length, axis=1)
        for name in ALL_FAMILIES - families:
            z[:, layout.places[name]] = 0
        return z

    def compare_all(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        return pair_by_pair(self.compare, targets, candidates, families)

    def adopt(self, features: Sequence[Any]) -> Sequence[Any]:
        return features

    def compare_within(
        self, target: Any, candidate: Any, mask: Region, families: Families | None = None
    ) -> NDArray[np.float32]:
        part = mask.shares(*LAST_GRID)[:, 0].sum()  # of what counts, that is at the left edge
        z: NDArray[np.float32] = self.compare([target], [candidate], families)[0] * np.float32(part)
        return z

    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        difference = np.square(target.colour - candidate.colour).mean()
        return [np.full((3, 3), weights[layer].sum() * difference, np.float32) for layer in LAYERS]

    def close(self) -> None:
        self.closed = True


@cache
def document() -> dict[str, Any]:
    """The API document, which is the same whatever the settings."""
    schema = create_app(Settings(), FakeEngine()).openapi_schema.to_schema()
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return found


def app_for_tests(
    folder: str, engine: Engine | Sequence[Engine] | None, jpegs: JpegDecoder | None = None, **settings: Any
) -> Litestar:
    """An app with these settings, by default with a database in this folder.

    It has time enough for a machine that is busy with something else, where fits of low priority would hardly run, and
    decodes in its own threads: to start processes for each would take most of the time.
    """
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{folder}/clpips.db",
        "request_seconds": 100.0,
        "decode_processes": 0,
    }
    return create_app(Settings(**{**defaults, **settings}), engine or FakeEngine(), jpegs, fit_niceness=0)


@contextmanager
def serving(
    engine: Engine | Sequence[Engine] | None = None, jpegs: JpegDecoder | None = None, **settings: Any
) -> Iterator[TestClient[Any]]:
    """A client of an app with these settings, started and warm, and a database of its own.

    Whatever the client is answered must stand in the API document.
    """
    with (
        TemporaryDirectory() as folder,
        TestClient(app_for_tests(folder, engine, jpegs, **settings)) as client,
    ):
        client.event_hooks = {"response": [lambda response: assert_documented(document(), response)]}
        yield client


@contextmanager
def listening(engine: Engine | None = None, **settings: Any) -> Iterator[str]:
    """The URL of an app with these settings behind a real socket."""
    with TemporaryDirectory() as folder:
        listener = socket.create_server(("127.0.0.1", 0))
        app = app_for_tests(folder, engine, **settings)
        config = uvicorn.Config(app, http=HttpProtocol, log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.005)
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()
            listener.close()


def rank_body(form: Form, target: bytes, candidates: Sequence[bytes], **options: Any) -> tuple[bytes, str]:
    """A `/rank` body and its content type."""
    if form == "multipart":
        return multipart([("target", target), *(("candidates", candidate) for candidate in candidates)], options)
    return tree(form, {"target": target, "candidates": list(candidates), **options})


def distance_body(form: Form, pairs: Sequence[tuple[bytes, bytes]], **options: Any) -> tuple[bytes, str]:
    """A `/distance` body and its content type."""
    if form == "multipart":
        return multipart([part for pair in pairs for part in zip(("target", "candidate"), pair, strict=True)], options)
    return tree(form, {"pairs": [{"target": target, "candidate": candidate} for target, candidate in pairs], **options})


def tree(form: Form, content: dict[str, Any]) -> tuple[bytes, str]:
    """A JSON or MessagePack body; msgspec writes bytes as base64 in the one and raw in the other."""
    if form == "json":
        return msgspec.json.encode(content), "application/json"
    return msgspec.msgpack.encode(content), "application/vnd.msgpack"


def multipart(files: Sequence[tuple[str, bytes]], fields: dict[str, Any]) -> tuple[bytes, str]:
    """A multipart body as a browser would write it."""
    boundary = b"----boundary-of-the-tests"
    parts = [
        b'Content-Disposition: form-data; name="%s"; filename="i.png"\r\n\r\n%s' % (name.encode(), content)
        for name, content in files
    ] + [
        b'Content-Disposition: form-data; name="%s"\r\n\r\n%s'
        % (name.encode(), (value if isinstance(value, str) else json.dumps(value)).encode())
        for name, value in fields.items()
    ]
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return body + b"--%s--\r\n" % boundary, f"multipart/form-data; boundary={boundary.decode()}"


def post(client: TestClient[Any], body: tuple[bytes, str], path: str = "/rank", **headers: str) -> Any:
    """The answer to a body, which comes with its content type."""
    return client.post(path, content=body[0], headers={"content-type": body[1], **headers})


def scored(reply: dict[str, Any]) -> dict[str, Any]:
    """A `/rank` reply without the id of its comparison, which is another each time."""
    return {name: value for name, value in reply.items() if name != "comparison"}


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def assert_problem(response: Any, status: int, kind: str | None = None) -> dict[str, Any]:
    """The body of a problem+json answer, after checks that hold for every one of them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"] == ("about:blank" if kind is None else f"urn:problem-type:clpips:{kind}")
    return problem


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]
