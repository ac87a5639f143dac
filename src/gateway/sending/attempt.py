"""Making an attempt at a delivery: its message, its connector, and what came of it. It says so, and records nothing."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.connectors.connector import Dispatch, InvalidConnectorSettings
from gateway.connectors.registry import UnknownConnectorKind
from gateway.db.claims import Claimed
from gateway.db.engine import tell_failure
from gateway.domain.delivery import Event, Outcome, OutcomeClass
from gateway.flow.forward import Message
from gateway.flow.remind import NothingToSend
from gateway.sending.lease import Lease
from gateway.sending.messages import Messages
from gateway.sending.places import Places
from gateway.upstreams import Upstreams

_GRACE = 1.0
"""Seconds beyond its deadline after which an attempt is ended whatever its connector does."""


class Attempted(NamedTuple):
    """What an attempt came to, by the database's clock. ``is_sent``: it reached for the upstream."""

    outcome: Outcome
    is_sent: bool
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes attempts of so many seconds, under leases of so many, as far as there are places."""

    messages: Messages
    places: Places
    upstreams: Upstreams
    attempt_seconds: float
    lease_seconds: float

    async def attempt(self, lease: Lease) -> Attempted:
        """Make one attempt. Raises ``NothingToSend``; any failure but that is what the attempt came to."""
        outcome, is_sent = await self._attempt(lease)
        ended = asyncio.get_running_loop().time()
        began = ended if lease.began is None else lease.began
        return Attempted(outcome, is_sent, lease.database_time(began), lease.database_time(ended))

    async def _attempt(self, lease: Lease) -> tuple[Outcome, bool]:
        claimed, loop = lease.claimed, asyncio.get_running_loop()
        is_sent = False
        try:
            message = await self.messages.of(lease, until=lambda: self._last_start(lease))
            lease.occurred_at = message.occurred_at
            async with self.places.one(lease), self.upstreams.use(claimed.target) as connector:
                now = loop.time()
                if now > self._last_start(lease):
                    return Outcome(OutcomeClass.unreachable, "not sent: too little of the lease was left"), False
                is_sent = True
                async with lease.bounding(now + self.attempt_seconds + _GRACE):
                    return await connector.send(_dispatch(claimed, message, lease.database_time(now))), True
        except (InvalidConnectorSettings, UnknownConnectorKind) as error:
            return Outcome(OutcomeClass.unreachable, f"not sent: {error}"), False
        except NothingToSend:
            raise
        except Exception as error:
            # Ours, or the connector's: recorded like any other failure, so that a person sees it and it is retried.
            tell_failure(error, "a delivery could not be sent", delivery=str(claimed.id))
            words = f"failed within the gateway: {type(error).__name__}"
            if is_sent:
                return Outcome(OutcomeClass.ambiguous, words), True
            return Outcome(OutcomeClass.unreachable, f"not sent, {words}"), False

    def _last_start(self, lease: Lease) -> float:
        """Sending must not start after this: as much of the lease has to be left as it takes to renew it."""
        return lease.ends - self.lease_seconds / 4


def _dispatch(claimed: Claimed, message: Message, attempted_at: datetime) -> Dispatch:
    return Dispatch(
        claimed.id,
        claimed.report,
        Event(claimed.event),
        message.body,
        message.media_type,
        message.occurred_at,
        attempted_at,
        message.provenance,
        message.query,
    )
