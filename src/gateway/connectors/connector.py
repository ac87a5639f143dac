"""What every connector is given and what it gives back, whatever it speaks to its upstream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from gateway.domain.delivery import Event, Outcome


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """One upstream. `deadline_seconds` bounds a whole attempt and must stay below the lease of the delivery.

    `credentials` never appear in a repr, so that a log line or a traceback cannot carry them.
    """

    name: str
    kind: str
    url: str
    allow_private_addresses: bool = False
    credentials: Mapping[str, str] | None = field(default=None, repr=False)
    deadline_seconds: float = 10.0
    max_reply_bytes: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One attempt at one delivery: `body` tells of the event, `attempted_at` is the time it is signed with.

    `report` is None where the event is of an obligation. `occurred_at` is the same in every attempt.
    """

    delivery: UUID
    report: UUID | None
    event: Event
    body: bytes
    media_type: str
    occurred_at: datetime
    attempted_at: datetime


class Connector(Protocol):
    """One upstream, open, for many tasks at once. It says what happened: it never decides to retry."""

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt. Every failure of the upstream or the network is an outcome, not an exception."""
        ...

    async def aclose(self) -> None:
        """Close the connections kept open."""
        ...


class InvalidConnectorSettings(ValueError):
    """No connector can work with this URL or these credentials; the message says why, without the secret."""
