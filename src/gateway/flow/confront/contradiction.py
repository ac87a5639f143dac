"""Contradictions: what a table says, and the log, or the bytes that the log vouches for, does not. Pure."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.db.confronting import WAITING, Told
from gateway.domain.entry import commitment
from gateway.domain.exact import decode


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What it is about, in the words of the log, by which entry it is known (None: by none), and what is wrong.

    Nothing that a person wrote is in it.
    """

    about: str
    place: int | None
    words: str

    def __str__(self) -> str:
        return f"{self.about}{_named(self.place)}: {self.words}"


def _named(place: int | None) -> str:
    if place is None:
        return ""
    return f" (entry {place})" if place < WAITING else " (an entry that waits to be sealed)"


class Entry(NamedTuple):
    """An entry that could be read."""

    place: int
    says: Mapping[str, Any]

    @property
    def what(self) -> str:
        return str(self.says.get("what"))


def read_entries(about: str, told: Sequence[Told]) -> tuple[list[Entry], list[Contradiction]]:
    """Entries as what they say; one that is not strict JSON says nothing."""
    entries: list[Entry] = []
    wrong: list[Contradiction] = []
    for each in told:
        try:
            says = decode(each.entry)
        except ValueError:
            says = None
        if isinstance(says, dict):
            entries.append(Entry(each.place, says))
        else:
            wrong.append(Contradiction(about, each.place, "the entry cannot be read"))
    return entries, wrong


def differing(expected: Mapping[str, object], found: Mapping[str, object], by: str) -> Iterator[str]:
    """What differs, by name: what the table says, and what ``by`` (the log, the bytes) says."""
    for name, value in expected.items():
        if found.get(name) != value:
            yield f"{name} is {_shown(found.get(name))}, and by {by} {_shown(value)}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def hashed(text: str | None) -> str | None:
    """How an entry names what was signed: by its hash."""
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


Texts = Mapping[bytes, tuple[bytes, str]]
"""Salts and texts beside the log, by what entries have of them."""


def text_fault(name: str, committed: object, text: str | None, texts: Texts) -> str | None:
    """What is wrong with a text, by what the log has of it. One that was erased in both places is as it should be."""
    if committed is None:
        return None if text is None else f"{name} is not empty, and by the log there was none"
    kept = texts.get(as_bytes(committed))
    if kept is None:
        return None if text is None else f"{name} cannot be checked: its salt is gone, and the text is not"
    salt, own = kept
    if commitment(salt, own).hex() != committed:
        return f"{name} is not the one that was recorded, nor is its copy beside the log"
    return None if own == text else f"{name} is not the one that was recorded"


def commitments_in(entries: Sequence[Entry], *names: str) -> set[bytes]:
    """What entries have of texts, under some names."""
    return {as_bytes(each.says[name]) for each in entries for name in names if isinstance(each.says.get(name), str)} - {
        b""
    }


def read_json(kept: object) -> Any:
    """What a column of JSON holds, which the driver gives as its text."""
    return decode(kept.encode()) if isinstance(kept, str) else kept


def as_bytes(committed: object) -> bytes:
    """What an entry has of a text, as the text is filed by; empty where it has none."""
    try:
        return bytes.fromhex(str(committed))
    except ValueError:
        return b""
