"""What every connector is given and what it gives back, whatever it speaks to its upstream."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from pydantic import ValidationError

from gateway.domain.delivery import Event, Outcome, Provenance
from gateway.domain.document import Document, faults
from gateway.domain.upstream import Held
from gateway.errors import Place


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """One upstream. `deadline_seconds` bounds a whole attempt.

    `options` are what its kind asks for beyond this, as an operator wrote them: JSON without secrets.
    `credentials` never appear in a repr, so that a log line or a traceback cannot carry them.
    """

    name: str
    kind: str
    url: str
    allow_private_addresses: bool = False
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    deadline_seconds: float = 10.0
    max_reply_bytes: int = 64 * 1024
    options: Mapping[str, object] | None = None


class Dispatch(NamedTuple):
    """One attempt at one delivery: `body` tells of the event, `attempted_at` is the time it is signed with.

    `report` is None where the event is of an obligation. `occurred_at` is the same in every attempt. Kinds that relay
    are given the bytes that were pushed, with their `provenance`, and of other events the reason.
    `query` belongs to bytes that do not say everything themselves.
    """

    delivery: UUID
    report: UUID | None
    event: Event
    body: bytes
    media_type: str
    occurred_at: datetime
    attempted_at: datetime
    provenance: Provenance | None = None
    query: str = ""


@dataclass(frozen=True, slots=True)
class Returned:
    """A report that an upstream returned, and why."""

    report: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Returns:
    """Returned reports in order, where to go on after them, and whether there may be more at once."""

    items: Sequence[Returned]
    cursor: str
    has_more: bool


class UpstreamSilent(Exception):
    """An upstream that was asked something gave no answer that can be used; the message says why."""


class Connector(Protocol):
    """One upstream, open, for many tasks at once. It says what happened: it never decides to retry."""

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt. Every failure of the upstream or the network is an outcome, not an exception."""
        ...

    async def aclose(self) -> None:
        """Close the connections kept open."""
        ...


@runtime_checkable
class Follows(Protocol):
    """A connector of a kind whose upstream tells what it returned."""

    async def returns(self, cursor: str | None) -> Returns:
        """What it returned after a cursor; None is from the start. Raises `UpstreamSilent`."""
        ...


@runtime_checkable
class Answers(Protocol):
    """A connector of a kind whose upstream tells what it holds."""

    def holdings(self, form: str | None, period: str | None) -> AsyncGenerator[Held, None]:
        """The reports it holds, of one form and period or of all. Raises `UpstreamSilent`."""
        ...


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A witness's signature of a checkpoint, as a line of its note, and the time it says."""

    line: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Behind:
    """A witness knows the log at another size than it was asked to go on from."""

    size: int


class Contradicted(Exception):
    """What somebody outside holds of the log does not agree with it; the message says what."""


@runtime_checkable
class Cosigns(Protocol):
    """A connector of a kind whose upstream signs checkpoints of the log."""

    async def cosign(self, old: int, path: Sequence[bytes], note: str) -> Cosigned | Behind:
        """Have a checkpoint signed. Raises `UpstreamSilent` and `Contradicted`."""
        ...


class InvalidConnectorSettings(ValueError):
    """No connector can work with this URL or these credentials; the message says why, without the secret."""


class InvalidConnectorOptions(InvalidConnectorSettings):
    """The options are not those of the kind; ``places`` name every fault below ``/options``."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__("; ".join(f"{place.pointer}: {place.message.en}" for place in places))
        self.places = places


Options = TypeVar("Options", bound=Document)


def options_of(settings: ConnectorSettings, model: type[Options]) -> Options:
    """The options as the kind's own model. Raises `InvalidConnectorOptions`."""
    try:
        return model.model_validate(dict(settings.options or {}))
    except ValidationError as error:
        raise InvalidConnectorOptions(faults(error, ("options",))) from error


class NoOptions(Document):
    """The options of a kind that has none."""
