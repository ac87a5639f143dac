"""Promises broken on purpose: what the checker has to find, or it proves nothing.

Each control changes one thing inside the gateway's own processes, before they run. Nothing of it is in the product.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec

from gateway import worker
from gateway.connectors import connections, network, outcome, post, transport
from gateway.connectors.connector import Dispatch
from gateway.connectors.transport import NoReply, Reply
from gateway.db import changes, claims, engine, intake, recording
from gateway.db.engine import driver
from gateway.db.recording import NewAttempt
from gateway.domain.delivery import Outcome, OutcomeClass
from gateway.flow import receive, store
from gateway.flow.forward import Message
from gateway.flow.receive import Intake
from gateway.sending import attempt as sending
from gateway.sending import insist
from gateway.sending.messages import Messages

CONTROLS: dict[str, Callable[[], None]] = {}
"""By name, what breaks a promise; its docstring says how."""
_LATER = 0.3
"""Seconds after which that is done which should have been done before."""


def control(act: Callable[[], None]) -> Callable[[], None]:
    """Add a way to break a promise; underscores of its name are hyphens on the command line."""
    CONTROLS[act.__name__.replace("_", "-")] = act
    return act


def break_on_purpose(name: str) -> None:
    """Break a promise in this process. Raises ``KeyError`` for a promise that nobody knows how to break."""
    CONTROLS[name]()


def patch(owner: Any, name: str, new: object) -> None:
    """Put something in the place of a function, or of a text, that is there."""
    getattr(owner, name)
    setattr(owner, name, new)


def reword(owner: Any, name: str, old: str, new: str) -> None:
    """Change a part of a statement. Raises ``LookupError`` when the statement has no such part any more."""
    text = getattr(owner, name)
    if old not in text:
        raise LookupError(f"{name} has no part {old!r} to break")
    setattr(owner, name, text.replace(old, new))


def _store_later(change: Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]) -> None:
    """Store one part of what was decided before the answer, and another part after it."""
    original, attempt = intake.store, Intake._attempt
    engines: list[Any] = []
    tasks: set[asyncio.Task[None]] = set()

    async def noting(self: Intake, *given: Any) -> Any:
        engines[:] = [self.engine]
        return await attempt(self, *given)

    async def later(given: tuple[Any, ...]) -> None:
        await asyncio.sleep(_LATER)
        async with driver(engines[0]) as connection:
            await original(connection, *given)

    async def store(connection: Any, *given: Any) -> None:
        now, then = change(*given)
        if now:
            await original(connection, *now)
        task = asyncio.create_task(later(then))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    patch(Intake, "_attempt", noting)
    patch(receive, "store", store)


@control
def answers_before_commit() -> None:
    """The intake gives receipts for what it has yet to store."""
    _store_later(lambda *given: ((), given))


@control
def takes_silence_for_commit() -> None:
    """The intake gives receipts when PostgreSQL did not say whether it committed."""
    original = intake.store

    async def store(*given: Any) -> None:
        try:
            await original(*given)
        except Exception as error:
            if not engine.is_outage(error):
                raise

    patch(receive, "store", store)


@control
def never_polls() -> None:
    """A worker looks for deliveries only when it is told that there are some."""
    original = insist.wait

    async def wait(event: asyncio.Event, seconds: float) -> None:
        await original(event, max(seconds, 3600))

    patch(worker, "wait", wait)


@control
def outbox_after_commit() -> None:
    """Deliveries are written by a transaction of their own, after that of their reports."""

    def change(
        catalogue: int, reports: Any, deliveries: Any, keys: Any, entries: Any
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (catalogue, reports, [], keys, entries), (catalogue, [], deliveries, [], [])

    _store_later(change)


@control
def commits_asynchronously() -> None:
    """PostgreSQL says that it committed before that is on its disk."""
    engine._SESSION["synchronous_commit"] = "off"


@control
def flushes_nothing() -> None:
    """PostgreSQL leaves it to the operating system when something reaches the disk (``fsync`` is off).

    That is a setting of the server's, which the scenario that is about it turns off: nothing changes in the gateway.
    """


@control
def forwards_what_it_refused() -> None:
    """A rejected report gets deliveries like an accepted one."""
    original = store.new_deliveries

    def deliveries(stored: Any, *given: Any) -> Iterator[Any]:
        yield from original(replace(stored, head=msgspec.structs.replace(stored.head, revision=1)), *given)

    patch(receive, "new_deliveries", deliveries)


@control
def delivered_before_sent() -> None:
    """The worker records that a delivery was delivered, and then sends it."""
    original = sending.Sender.attempt

    async def attempt(self: Any, lease: Any) -> Any:
        now = lease.database_time(asyncio.get_running_loop().time())
        async with driver(self.messages.engine) as connection:
            taken = NewAttempt(now, now, "delivered", 200, "taken", None, "delivered", None)
            await recording.record_attempts(connection, [(lease.claimed, taken)])
        await asyncio.sleep(_LATER)
        return await original(self, lease)

    patch(sending.Sender, "attempt", attempt)


@control
def forgets_the_fence() -> None:
    """A worker records how its attempt ended whether or not the delivery is still its own."""
    reword(recording, "_RECORD", "AND d.claim = given.claim", "AND given.claim <> d.id")
    reword(recording, "_RECORD", "FROM ended\n)", "FROM ended ON CONFLICT DO NOTHING\n)")


@control
def never_takes_over() -> None:
    """What another worker was sending when it went away is left to it for ever."""
    reword(claims, "_LOOK", "state = 'sending' AND due_at <= now()", "state = 'sending' AND due_at <= '-infinity'")


@control
def waits_for_open_transactions() -> None:
    """What was stored while an earlier transaction is open is sent when that has ended, as if read in order."""
    due = "state = 'pending' AND due_at <= now()"
    closed = "age(xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)"
    reword(claims, "_LOOK", due, f"{due} AND {closed}")


@control
def never_sets_aside() -> None:
    """Nobody counts how many workers a delivery has cost."""
    reword(claims, "_LOOK", "d.losses + (d.state = 'sending')::int", "0")


@control
def overtakes() -> None:
    """A later report of a key is sent while an earlier one is still on its way."""
    reword(claims, "_LOOK", "d.report_id IS NOT NULL AND coalesce((", "false AND coalesce((")


@control
def renames_repeats() -> None:
    """Every attempt has another webhook-id."""

    def dispatch(delivery: object, *given: Any) -> Dispatch:
        return Dispatch(uuid4(), *given)

    patch(sending, "Dispatch", dispatch)


@control
def rewrites_repeats() -> None:
    """Every attempt has other bytes."""
    original = Messages.of

    async def of(*given: Any, **named: Any) -> Message:
        message = await original(*given, **named)
        return Message(message.body[:-1] + f', "attempt": "{uuid4()}"}}'.encode(), message.occurred_at)

    patch(Messages, "of", of)


@control
def takes_silence_for_yes() -> None:
    """A request that got no whole answer counts as delivered."""
    original = outcome.outcome_of

    def outcome_of(answer: Reply | NoReply, *given: Any) -> Outcome:
        if isinstance(answer, NoReply):
            return Outcome(OutcomeClass.delivered, answer.reason)
        return original(answer, *given)

    patch(post, "outcome_of", outcome_of)


@control
def reads_without_end() -> None:
    """An answer is read as far as it goes."""

    async def read(response: Any, _: int) -> bytes:
        return b"".join([part async for part in response.aiter_stream()])

    may_read = connections.Connection.may_read
    patch(connections.Connection, "may_read", lambda self, _: may_read(self, sys.maxsize))
    patch(transport, "_read", read)


@control
def looks_names_up_twice() -> None:
    """An address is checked, and then its name is connected to."""

    async def connect_tcp(self: Any, host: str, port: int, *given: Any) -> Any:
        await self._resolve(host, port)
        return await self._network.connect_tcp(host, port, *given)

    patch(network.CheckedNetwork, "connect_tcp", connect_tcp)


@control
def one_at_a_time() -> None:
    """A worker makes one attempt after another, so that a slow upstream makes all others wait."""
    original, turn = worker.Worker._forward, asyncio.Lock()

    async def forward_one(self: Any, lease: Any) -> None:
        async with turn:
            await original(self, lease)

    patch(worker.Worker, "_forward", forward_one)


@control
def passes_open_transactions() -> None:
    """The feed of changes goes on past transactions that are still open, and may still commit."""
    reword(
        changes,
        "_CHANGES",
        "events_until($1::text::xid8, $2::bigint, $3)",
        "(SELECT recorded_xid, seq, count(*) OVER () AS number FROM (SELECT recorded_xid, seq FROM report_events"
        " WHERE (recorded_xid, seq) > ($1::text::xid8, $2::bigint) ORDER BY recorded_xid, seq LIMIT $3) AS e"
        " ORDER BY recorded_xid DESC, seq DESC LIMIT 1) AS every",
    )
