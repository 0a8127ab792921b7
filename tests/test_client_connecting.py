"""What a client is made with: addresses, keys, times, names in paths; and errors that travel between processes."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from clpips_client import AsyncClient, BadImagesError, Client, ConnectionLostError, Fault, OverloadedError, profiles
from clpips_client.connecting import address_of, headers_of, segment
from clpips_client.core import Core
from clpips_client.packing import json_of
from clpips_client.steps import Call


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize(
    "address",
    ["", "http://", "localhost:99999", "localhost:abc", "ftp://host", "http://[::1", "//host", "a b", "unix:///s"],
)
def test_an_address_that_is_none_is_told_before_anything_is_sent(make: Callable[[str], Any], address: str) -> None:
    with pytest.raises(ValueError, match="is not like http://localhost:8000"):
        make(address)


def test_an_address_may_lack_its_scheme_and_have_a_path() -> None:
    assert address_of(" localhost:8000\n") == "http://localhost:8000"
    assert address_of("https://tools.example.org/clpips") == "https://tools.example.org/clpips"


def test_a_key_is_what_stands_in_its_file_without_the_lines_end() -> None:
    assert headers_of("the-key\n", None) == {"Authorization": "Bearer the-key"}


@pytest.mark.parametrize("key", ["the-key\nanother", "the-k\u00e9y"])
def test_a_key_that_no_header_can_have_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="the API key has characters") as caught:
        Client(key=key)
    assert "the-k" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_has_an_end(timeout: float) -> None:
    with pytest.raises(ValueError, match="expected seconds above 0"):
        Client(timeout=timeout)


def test_a_name_of_dots_is_a_name() -> None:
    assert [segment(name) for name in (".", "..", "...", "a/b", "a.b")] == ["%2E", "%2E%2E", "...", "a%2Fb", "a.b"]
    call = next(profiles.delete(Core(), ".."))
    assert isinstance(call, Call)
    assert call.path == "/profiles/%2E%2E"


@pytest.mark.parametrize("order", [np.array([1, 0]), [np.int64(1), np.int64(0)], (1, 0), iter([1, 0])])
def test_an_order_may_be_numpys(order: Any) -> None:
    call = next(profiles.teach(Core(), "ada", "abc", order=order))
    assert isinstance(call, Call)
    assert b'"order": [1, 0]' in call.content
    best = next(profiles.teach(Core(), "ada", "abc", best=np.int64(1)))  # type: ignore[arg-type]
    assert isinstance(best, Call)
    assert b'"best": 1' in best.content


def test_what_is_no_number_is_not_sent() -> None:
    with pytest.raises(TypeError, match="no values of the type object"):
        json_of({"order": [object()]})


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (ConnectionLostError("lost", sent=False), {"sent": False}),
        (OverloadedError("busy", status=503, retry_after=2.0), {"status": 503, "retry_after": 2.0}),
        (BadImagesError("bad", (Fault("/candidates/1", "this"),)), {"indices": [1]}),
    ],
)
def test_an_error_comes_whole_out_of_another_process(error: Exception, fields: dict[str, Any]) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - as `concurrent.futures` does
    assert (type(again), str(again)) == (type(error), str(error))
    assert {name: getattr(again, name) for name in fields} == fields
