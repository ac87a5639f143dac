"""A link to PostgreSQL that knows its messages, so that a fault can strike at any step between a process and its data.

Frontend/backend protocol 3: https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import sqlalchemy as sa

from proofs.faults.link import Address, Cut, Link, Relay, Way

_ENCRYPTION = (80877103, 80877104)  # SSLRequest and GSSENCRequest: both may be answered with N, "go on in the clear"


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, ``kind`` being its type's letter, or empty for the first that a client sends.

    ``statement`` is the SQL text that it belongs to: what the client asked since the last Sync, or the server answers
    up to ReadyForQuery. ``is_run`` unless it has only been parsed so far; ``has_rows`` from the first row answered on.
    """

    way: Way
    kind: str
    data: bytes
    statement: str = ""
    is_run: bool = False
    has_rows: bool = False


class Fate(Enum):
    """What becomes of a message: handed over, kept back for ever, or it takes the connection with it."""

    forward = "forward"
    swallow = "swallow"
    drop = "drop"


Matcher = Callable[[Message], bool]
Action = Callable[[Message], Awaitable[Fate]]


@dataclass(slots=True)
class Rule:
    """What is to happen to messages that match: ``skip`` times nothing, then ``times`` (None: always) the action.

    ``last`` names the kind of message that ends one such time; without it, each message that matches is one.
    """

    matches: Matcher
    act: Action
    skip: int = 0
    times: int | None = 1
    last: str = ""
    seen: int = 0
    """How many matched, or came to their end, so far."""
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the action is taken for the first time, and with ``last`` when that comes."""

    async def meet(self, message: Message) -> Fate:
        if not self.matches(message):
            return Fate.forward
        number = self.seen
        if not self.last or message.kind == self.last:
            self.seen += 1
        if number < self.skip or (self.times is not None and number >= self.skip + self.times):
            return Fate.forward
        if self.seen > number:
            self.struck.set()
        return await self.act(message)


class Wire(Link):
    """A link to PostgreSQL. Connections go unencrypted, whatever the client would prefer."""

    def __init__(self, server: Address, seed: int = 0) -> None:
        super().__init__(server, seed)
        self.rules: list[Rule] = []
        self.messages = 0
        """How many messages came, in both directions."""

    def when(self, matches: Matcher, act: Action, *, skip: int = 0, times: int | None = 1, last: str = "") -> Rule:
        """Add a rule (see there)."""
        rule = Rule(matches, act, skip, times, last)
        self.rules.append(rule)
        return rule

    def lose_answer(self, what: str | Matcher, *, skip: int = 0, times: int | None = 1) -> Rule:
        """Let the server carry out a statement (see ``answer_to``), and the connection break before it says so.

        Where the statement is a transaction of its own, or COMMIT, that is a commit whose answer is lost.
        """

        async def lose(message: Message) -> Fate:
            return Fate.drop if message.kind == "Z" else Fate.swallow

        return self.when(answer_to(what), lose, skip=skip, times=times, last="Z")

    def url(self, url: str) -> str:
        """A database's address, by way of this link."""
        through = sa.make_url(url).set(host="127.0.0.1", port=self.port, query={})
        return through.render_as_string(hide_password=False)

    def _relay(self) -> Relay:
        return _Session(self)


def server_of(url: str) -> Address:
    """Where the server of a database's address listens."""
    found = sa.make_url(url)
    host = found.host or str(found.query.get("host", "127.0.0.1"))
    port = found.port or int(str(found.query.get("port", 5432)))
    return Path(host) / f".s.PGSQL.{port}" if host.startswith("/") else (host, port)


def boundary(way: Way, kinds: str = "") -> Matcher:
    """Every message of a direction, or those of some kinds."""
    return lambda message: message.way is way and (not kinds or (message.kind != "" and message.kind in kinds))


def order_of(what: str | Matcher) -> Matcher:
    """The client's order to carry out a statement that contains a text, before the server has it."""
    is_meant = _statement(what)
    return lambda message: message.way is Way.to_server and message.kind in {"E", "Q"} and is_meant(message)


def answer_to(what: str | Matcher) -> Matcher:
    """Everything that the server says of a statement that contains a text, up to that it is ready for another.

    The first of it is the moment when the statement was handed over and its answer was not; ReadyForQuery (Z) is the
    one that confirms a commit, since an implicit transaction ends no earlier.
    """
    is_meant = _statement(what)
    return lambda message: message.way is Way.to_client and message.is_run and is_meant(message)


