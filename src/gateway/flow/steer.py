"""Steer deliveries: take them up again, or give them up.

``sees`` tells by a connector's ``under`` whether the operator may know of it; what he may not is not found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.connectors import lock_connector
from gateway.db.deliveries import KeptDelivery, cancel_delivery, find_delivery, hasten_delivery, reopen_delivery
from gateway.db.engine import clock, driver
from gateway.db.interventions import NewIntervention, add_intervention
from gateway.db.log import add_entries
from gateway.domain.delivery import DeliveryState
from gateway.domain.entry import new_entry
from gateway.errors import NotFound, StateConflict, Text

Sees: TypeAlias = Callable[[str | None], bool]
TAKEN_UP = "taken up again by an operator"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who does something to a connector or its deliveries, and why."""

    client: UUID
    reason: str | None = None


async def retry_delivery(engine: AsyncEngine, delivery: UUID, sees: Sees, cause: Cause) -> KeptDelivery:
    """Take up again a delivery that has ended without success; one that is pending becomes due.

    Raises ``StateConflict`` when it is being sent or delivered, or a later one of its key has passed it.
    """
    async with driver(engine) as connection, connection.transaction():
        kept = await _hold(connection, delivery, sees)
        if kept.state == DeliveryState.pending:
            await hasten_delivery(connection, delivery)
        elif kept.is_removed or not await reopen_delivery(connection, delivery, words_of(TAKEN_UP, cause)):
            raise _conflict(kept)
        await _note(connection, kept, "retry", "delivery-retried", cause)
        return await _hold(connection, delivery, sees)


async def give_up_delivery(engine: AsyncEngine, delivery: UUID, sees: Sees, cause: Cause) -> KeptDelivery:
    """Cancel a delivery; doing it again changes nothing.

    Raises ``StateConflict`` when it is being sent or delivered.
    """
    async with driver(engine) as connection, connection.transaction():
        before = await _hold(connection, delivery, sees)
        await cancel_delivery(connection, delivery, words_of("cancelled by an operator", cause))
        kept = await _hold(connection, delivery, sees)
        if kept.state != DeliveryState.cancelled:
            raise _conflict(kept)
        if before.state != DeliveryState.cancelled:
            await _note(connection, kept, "cancel", "delivery-cancelled", cause)
        return kept


async def _note(connection: Any, kept: KeptDelivery, act: str, what: str, cause: Cause) -> None:
    """Keep who did something to a delivery, and why, and have the log record it."""
    await add_intervention(connection, NewIntervention(kept.connector_id, act, cause.client, cause.reason), kept.id)
    about = {"delivery": str(kept.id), "connector": kept.connector, "event": kept.event}
    texts = {"reason": cause.reason}
    at = await clock(connection)
    await add_entries(connection, [new_entry(what, at, cause.client, about, report=kept.report_id, texts=texts)])


async def _hold(connection: Any, delivery: UUID, sees: Sees) -> KeptDelivery:
    """A delivery, with its connector locked so that no worker claims it meanwhile."""
    kept = await find_delivery(connection, delivery)
    if kept is None or not sees(kept.under):
        raise NotFound()
    await lock_connector(connection, kept.connector_id)
    return await find_delivery(connection, delivery) or kept


def _conflict(kept: KeptDelivery) -> StateConflict:
    state = kept.state
    if kept.is_removed:
        reason = Text("kết nối đã bị gỡ bỏ", "its connector was removed")
    elif state in {DeliveryState.sending, DeliveryState.delivered}:
        reason = Text(f"trạng thái là {state}", f"it is {state}")
    else:
        reason = Text(
            "một lần gửi sau của cùng báo cáo đã hoặc có thể đã tới nơi",
            "a later delivery of the same report has arrived, or may have",
        )
    detail = Text(f"Không thực hiện được: {reason.vi}.", f"This cannot be done: {reason.en}.")
    return StateConflict(detail, extra={"state": state})


def words_of(what: str, cause: Cause) -> str:
    """What is said of a delivery that an operator changed."""
    return f"{what}: {cause.reason}" if cause.reason else what
