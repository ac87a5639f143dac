"""Look at the figures as they are, or as they were in a state that is named by a token or a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.state import State, UnknownState, Unsettled, find_state, settle, snapshot
from gateway.domain.as_of import AsOf, Time
from gateway.domain.catalogue import Catalogue
from gateway.errors import MalformedRequest, Place, Text, Unavailable
from gateway.flow.load import Catalogues
from gateway.flow.reach import consider

_WAIT_SECONDS = 10.0
"""How long a time is waited for, and the writes that were begun before it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A state, with the catalogue that held in it."""

    state: State
    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class Opened:
    """An open snapshot, what is looked at in it, and the state before, where changes since that are asked for."""

    connection: Any
    state: State
    catalogue: Catalogue
    before: Picture | None = None


@asynccontextmanager
async def look(
    engine: AsyncEngine, catalogues: Catalogues, as_of: AsOf | None, since: AsOf | None = None
) -> AsyncIterator[Opened]:
    """Open a state, None being that of now, for as long as the block runs.

    Raises ``MalformedRequest`` for a name that no state has, and ``Unavailable`` while a write begun before the time
    that is asked for stays open.
    """
    await _settle(engine, as_of, "as_of")
    await _settle(engine, since, "updated_after")
    known = {} if catalogues.held is None else {catalogues.held.revision: catalogues.held}
    while True:
        async with snapshot(engine) as connection:
            state = await _found(connection, as_of, "as_of")
            before = None if since is None else await _found(connection, since, "updated_after")
            missing = {each.revision for each in (state, before) if each is not None} - known.keys()
            if not missing:
                earlier = None if before is None else Picture(before, known[before.revision])
                yield Opened(connection, state, known[state.revision], earlier)
                return
        # Read with no connection held: whoever holds one and waits for another can wait for ever.
        for revision in missing:
            known[revision] = await catalogues.at(revision)
            consider(known[revision])


async def _settle(engine: AsyncEngine, name: AsOf | None, parameter: str) -> None:
    if not isinstance(name, Time):
        return
    try:
        await settle(engine, name.at, _WAIT_SECONDS)
    except UnknownState:
        raise _unknown(parameter) from None
    except Unsettled:
        raise Unavailable(
            Text(
                "Còn giao dịch ghi bắt đầu trước thời điểm này chưa kết thúc.",
                "A write that was begun before this time has not ended.",
            ),
            retry_after=1,
        ) from None


async def _found(connection: Any, name: AsOf | None, parameter: str) -> State:
    try:
        return await find_state(connection, name)
    except UnknownState:
        raise _unknown(parameter) from None


def _unknown(parameter: str) -> MalformedRequest:
    message = Text(
        f"{parameter} không phải trạng thái của hệ thống này, hoặc ở tương lai.",
        f"{parameter} is no state of this gateway, or lies in the future.",
    )
    return MalformedRequest(message, errors=[Place(parameter, message)])
