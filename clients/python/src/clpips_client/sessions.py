"""Sessions as objects: `client.session(target)` and `client.share(target)`, waited for and awaited."""

from typing import Protocol, TypeVar

from clpips_client import refining, sharing
from clpips_client.refining import Loop
from clpips_client.replies import Ranking
from clpips_client.running import awaited, called
from clpips_client.sharing import Shared
from clpips_client.steps import Flow

T = TypeVar("T")


class _Waiting(Protocol):
    def run(self, flow: Flow[T]) -> T: ...


class _Awaiting(Protocol):
    async def run(self, flow: Flow[T]) -> T: ...


class _Looking:
    """What can be read of a session without asking the service."""

    core: Loop

    @property
    def ranking(self) -> Ranking | None:
        """All candidates so far, the most similar first; None before the first is added."""
        return self.core.ranking

    @property
    def target(self) -> str:
        """The target's name, `sha256:…`."""
        return self.core.target.name

    @property
    def profile(self) -> str:
        """The profile that ranks, and that `order` teaches."""
        return self.core.profile

    def __len__(self) -> int:
        return len(self.core.candidates)

    def __bool__(self) -> bool:
        return True  # a session without candidates is one all the same

    def _repr_html_(self) -> str:
        ranking = self.core.ranking
        return ranking._repr_html_() if ranking is not None else "<p>no candidates yet</p>"


class Session(_Looking):
    """A refinement: a target, and candidates as they come. One thread at a time may use it."""

    def __init__(self, loop: Loop, client: _Waiting) -> None:
        self.core = loop
        self._client = client

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return self._client.run(flow)

    add = called(refining.add)
    order = called(refining.order)
    suggest = called(refining.suggest)


class AsyncSession(_Looking):
    """A refinement, as `Session` has it. One task at a time may use it."""

    def __init__(self, loop: Loop, client: _Awaiting) -> None:
        self.core = loop
        self._client = client

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return await self._client.run(flow)

    add = awaited(refining.add)
    order = awaited(refining.order)
    suggest = awaited(refining.suggest)


class _Opening:
    """What can be read of a shared session without asking the service."""

    core: Shared

    @property
    def id(self) -> str:
        """By which the service knows it."""
        return self.core.session

    @property
    def url(self) -> str:
        """The link to the studio, for a person: whoever has it may work on the session."""
        return self.core.url


class SharedSession(_Opening):
    """A session that the service keeps, for a person who has its `url`."""

    def __init__(self, shared: Shared, client: _Waiting) -> None:
        self.core = shared
        self._client = client

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return self._client.run(flow)

    add = called(sharing.add)
    state = called(sharing.state)
    order = called(sharing.order)
    take_back = called(sharing.take_back)
    suggest = called(sharing.suggest)
    delete = called(sharing.delete)


class AsyncSharedSession(_Opening):
    """A session that the service keeps, as `SharedSession` has it."""

    def __init__(self, shared: Shared, client: _Awaiting) -> None:
        self.core = shared
        self._client = client

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return await self._client.run(flow)

    add = awaited(sharing.add)
    state = awaited(sharing.state)
    order = awaited(sharing.order)
    take_back = awaited(sharing.take_back)
    suggest = awaited(sharing.suggest)
    delete = awaited(sharing.delete)
