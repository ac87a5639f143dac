"""Note what a change of the catalogue was: the log's entries of it. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from gateway.db.catalogue import Entry
from gateway.domain.entry import NewEntry, digest, new_entry

_TOGETHER = 100
"""How many documents one entry names."""


def entries_of(revision: int, at: datetime, new: Sequence[Entry], client: UUID | None) -> list[NewEntry]:
    """What the log has of a revision: the hash of each document; of an extension what it grants, and to whom."""
    return [*_documents(revision, at, new, client), *_extensions(revision, at, new, client)]


def _documents(revision: int, at: datetime, new: Sequence[Entry], client: UUID | None) -> Iterator[NewEntry]:
    documents = [
        {"kind": each.kind, "code": each.code, "variant": each.variant, "sha256": digest(each.document)}
        for each in new
        if each.kind != "extension"
    ]
    for start in range(0, len(documents), _TOGETHER):
        about = {"revision": revision, "documents": documents[start : start + _TOGETHER]}
        yield new_entry("catalogue-changed", at, client, about)


def _extensions(revision: int, at: datetime, new: Sequence[Entry], client: UUID | None) -> Iterator[NewEntry]:
    """A reason is a person's words, so it is not in a hash that could be guessed."""
    for each in new:
        if each.kind == "extension":
            about = {name: str(value) for name, value in each.document.items() if name != "reason"}
            texts = {"reason": each.document["reason"]}
            yield new_entry("extended", at, client, {"revision": revision, **about}, texts=texts)
