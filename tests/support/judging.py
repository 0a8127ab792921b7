"""What people say of images to the profile `ada`, and what it then says of itself."""

import json
from typing import Any

from litestar.testing import TestClient


def say(client: TestClient[Any], comparison: str, **said: Any) -> Any:
    """Teach `ada` what somebody says of a comparison."""
    return client.post("/profiles/ada/rankings", json={"comparison": comparison, **said})


def look(client: TestClient[Any], number: int) -> Any:
    return client.get(f"/profiles/ada/rankings/{number}")


def detail(client: TestClient[Any]) -> Any:
    return client.get("/profiles/ada").json()


def exported(client: TestClient[Any]) -> list[Any]:
    return [json.loads(line) for line in client.get("/profiles/ada/rankings").text.splitlines()]
