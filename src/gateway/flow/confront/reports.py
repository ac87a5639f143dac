"""Confront one report: its row, its bytes, its rows and what happened to it, with its entries and its receipt. Pure."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import zstandard
from joserfc.jwk import KeySet

from gateway.db.confronting import NIL, KeptEvent, KeptHead
from gateway.db.erasures import Erasure
from gateway.db.reading import KeptRow
from gateway.db.relays import KeptRelay
from gateway.db.signatures import KeptSignature
from gateway.domain.catalogue import Catalogue
from gateway.domain.entry import moment
from gateway.domain.exact import decode
from gateway.errors import GatewayError
from gateway.evidence.receipts import InvalidReceipt, verify_receipt
from gateway.evidence.signatures import MalformedSignature, read_signature
from gateway.flow.confront.contradiction import (
    Contradiction,
    Entry,
    Texts,
    differing,
    hashed,
    text_fault,
)
from gateway.flow.confront.reread import Rereading, kept_digest, rows_fault
from gateway.flow.show import decompress
from gateway.flow.unpack import READERS, kind_of

_RECEIVED = ("accepted", "corrected", "rejected")
_ENDED = ("returned", "withdrawn")
_MOST_BYTES = 1 << 30
"""No body is as large; one that says so was put there to take the memory."""
_NEAR = timedelta(minutes=5)
"""An event and its entry are of one transaction, which may have waited between the two."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A report as the tables have it, with all that hangs on it."""

    head: KeptHead
    events: Sequence[KeptEvent]
    payload: tuple[str, bytes] | None
    rows: Sequence[KeptRow]
    relay: KeptRelay | None
    signature: KeptSignature | None
    erasure: Erasure | None
    is_made_here: bool


@dataclass(slots=True)
class Told:
    """What the log tells of a report: how it was received, how it ended, and by which reports it was corrected."""

    received: Entry | None = None
    others: list[Entry] = field(default_factory=list)
    corrected: list[Entry] = field(default_factory=list)
    erased: Entry | None = None
    twice: Entry | None = None

    @classmethod
    def of(cls, report: str, entries: Sequence[Entry]) -> "Told":
        found = cls()
        for each in entries:
            if each.says.get("report") != report:
                found.corrected.append(each)
            elif each.what == "erased":
                found.erased = each
            elif each.what in _ENDED:
                found.others.append(each)
            elif each.what in _RECEIVED:
                found.twice = each if found.received is not None else None
                found.received = found.received or each
        return found

    @property
    def status(self) -> str | None:
        """What it must have become; None where its beginning is older than the log and nothing was told since."""
        whats = {each.what for each in self.others}
        if self.received is not None and self.received.what == "rejected":
            return "rejected"
        if "withdrawn" in whats:
            return "withdrawn"
        if self.corrected:
            return "superseded"
        if "returned" in whats:
            return "returned"
        return None if self.received is None else "accepted"

    @property
    def place(self) -> int | None:
        return None if self.received is None else self.received.place


@dataclass(frozen=True, slots=True)
class Witness:
    """What is confronted with besides entries: the public keys, since when there is a log, and storage keys' names."""

    keys: KeySet
    begun: datetime | None
    agencies: Mapping[int, str]
    forms: Mapping[int, str]

    def is_older(self, at: datetime | None) -> bool:
        """Whether something is older than the log, and so not in it."""
        return at is not None and self.begun is not None and at < self.begun


def name_of(report: object) -> str:
    return f"report {report}"


def confront_report(
    kept: Kept, told: Told, texts: Texts, witness: Witness, then: Catalogue, rereading: Rereading
) -> Iterator[Contradiction]:
    """Everything that contradicts; ``then`` is the catalogue that it was judged by."""
    about, head = name_of(kept.head.id), kept.head
    for words in _all(kept, told, texts, witness, then, rereading):
        yield Contradiction(about, told.place, words)
    if told.twice is not None:
        yield Contradiction(about, told.twice.place, f"it is {told.twice.what} a second time")
    if head.status != (told.status or head.status):
        last = next(iter(reversed([*told.others, *told.corrected])), told.received)
        place = None if last is None else last.place
        yield Contradiction(about, place, f"status is {head.status}, and by the log {told.status}")


