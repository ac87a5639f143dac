"""The ledger: what was sent to the gateway, what it answered, what arrived upstream and what was done to it.

It is kept outside the gateway, by those who send and by those who receive, and only ever added to. Times are seconds
of this machine's clock.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """One line of the ledger."""

    at: float = msgspec.field(default_factory=time.time)


class Began(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What the lines after this are of. ``lease`` and ``attempt`` are the longest they last, in seconds; ``broken`` is
    the promise broken on purpose."""

    scenario: str
    seed: int
    turn: int
    lease: float
    attempt: float
    broken: str | None = None


class Connected(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An upstream that takes reports of an agency and all below it (None: of all).

    ``ends`` are the states its deliveries may end in, ``outcomes`` those its attempts may come to (None: any).
    """

    name: str
    under: str | None = None
    ends: Sequence[str] = ("delivered",)
    outcomes: Sequence[str] | None = None


class Sent(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A request that is about to be made: a report, or that one is returned or withdrawn (``about`` which).

    A request that is repeated keeps its number. ``key`` is agency, form, period and kind of the report; ``sha256`` is
    over its bytes.
    """

    push: int
    event: str
    key: tuple[str, str, str, str]
    sha256: str | None = None
    about: str | None = None


class Answered(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a request, and what it says of the report."""

    push: int
    status: int
    report: str | None = None
    sha256: str | None = None
    revision: int | None = None
    receipt: str | None = None


class Unanswered(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A request without a whole answer: nobody knows yet what became of it."""

    push: int
    reason: str


class Arrived(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A whole request that reached an upstream: its ``number``-th. ``sha256`` is over the body that arrived."""

    connector: str
    number: int
    delivery: str
    repeat_key: str
    sha256: str
    event: str
    report: str
    revision: int | None = None
    report_sha256: str | None = None


class Replied(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What an upstream answered to an arrival; without a status the connection ended without an answer."""

    connector: str
    number: int
    status: int | None


class Fault(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was done to the system. ``delivery``: the one that was being sent and has to be sent again."""

    what: str
    who: str
    delivery: str | None = None


class Observed(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The state in which a delivery was seen."""

    delivery: str
    state: str


class Measured(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A figure that has to be at most so much."""

    what: str
    value: float
    most: float


class Followed(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A copy that was kept by following the feed of changes, once there was nothing more in it.

    ``counted`` are the reports that count by the copy, with revision and digest; ``repeated`` how many changes it was
    told more than once. ``figures`` are added up from the copy, ``answered`` is what the gateway says of the same.
    """

    counted: Sequence[tuple[str, int, str]]
    repeated: int
    figures: Mapping[str, int]
    answered: Mapping[str, int]


Line = Began | Connected | Sent | Answered | Unanswered | Arrived | Replied | Fault | Observed | Measured | Followed
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Ledger:
    """The ledger of one run, as lines of JSON in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, line: Line) -> None:
        """Add a line."""
        self._file.write(_encode(line) + b"\n")

    def lines(self) -> list[Line]:
        """All that was written so far."""
        return list(read(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read(path: Path) -> Iterable[Line]:
    """The lines of a ledger, oldest first."""
    with path.open("rb") as lines:
        for line in lines:
            yield _decode(line)
