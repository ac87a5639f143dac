"""Receive reports: judge them against the database and store what was decided, or leave no trace.

However a report comes, alone or in a batch, it goes through ``receive``: two round trips and one commit for
all the pushes given. Pushes that arrive while others are being stored wait for the next turn and share it
(group commit), so that throughput rises with load and an idle gateway answers at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.base import Overtaken
from gateway.db.deadline import BRIEF_SECONDS
from gateway.db.engine import driver, is_outage
from gateway.db.intake import store
from gateway.db.known import KeyQuery, Standing, read_standing
from gateway.db.reading import find_answer, find_head
from gateway.db.subtree import seeing
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.report import Status
from gateway.errors import GatewayError, InternalError, Text, Unavailable
from gateway.flow.judge import (
    Answer,
    Decision,
    Knowledge,
    Known,
    Render,
    Replay,
    Revision,
    Sign,
    Stored,
    judge,
    verdict_on,
)
from gateway.flow.load import Catalogues
from gateway.flow.look_up import know, look_ups
from gateway.flow.prepare import Prepared, Push, prepare
from gateway.flow.reach import reach_of
from gateway.flow.record import entry_of
from gateway.flow.store import new_deliveries, new_keys, new_report
from gateway.flow.validate import Verdict

Reply = Answer | GatewayError

log = structlog.get_logger()

MAX_TOGETHER = 64
MOST_BYTES = 4 * 1024 * 1024
"""Of the pushes of one turn, but for a single larger one: so that a turn has an end that can be foreseen."""
_SLOWEST = 256 * 1024
"""Bytes of reports a second that are judged and stored at the very least."""
_TRIES = 8


@dataclass(slots=True)
class Intake:
    """The one way in. ``render`` makes the answer's bytes, which are stored with the report.

    ``forward`` is called when there is something new to forward; nothing depends on it but speed. ``count`` is told
    what became of pushes.
    """

    engine: AsyncEngine
    catalogues: Catalogues
    render: Render
    sign: Sign
    forward: Callable[[], None] = lambda: None
    count: Callable[[Sequence[Reply]], None] = lambda _: None
    turns: int = 2
    patience: float = BRIEF_SECONDS
    _waiting: list[tuple[Push, asyncio.Future[Reply], float]] = field(default_factory=list)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def receive(self, push: Push) -> Reply:
        """Receive one report, together with whichever others wait at that moment.

        The work goes on when the caller goes away: a report is stored whole or not at all.
        """
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((push, reply, loop.time() + self.patience))
        if sum(not each.done() for each in self._running) < self.turns:  # one that is over stays there for a moment
            task = asyncio.create_task(self._take_turns())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await reply

    async def drain(self) -> None:
        """Wait until nothing is being received."""
        await asyncio.gather(*self._running)

    async def _take_turns(self) -> None:
        while self._waiting:
            together = self._next()
            if not together:
                continue
            try:
                replies: Sequence[Reply] = await self.receive_all([push for push, _ in together])
            except Exception as error:
                for _, reply in together:
                    if not reply.cancelled():
                        reply.set_exception(error)
                continue
            for (_, reply), answer in zip(together, replies, strict=True):
                if not reply.cancelled():
                    reply.set_result(answer)

    def _next(self) -> list[tuple[Push, asyncio.Future[Reply]]]:
        """Those whose turn it is. Who waited for too long is told so: the turns before waited for a silent database."""
        now = asyncio.get_running_loop().time()
        late = [reply for _, reply, until in self._waiting if until < now]
        for reply in late:
            if not reply.cancelled():
                reply.set_exception(Unavailable(_NOT_STORED, retry_after=5))
        waiting = [each for each in self._waiting if each[2] >= now]
        count, size = 0, 0
        for push, _, _ in waiting[:MAX_TOGETHER]:
            size += len(push.body)
            if count and size > MOST_BYTES:
                break
            count += 1
        together, self._waiting = waiting[:count], waiting[count:]
        return [(push, reply) for push, reply, _ in together]

    def _seconds(self, pushes: Sequence[Push]) -> float:
        """How long storing may take before the database is taken for silent."""
        return self.patience + sum(len(push.body) for push in pushes) / _SLOWEST

    async def receive_all(self, pushes: Sequence[Push]) -> list[Reply]:
        """Receive reports in order; a later one sees what became of the earlier.

        Raises ``Unavailable`` when the database is away or did not say whether it committed.
        """
        try:
            for _ in range(_TRIES):
                catalogue = self.catalogues.held or await self.catalogues.newest()
                prepared = await _each(pushes, [partial(_prepare, push, catalogue) for push in pushes])
                able = [each for each in prepared if isinstance(each, Prepared)]
                try:
                    # Set anew: the task may be of a turn that another's push began.
                    with seeing(reach_of(pushes, able, catalogue.agencies)):
                        async with driver(self.engine, self._seconds(pushes)) as connection:
                            return await self._attempt(connection, catalogue, pushes, prepared)
                except Overtaken:
                    await self.catalogues.newest()
        except Exception as error:
            if is_outage(error):
                raise Unavailable(_UNKNOWN, retry_after=2) from error
            if len(pushes) == 1:
                raise
            return [await self._receive_alone(push) for push in pushes]
        raise Unavailable(_UNKNOWN, retry_after=1)

    async def _receive_alone(self, push: Push) -> Reply:
        """One of several pushes of which one cannot be stored: it shall not fail the others."""
        try:
            return (await self.receive_all([push]))[0]
        except GatewayError as refusal:
            return refusal
        except Exception as error:
            log.error("a report could not be stored", exc_info=error)
            return InternalError()

    async def _attempt(
        self,
        connection: Any,
        catalogue: Catalogue,
        pushes: Sequence[Push],
        prepared: Sequence[Prepared | GatewayError],
    ) -> list[Reply]:
        able = [each for each in prepared if isinstance(each, Prepared)]
        revision, knowledge = await _known(connection, catalogue, able)
        if revision != catalogue.revision:
            raise Overtaken("a newer catalogue")
        decisions = await _each(pushes, [partial(self._judge, each, knowledge) for each in prepared])
        new = [each for each in decisions if isinstance(each, Stored)]
        if new:
            deliveries = [delivery for each in new for delivery in new_deliveries(each, catalogue, _today())]
            reports = [new_report(each, catalogue) for each in new]
            keys = [key for each in new for key in new_keys(each)]
            await store(connection, catalogue.revision, reports, deliveries, keys, [entry_of(each) for each in new])
            if deliveries:
                self.forward()
        replies = [await self._reply(connection, each, catalogue) for each in decisions]
        self.count(replies)
        return replies

    def _judge(self, prepared: Prepared | GatewayError, knowledge: Knowledge) -> Decision:
        return judge(prepared, knowledge, self.render, self.sign) if isinstance(prepared, Prepared) else prepared

    async def _reply(self, connection: Any, decision: Decision, catalogue: Catalogue) -> Reply:
        match decision:
            case Stored():
                return decision.answer
            case Known():
                head = await find_head(connection, decision.report, catalogue)
                return self.render(head, 200, decision.language)
            case Replay(push=push):
                kept = await find_answer(connection, push.client, push.route, push.key or "")
                return Answer(kept.status, kept.body, kept.media_type, kept.location, replayed=True)
            case _:
                return decision


_UNKNOWN = Text(
    "Cơ sở dữ liệu tạm thời không phục vụ được; chưa rõ báo cáo đã được lưu hay chưa. "
    "Hãy gửi lại đúng nội dung này (cùng khóa Idempotency-Key nếu có): hệ thống không lưu trùng.",
    "The database is not available and it is not known whether the report was stored. "
    "Send the same bytes again (with the same Idempotency-Key, if any): nothing is stored twice.",
)


_NOT_STORED = Text(
    "Cơ sở dữ liệu không trả lời kịp; báo cáo trong yêu cầu này chưa được lưu. Hãy gửi lại.",
    "The database does not answer in time. The report of this request was not stored: send it again.",
)
_LARGE = 64 * 1024
"""Bytes of a push from which on it is judged beside the event loop, where others are served meanwhile."""
T = TypeVar("T")


async def _each(pushes: Sequence[Push], work: Sequence[Callable[[], T]]) -> list[T]:
    """Do for each push what takes long: in a thread where one is large, which for small ones would only be slower.

    Many small ones give way to others on the event loop after every so many bytes.
    """
    if any(len(push.body) > _LARGE for push in pushes):
        return await asyncio.to_thread(lambda: [act() for act in work])
    found, size = list[T](), 0
    for push, act in zip(pushes, work, strict=True):
        if size > _LARGE:
            await asyncio.sleep(0)
            size = 0
        found.append(act())
        size += len(push.body)
    return found


def _prepare(push: Push, catalogue: Catalogue) -> Prepared | GatewayError:
    try:
        return prepare(push, catalogue, _today())
    except GatewayError as refusal:
        return refusal


def _query(prepared: Prepared, catalogue: Catalogue) -> KeyQuery:
    return KeyQuery(
        catalogue.agencies.ids[prepared.agency],
        catalogue.form_ids[prepared.form.code],
        prepared.submission.kind.value,
        prepared.period.code,
        prepared.push.client,
        prepared.push.route,
        prepared.push.key,
        None if prepared.push.first is None else prepared.push.first.report,
    )


async def _known(connection: Any, catalogue: Catalogue, prepared: Sequence[Prepared]) -> tuple[int, Knowledge]:
    """What pushes are judged by, read from storage, and the newest revision of the catalogue at that moment."""
    wanted = list(dict.fromkeys(each for push in prepared for each in push.wanted))
    queries = [_query(each, catalogue) for each in prepared]
    standing = await read_standing(connection, queries, look_ups(wanted, catalogue))
    knowledge = _knowledge(catalogue, standing, prepared)
    know(knowledge.reports, standing.related, wanted, catalogue)
    return standing.catalogue, knowledge


def _knowledge(catalogue: Catalogue, standing: Standing, prepared: Sequence[Prepared]) -> Knowledge:
    knowledge = Knowledge(catalogue, standing.at, ids=set(standing.reports))
    for kept in standing.revisions:
        key = prepared[kept.n - 1].key
        known = knowledge.revisions.setdefault(key, [])
        if all(each.id != kept.id for each in known):
            digest = bytes.fromhex(kept.sha256)
            status = Status(kept.status)
            said = kept.query, kept.part
            known.append(
                Revision(kept.id, kept.revision, status, kept.late, digest, kept.returned_at, kept.relayed, said)
            )
    for used in standing.keys:
        push_of = prepared[used.n - 1].push
        name_of = (push_of.client, push_of.route, push_of.key or "")
        knowledge.keys[name_of] = bytes.fromhex(used.fingerprint)
    return knowledge


async def check(intake: Intake, push: Push) -> Verdict:
    """What validation would say of a push; nothing is stored. Raises as ``prepare`` does."""
    catalogue = await intake.catalogues.newest()
    [prepared] = await _each([push], [lambda: prepare(push, catalogue, _today())])
    async with driver(intake.engine) as connection:
        _, knowledge = await _known(connection, catalogue, [prepared])
    [verdict] = await _each([push], [lambda: verdict_on(prepared, knowledge)])
    return verdict


def _today() -> date:
    return civil_date(datetime.now(UTC))