def _all(
    kept: Kept, told: Told, texts: Texts, witness: Witness, then: Catalogue, rereading: Rereading
) -> Iterator[str]:
    head = kept.head
    found = _found(kept, witness)
    if told.received is not None:
        yield from _row_faults(kept, told.received.says, found, texts, is_erased=told.erased is not None)
        yield from _state_faults(kept)
    elif not witness.is_older(head.received_at):
        yield "the log has not that it came"
    yield from _receipt_faults(head, found, witness.keys)
    yield from _event_faults(kept, told, texts, witness)
    if told.erased is not None or kept.erasure is not None:
        yield from _erasure_faults(kept, told.erased, texts)
    else:
        yield from _byte_faults(kept, found, then, rereading)
    yield from _signature_faults(kept)


def _found(kept: Kept, witness: Witness) -> dict[str, object]:
    """A report's row in the words of the log."""
    head = kept.head
    return {
        "report": str(head.id),
        "agency": witness.agencies.get(head.agency_id),
        "form": witness.forms.get(head.form_id),
        "form_version": head.form_version,
        "period": head.period,
        "kind": head.kind,
        "revision": head.revision,
        "corrects": None if head.corrects is None else str(head.corrects),
        "late": head.late,
        "sha256": head.sha256.hex(),
        "receipt": hashed(head.receipt),
        "received_at": moment(head.received_at),
        "by": None if head.client_id == NIL else str(head.client_id),
        "first_receipt": None if kept.relay is None else hashed(kept.relay.receipt),
        "signature": None if kept.signature is None else hashed(kept.signature.jws),
        "period_start": head.period_start,
        "period_end": head.period_end,
        "nil": head.nil,
        "counted": head.counted,
        "reason": head.reason,
    }


_IN_ENTRIES = ("agency", "form", "form_version", "period", "kind", "revision", "corrects", "late", "sha256", "receipt")
_IN_BYTES = ("agency", "form", "form_version", "period", "period_start", "period_end", "kind", "nil", "counted")
_IN_RECEIPTS = ("report", "sha256", "agency", "form", "period", "kind", "revision", "received_at")


def _row_faults(
    kept: Kept, says: Mapping[str, Any], found: Mapping[str, object], texts: Texts, *, is_erased: bool
) -> Iterator[str]:
    expected = {name: says.get(name) for name in (*_IN_ENTRIES, "by", "first_receipt")}
    if not is_erased:
        expected["signature"] = says.get("signature")
    yield from differing(expected | {"received_at": says.get("at")}, found, "the log")
    if fault := text_fault("reason", says.get("reason"), kept.head.reason, texts):
        yield fault
    if kept.relay is not None:
        yield from _relay_faults(kept.relay)


def _relay_faults(relay: KeptRelay) -> Iterator[str]:
    """Columns beside a first receipt say what is in it; that it is the one that came, the log says."""
    try:
        claims = decode(base64.urlsafe_b64decode(relay.receipt.split(".")[1] + "=="))
        said = claims["iss"], claims["revision"], datetime.fromisoformat(claims["received_at"])
    except (ValueError, LookupError, TypeError):
        yield "its first receipt cannot be read"
        return
    if said != (relay.issuer, relay.revision, relay.received_at):
        yield "what is kept of its first receipt is not what that says"


def _receipt_faults(head: KeptHead, found: Mapping[str, object], keys: KeySet) -> Iterator[str]:
    """Nobody who has only the database can make a receipt: so one of a report that was never taken is not genuine."""
    if head.receipt is None:
        return
    try:
        claims = verify_receipt(head.receipt, keys)
    except (InvalidReceipt, ValueError) as error:
        yield f"its receipt is not genuine: {error}"
        return
    yield from differing({name: claims.get(name) for name in _IN_RECEIPTS}, found, "its receipt")
    if claims.get("part") != head.part:
        yield "part is not what its receipt says"


def _state_faults(kept: Kept) -> Iterator[str]:
    """By which transactions it came and ended decides what figures of the past it is in; events say the same."""
    head = kept.head
    if (head.ended_xid is None) != (head.status in {"accepted", "rejected"}):
        yield f"it is {head.status}, and {'not ' if head.ended_xid is None else ''}marked as ended"
    if head.status != "rejected" and all(each.xid != head.recorded_xid for each in kept.events[:1]):
        yield "its transaction is not the one of its first event"
    ends = [each.xid for each in kept.events if each.event in _ENDED]
    if ends and head.ended_xid not in ends[:1]:
        yield "the transaction that it ended by is not the one of the event"


