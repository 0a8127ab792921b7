"""Sessions as objects: `client.session(target)` and `client.share(target)`, waited for and awaited."""

from typing import Generic, Protocol, TypeVar

from clpips_client import refining, sharing
from clpips_client.refining import Loop
from clpips_client.replies import Ranking
from clpips_client.running import awaited, called
from clpips_client.sharing import Shared
from clpips_client.steps import Flow

T = TypeVar("T")
W = TypeVar("W")  # the client that a session works with


class _Waiting(Protocol):
    def run(self, flow: Flow[T]) -> T: ...


class _Awaiting(Protocol):
    async def run(self, flow: Flow[T]) -> T: ...


class _Waits:
    """Runs operations on the caller's thread."""

    _client: _Waiting

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return self._client.run(flow)


class _Awaits:
    """Runs operations on the caller's event loop."""

    _client: _Awaiting

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return await self._client.run(flow)


class _Looking(Generic[W]):
    """What can be read of a session without asking the service."""

    def __init__(self, loop: Loop, client: W) -> None:
        self.core = loop
        self._client = client

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


class Session(_Looking[_Waiting], _Waits):
    """A refinement: a target, and candidates as they come. One thread at a time may use it."""

    add = called(refining.add)
    order = called(refining.order)
    suggest = called(refining.suggest)


class AsyncSession(_Looking[_Awaiting], _Awaits):
    """A refinement, as `Session` has it. One task at a time may use it."""

    add = awaited(refining.add)
    order = awaited(refining.order)
    suggest = awaited(refining.suggest)


class _Opening(Generic[W]):
    """What can be read of a shared session without asking the service."""

    def __init__(self, shared: Shared, client: W) -> None:
        self.core = shared
        self._client = client

    @property
    def id(self) -> str:
        """By which the service knows it."""
        return self.core.session

    @property
    def url(self) -> str:
        """The link to the studio, for a person: whoever has it may work on the session."""
        return self.core.url


class SharedSession(_Opening[_Waiting], _Waits):
    """A session that the service keeps, for a person who has its `url`."""

    add = called(sharing.add)
    state = called(sharing.state)
    order = called(sharing.order)
    take_back = called(sharing.take_back)
    suggest = called(sharing.suggest)
    heatmap = called(sharing.heatmap)
    delete = called(sharing.delete)


class AsyncSharedSession(_Opening[_Awaiting], _Awaits):
    """A session that the service keeps, as `SharedSession` has it."""

    add = awaited(sharing.add)
    state = awaited(sharing.state)
    order = awaited(sharing.order)
    take_back = awaited(sharing.take_back)
    suggest = awaited(sharing.suggest)
    heatmap = awaited(sharing.heatmap)
    delete = awaited(sharing.delete)
