"""Confront deliveries: that each has ended as the log says, or has not ended. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.db.confronting import KeptDelivery, KeptEvent, KeptHead
from gateway.flow.confront.contradiction import Contradiction, Entry, differing, hashed
from gateway.flow.confront.reports import Witness

_ENDS = {
    "delivered": "delivered",
    "refused": "refused",
    "exhausted": "exhausted",
    "cancelled": "cancelled",
    "delivery-cancelled": "cancelled",
}
_BEGUN_AGAIN = frozenset({"delivery-retried", "delivery-reopened"})
_OPEN = frozenset({"pending", "sending"})
_TAKEN_UP = frozenset({"refused", "exhausted"})
"""What a retry of many takes up again."""


@dataclass(slots=True)
class Forwarding:
    """What the log tells of connectors that is about many deliveries at once.

    Of a connector that was removed, earlier versions recorded only how many deliveries ended with it.
    """

    retries: set[str] = field(default_factory=set)
    removed_with: Counter[str] = field(default_factory=Counter)
    bare: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Forwarding":
        found = cls()
        for each in entries:
            if each.what == "connector-retried":
                found.retries.add(str(each.says.get("intervention")))
            if each.what == "connector-removed" and isinstance(each.says.get("cancelled"), int):
                found.removed_with[str(each.says.get("connector"))] += each.says["cancelled"]
        return found

    def is_touched(self, kept: KeptDelivery) -> bool:
        """Whether it may have been begun again by a retry of many, which has one entry for all of them."""
        return any(str(each) in self.retries for each in kept.interventions)

    def is_removed_with(self, kept: KeptDelivery) -> bool:
        """Whether it may have ended with its connector without an entry of its own; it is counted then."""
        if kept.state != "cancelled" or not kept.is_removed or not self.removed_with[kept.connector]:
            return False
        self.bare[kept.connector] += 1
        return True

    def faults(self) -> Iterator[Contradiction]:
        """Of those that ended with their connector and have no entry each, that there are no more than were told."""
        for name, count in self.bare.items():
            if count > self.removed_with[name]:
                words = f"{count} deliveries ended with it, and by the log {self.removed_with[name]}"
                yield Contradiction(f"connector {name}", None, words)


def confront_deliveries(
    kept: Sequence[KeptDelivery],
    entries: Sequence[Entry],
    witness: Witness,
    forwarding: Forwarding,
    head: KeptHead | None = None,
    events: Sequence[KeptEvent] = (),
) -> Iterator[Contradiction]:
    """Everything that contradicts of the deliveries of one report (``head``), or of reminders."""
    told: dict[str, list[Entry]] = {}
    for each in entries:
        if each.what in _ENDS or each.what in _BEGUN_AGAIN:
            told.setdefault(str(each.says.get("delivery")), []).append(each)
    for each_kept in kept:
        own = told.pop(str(each_kept.id), [])
        about, place = f"delivery {each_kept.id}", own[-1].place if own else None
        for words in _faults(each_kept, own, witness, forwarding):
            yield Contradiction(about, place, words)
        if head is not None:
            for words in _key_faults(each_kept, head, events):
                yield Contradiction(about, place, words)
    for delivery, own in told.items():
        yield Contradiction(f"delivery {delivery}", own[-1].place, f"it is not there, and by the log {own[-1].what}")


def _faults(kept: KeptDelivery, own: Sequence[Entry], witness: Witness, forwarding: Forwarding) -> Iterator[str]:
    for each in own[-1:]:
        said = {name: each.says.get(name) for name in ("connector", "event")}
        if each.what == "delivered":
            said["receipt"] = each.says.get("receipt")
        yield from differing(said, _found(kept), "the log")
    last = own[-1].what if own else None
    expected = _ENDS.get(last or "")
    if expected is None:
        if kept.state in _OPEN or (last is None and witness.is_older(kept.finished_at)):
            return
        if not forwarding.is_removed_with(kept):
            yield f"it is {kept.state}, and by the log it has not ended"
    elif kept.state != expected:
        is_taken_up = expected in _TAKEN_UP and forwarding.is_touched(kept)
        if not is_taken_up or not (kept.state in _OPEN or forwarding.is_removed_with(kept)):
            yield f"it is {kept.state}, and by the log {expected}"


def _found(kept: KeptDelivery) -> Mapping[str, object]:
    return {"connector": kept.connector, "event": kept.event, "receipt": hashed(kept.receipt)}


def _key_faults(kept: KeptDelivery, head: KeptHead, events: Sequence[KeptEvent]) -> Iterator[str]:
    """It is of its report, and tells the reason that the report was ended for."""
    for name in ("agency_id", "form_id", "period", "kind"):
        if getattr(kept, name) != getattr(head, name):
            yield f"its {name.removesuffix('_id')} is not its report's"
    names = ("accepted", "corrected") if kept.event == "accepted" else (kept.event,)
    reasons = [each.reason for each in events if each.event in names]
    if not reasons:
        yield f"it is of an event '{kept.event}' that its report has not had"
    elif kept.event != "accepted" and kept.reason not in reasons:
        yield "its reason is not the event's"