def _statement(what: str | Matcher) -> Matcher:
    if callable(what):
        return what
    text = what
    return lambda message: text in message.statement


def with_rows(what: str) -> Matcher:
    """A statement that contains a text, once it has been answered with a row: one that did something."""
    return lambda message: what in message.statement and message.has_rows


def notification(message: Message) -> bool:
    """A notification that the server sends to a listener."""
    return message.way is Way.to_client and message.kind == "A"


async def forward(message: Message) -> Fate:
    """Hand the message over: the rule only takes note."""
    return Fate.forward


async def drop(message: Message) -> Fate:
    """End the connection instead."""
    return Fate.drop


async def swallow(message: Message) -> Fate:
    """Keep the message back."""
    return Fate.swallow


def hold(until: asyncio.Event, then: Fate = Fate.forward) -> Action:
    """Keep the message, and all behind it, until something happens."""

    async def act(message: Message) -> Fate:
        await until.wait()
        return then

    return act


def calling(act: Callable[[], Awaitable[object]], then: Fate = Fate.forward) -> Action:
    """Do something, such as killing a process, before the message is handed over or not."""

    async def call(message: Message) -> Fate:
        await act()
        return then

    return call


@dataclass(slots=True)
class _Exchange:
    """What goes to and fro up to one Sync and its ReadyForQuery."""

    statement: str = ""
    is_run: bool = False
    has_rows: bool = False


class _Session(Relay):
    """The messages of one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._kept = {way: bytearray() for way in Way}
        self._is_open = False
        self._statements: dict[bytes, str] = {}
        self._asking: _Exchange | None = None
        self._exchanges: deque[_Exchange] = deque()

    async def through(self, way: Way, data: bytes) -> AsyncIterator[tuple[Way, bytes]]:
        self._kept[way] += data
        while (kind_and_data := self._next(way)) is not None:
            kind, whole = kind_and_data
            if not kind and _code(whole) in _ENCRYPTION:
                yield Way.to_client, b"N"
                continue
            message = self._understood(way, kind, whole)
            self._wire.messages += 1
            if await self._fate(message) is Fate.forward:
                yield way, whole
        if not data:
            yield way, bytes(self._kept[way])

    def _next(self, way: Way) -> tuple[str, bytes] | None:
        """Take the next whole message of a direction, if it is there."""
        kept = self._kept[way]
        is_first = way is Way.to_server and not self._is_open
        head = 4 if is_first else 5
        if len(kept) < head:
            return None
        length = struct.unpack_from("!I", kept, head - 4)[0] + head - 4
        if len(kept) < length:
            return None
        whole = bytes(kept[:length])
        del kept[:length]
        if is_first and _code(whole) not in _ENCRYPTION:
            self._is_open = True
        return ("" if is_first else chr(whole[0])), whole

    def _understood(self, way: Way, kind: str, whole: bytes) -> Message:
        exchange = self._asked(kind, whole[5:]) if way is Way.to_server else self._answered(kind)
        return Message(way, kind, whole, exchange.statement, exchange.is_run, exchange.has_rows)

    def _asked(self, kind: str, content: bytes) -> _Exchange:
        if not kind or kind in "pX":  # the start, a password, the end
            return _Exchange()
        if self._asking is None:
            self._asking = _Exchange()
            self._exchanges.append(self._asking)
        exchange = self._asking
        if kind == "P":
            name, text = content.split(b"\0", 2)[:2]
            exchange.statement = self._statements[name] = text.decode()
        elif kind == "B":
            exchange.statement = self._statements.get(content.split(b"\0", 2)[1], "")
        elif kind == "Q":
            exchange.statement = content[:-1].decode()
        exchange.is_run = exchange.is_run or kind in "EQ"
        if kind in "SQ":
            self._asking = None
        return exchange

    def _answered(self, kind: str) -> _Exchange:
        if not self._exchanges:
            return _Exchange()
        if kind == "A":  # comes of itself, between answers
            return _Exchange()
        if kind == "D":
            self._exchanges[0].has_rows = True
        return self._exchanges.popleft() if kind == "Z" else self._exchanges[0]

    async def _fate(self, message: Message) -> Fate:
        for rule in self._wire.rules:
            fate = await rule.meet(message)
            if fate is Fate.drop:
                raise Cut
            if fate is Fate.swallow:
                return fate
        return Fate.forward


def _code(first: bytes) -> int:
    """What the first message of a client asks for: a protocol version, encryption, or to cancel."""
    code: int = struct.unpack_from("!I", first, 4)[0]
    return code