def _event_faults(kept: Kept, told: Told, texts: Texts, witness: Witness) -> Iterator[str]:
    """The changes feed is made of events: each has its entry, and each entry its event."""
    expected = [] if told.received is None or told.received.what == "rejected" else [told.received]
    expected += told.others
    events = list(kept.events)
    if told.received is None:
        while len(events) > len(expected) and witness.is_older(events[0].at):
            del events[0]
    if [each.event for each in events] != [each.what for each in expected]:
        words = ", ".join(each.event for each in events) or "none"
        yield f"its events are {words}, and by the log {', '.join(each.what for each in expected) or 'none'}"
        return
    for event, entry in zip(events, expected, strict=True):
        says = entry.says
        replaces = says.get("corrects") if entry.what == "corrected" else None
        for name, ours, theirs in (
            ("client", says.get("by"), None if event.client_id == NIL else str(event.client_id)),
            ("connector", says.get("connector"), event.connector),
            ("what it replaces", replaces, None if event.replaces is None else str(event.replaces)),
        ):
            if ours != theirs:
                yield f"the {name} of its event '{event.event}' is not the one in the log"
        if not _is_near(event.at, says.get("at")):
            yield f"its event '{event.event}' has another time than in the log"
        if fault := text_fault(f"the reason of its event '{event.event}'", says.get("reason"), event.reason, texts):
            yield fault


def _is_near(at: datetime, said: object) -> bool:
    try:
        return abs(at - datetime.fromisoformat(str(said))) <= _NEAR
    except (ValueError, TypeError):
        return False


def _byte_faults(kept: Kept, found: Mapping[str, object], then: Catalogue, rereading: Rereading) -> Iterator[str]:
    """The bytes are those that were hashed, and what is kept beside them is what they say."""
    head = kept.head
    if kept.payload is None:
        yield "its bytes are not there"
        return
    media_type, compressed = kept.payload
    if (kind_of(media_type) in READERS) is (head.query is None):
        yield "what came with its bytes does not go with their notation"
    try:
        if not 0 <= zstandard.frame_content_size(compressed) <= _MOST_BYTES:
            raise zstandard.ZstdError("of no size that a body can have")
        body = decompress(compressed)
    except (zstandard.ZstdError, MemoryError):
        yield "its bytes cannot be read"
        return
    if hashlib.sha256(body).digest() != head.sha256:
        yield "its bytes are not those of its hash"
        return
    if head.status == "rejected":
        if kept.rows:
            yield f"it was rejected, and there are {len(kept.rows)} rows of it"
        return
    try:
        read = rereading.read(head, media_type, body, then, kept.is_made_here)
    except (GatewayError, LookupError, ValueError) as error:
        yield f"its bytes cannot be read again: {error}"
        return
    yield from differing({name: read.says[name] for name in _IN_BYTES}, found, "its bytes")
    if read.says["reason"] != head.reason:
        yield "reason is not what its bytes say"
    if read.says["explanations"] != decode(head.explanations.encode()):
        yield "explanations are not those in its bytes"
    if fault := rows_fault(read, kept.rows):
        yield fault


def _erasure_faults(kept: Kept, erased: Entry | None, texts: Texts) -> Iterator[str]:
    """What was erased is gone, and what stayed is what the log has the hash of."""
    if erased is None or kept.erasure is None:
        yield "it is erased, and by the log it is not" if erased is None else "by the log it is erased"
        return
    texts_left = [kept.head.reason, kept.head.query or None, *(text for row in kept.rows for text in row.texts or ())]
    is_gone = kept.payload is None and kept.signature is None and kept.head.explanations == "[]"
    if not is_gone or any(text is not None for text in texts_left):
        yield "it is erased, and not all of it is gone"
    try:
        is_same = kept_digest(kept.head, kept.rows) == erased.says.get("kept")
    except (ArithmeticError, AttributeError):
        is_same = False
    if not is_same:
        yield "what stayed of it is not what stayed by the log when it was erased"
    for name, text in (("reason", kept.erasure.reason), ("ordered_by", kept.erasure.by)):
        if fault := text_fault(f"{name} of its erasure", erased.says.get(name), text, texts):
            yield fault


def _signature_faults(kept: Kept) -> Iterator[str]:
    """Columns beside a signature say what is in it; that it is the one that came, the log says."""
    signature = kept.signature
    if signature is None:
        return
    try:
        signer = read_signature(signature.jws).signer
    except MalformedSignature:
        yield "its signature cannot be read"
        return
    if signer != signature.signer:
        yield "what is kept of its signature is not what that says"
