"""Entries of the log: what each change of state is recorded as, and in which bytes. Pure.

Nothing personal goes in. A text that a person wrote (a reason, a name) is *committed* to: the entry has the hash of a
salt and the text, which are kept beside the log. Whoever is shown both can check them; once they are erased, the hash
says nothing, and every proof is as good as before.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

_SALT_BYTES = 16
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")
"""Writes what ``canonical`` takes as RFC 8785 has it (the tests compare), in a thirtieth of the time."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A text beside the log, and the salted hash of it that is in the log."""

    commitment: bytes
    salt: bytes
    text: str


class NewEntry(NamedTuple):
    """An entry to be recorded: its bytes, the report that it is about, and the texts that it commits to."""

    entry: bytes
    report: UUID | None = None
    texts: tuple[Committed, ...] = ()


def commit(text: str) -> Committed:
    """A text with a new salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return Committed(commitment(salt, text), salt, text)


def commitment(salt: bytes, text: str) -> bytes:
    return hashlib.sha256(salt + text.encode()).digest()


def canonical(document: Mapping[str, object]) -> bytes:
    """The bytes of a document of strings, integers, booleans, nulls, arrays and objects with ASCII names (RFC 8785).

    UUIDs are strings as RFC 9562 has them. Numbers with a fraction are written with every digit, which RFC 8785 would
    not; no entry has any.
    """
    return _encoder.encode(document)


def digest(document: Mapping[str, object]) -> str:
    """The hash by which an entry names a document that is kept elsewhere."""
    return hashlib.sha256(canonical(document)).hexdigest()


def moment(at: datetime) -> str:
    """A time as entries have it: RFC 3339 in UTC, to the microsecond."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    if at.microsecond == 0:  # which the encoder would leave out
        return f"{at:%Y-%m-%dT%H:%M:%S}.000000Z"
    return _encoder.encode(at)[1:-1].decode()


def new_entry(
    what: str,
    at: datetime,
    by: UUID | None,
    about: Mapping[str, object],
    *,
    report: UUID | None = None,
    texts: Mapping[str, str | None] | None = None,
) -> NewEntry:
    """That something was done, when, and by which client (None or the nil UUID: by the gateway itself, or by command).

    ``texts`` are those that a person wrote, by the name their commitment has in the entry.
    """
    committed = {name: commit(text) for name, text in texts.items() if text is not None} if texts else {}
    entry = {"what": what, "at": moment(at), "by": None if by is None or not by.int else by, **about}
    if report is not None:
        entry["report"] = report
    for name, each in committed.items():
        entry[name] = each.commitment.hex()
    return NewEntry(canonical(entry), report, tuple(committed.values()))
