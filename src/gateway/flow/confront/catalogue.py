"""Confront the catalogue: every document that there ever was is the one that was recorded. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.db.confronting import KeptDocument
from gateway.domain.entry import digest
from gateway.domain.exact import decode
from gateway.flow.confront.contradiction import Contradiction, Entry, Texts, text_fault
from gateway.flow.confront.reports import Witness

Name = tuple[str, str, str, int]
"""Kind, code, variant and revision."""


@dataclass(slots=True)
class Documents:
    """What the log tells of documents of the catalogue: the hash of each; of an extension what it grants.

    ``revisions`` are those of which it tells; of each it tells every document.
    """

    told: dict[Name, tuple[int, str | Mapping[str, Any]]] = field(default_factory=dict)
    revisions: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Documents":
        found = cls()
        for each in entries:
            revision = each.says.get("revision")
            if each.what == "extended" and isinstance(revision, int):
                found.told["extension", str(each.says.get("id")), "", revision] = each.place, each.says
            if each.what == "catalogue-changed" and isinstance(revision, int):
                for document in each.says.get("documents") or ():
                    name = str(document["kind"]), str(document["code"]), str(document["variant"]), revision
                    found.told[name] = each.place, str(document["sha256"])
        found.revisions = {revision for *_, revision in found.told}
        return found

    def confront(self, kept: KeptDocument, texts: Texts, witness: Witness) -> Iterator[Contradiction]:
        """What contradicts of one document."""
        name = (kept.kind, kept.code, kept.variant, kept.revision)
        place, said = self.told.pop(name, (None, None))
        about = _about(name)
        if said is None:
            if kept.revision in self.revisions or not witness.is_older(kept.recorded_at):
                yield Contradiction(about, None, "the log has not that it was recorded")
            return
        document = decode(kept.document.encode())
        if isinstance(said, str):
            if digest(document) != said:
                yield Contradiction(about, place, "it is not the document that was recorded")
            return
        granted = {key: str(value) for key, value in document.items() if key != "reason"}
        if granted != {key: said.get(key) for key in granted}:
            yield Contradiction(about, place, "it does not grant what was recorded")
        if fault := text_fault("reason", said.get("reason"), document.get("reason"), texts):
            yield Contradiction(about, place, fault)

    def absent(self) -> Iterator[Contradiction]:
        """Documents that the log tells of, and that were not confronted."""
        for name, (place, _) in self.told.items():
            yield Contradiction(_about(name), place, "it is not there, and by the log it was recorded")


def _about(name: Name) -> str:
    kind, code, variant, revision = name
    return f"{kind} {code}{'/' if variant else ''}{variant} of catalogue revision {revision}"
