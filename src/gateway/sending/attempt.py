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
from gateway.upstreams import Upstreams

_EVENTS = {each.value: each for each in Event}
_GRACE = 1.0
"""Seconds beyond its deadline after which an attempt is ended whatever its connector does."""


class Attempted(NamedTuple):
    """What an attempt came to, and when by the loop's clock. ``is_sent``: it reached for the upstream."""

    outcome: Outcome
    is_sent: bool
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Sender:
    """Makes attempts of so many seconds, under leases of so many."""

    messages: Messages
    upstreams: Upstreams
    attempt_seconds: float
    lease_seconds: float

    async def attempt(self, lease: Lease) -> Attempted:
        """Make one attempt. Raises ``NothingToSend``; any failure but that is what the attempt came to."""
        claimed, loop = lease.claimed, asyncio.get_running_loop()
        started, is_sent = loop.time(), False
        try:
            message = await self.messages.of(lease, until=lambda: self._last_start(lease))
            lease.occurred_at = message.occurred_at
            async with self.upstreams.use(claimed.target) as connector:
                started = loop.time()
                is_sent = started <= self._last_start(lease)
                if is_sent:
                    sending = connector.send(_dispatch(claimed, message, lease.database_time(started)))
                    outcome = await lease.sent(sending, at_most=started + self.attempt_seconds + _GRACE)
                else:
                    outcome = Outcome(OutcomeClass.unreachable, "not sent: too little of the lease was left")
        except (InvalidConnectorSettings, UnknownConnectorKind) as error:
            outcome, is_sent = Outcome(OutcomeClass.unreachable, f"not sent: {error}"), False
        except NothingToSend:
            raise
        except Exception as error:
            # Ours, or the connector's: recorded like any other failure, so that a person sees it and it is retried.
            tell_failure(error, "a delivery could not be sent", delivery=str(claimed.id))
            words = f"failed within the gateway: {type(error).__name__}"
            if is_sent:
                outcome = Outcome(OutcomeClass.ambiguous, words)
            else:
                outcome = Outcome(OutcomeClass.unreachable, f"not sent, {words}")
        return Attempted(outcome, is_sent, started, loop.time())

    def _last_start(self, lease: Lease) -> float:
        """Sending must not start after this: as much of the lease has to be left as it takes to renew it."""
        return lease.ends - self.lease_seconds / 4


def _dispatch(claimed: Claimed, message: Message, attempted_at: datetime) -> Dispatch:
    return Dispatch(
        claimed.id,
        claimed.report,
        _EVENTS[claimed.event],
        message.body,
        message.media_type,
        message.occurred_at,
        attempted_at,
        message.provenance,
        message.query,
    )
