"""Record: what the log says of a report that was judged. Pure."""

import hashlib

from gateway.domain.entry import NewEntry, new_entry
from gateway.flow.judge import Stored


def entry_of(stored: Stored) -> NewEntry:
    """That a report was accepted, corrected another one, or was rejected; all that its receipt says is in it."""
    prepared, head = stored.prepared, stored.head
    submission, first = prepared.submission, prepared.push.first
    what = "rejected" if head.revision is None else "accepted" if head.corrects is None else "corrected"
    about: dict[str, object] = {
        "agency": head.agency,
        "form": head.form,
        "form_version": head.form_version,
        "period": head.period,
        "kind": head.kind.value,
        "revision": head.revision,
        "corrects": None if head.corrects is None else str(head.corrects),
        "late": head.late,
        "sha256": head.sha256,
        "receipt": None if head.receipt is None else _hash(head.receipt),
    }
    if first is not None:
        about["first_receipt"] = _hash(first.receipt)
    if prepared.push.signature is not None:
        about["signature"] = _hash(prepared.push.signature.jws)
    return new_entry(
        what, head.received_at, prepared.push.client, about, report=head.id, texts={"reason": submission.reason}
    )


def _hash(signed: str) -> str:
    return hashlib.sha256(signed.encode()).hexdigest()
