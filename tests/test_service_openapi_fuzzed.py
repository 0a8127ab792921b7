"""Whatever the API document allows or forbids, made up by schemathesis, gets an answer that it describes."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings, strategies
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)
from schemathesis.transport.serialization import Binary

from tests.support.pictures import encode, npy, picture
from tests.support.services import FakeEngine, document, listening

MSGPACK = "application/vnd.msgpack"


@schemathesis.serializer(MSGPACK)
def _as_messagepack(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return msgspec.msgpack.encode(_writable(value), enc_hook=lambda binary: binary.data)


def _writable(value: Any) -> Any:
    """`value` with integers that MessagePack has no room for as floats: schemathesis makes those too."""
    if isinstance(value, dict):
        return {_writable(key): _writable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_writable(member) for member in value]
    too_large = isinstance(value, int) and not -(2**63) <= value < 2**64
    return float(value) if too_large else value


@schemathesis.deserializer(MSGPACK)
def _from_messagepack(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    return msgspec.msgpack.decode(response.content)


IMAGES = [encode(picture(1, 40)), encode(picture(2, 40), "WEBP"), npy(picture(3, 40)), encode(picture(1, 40))[:90], b""]
schemathesis.openapi.format("binary", strategies.sampled_from(IMAGES).map(Binary))
schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(FakeEngine()) as url:
        yield url


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_description_allows_or_forbids_gets_a_described_answer(
    case: schemathesis.Case[Any], url: str
) -> None:
    # Which bytes are an image is more than a schema can say: a request may be as described and still be refused.
    # The framework answers OPTIONS by itself, and names the methods of one handler where a path has several.
    excluded = [positive_data_acceptance, allow_header_conformance]
    # A form's parts have no types: a list of one is the value itself, and an empty list a value that is left out.
    # HTTP has headers that no API describes: one more is nothing to refuse.
    if case.media_type == "multipart/form-data" or "x-schemathesis-unknown-property" in case.headers:
        excluded.append(negative_data_rejection)
    response = case.call(base_url=url)
    # Who gives the service a millisecond is told that it was too little, whatever else is wrong.
    if "X-Request-Timeout-Ms" in case.headers and response.status_code in {408, 503, 504}:
        excluded += [not_a_server_error, negative_data_rejection]
    case.validate_response(response, excluded_checks=excluded)
