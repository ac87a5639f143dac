"""What arrived at the sandbox, and what a careful receiver checks of it."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import jiter
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from gateway.domain.delivery import Event
from gateway.sandbox.behaviour import Behaviour
from gateway.sandbox.relayed import NotARelay, Stamp, kind_of, read_relayed

TOLERANCE = timedelta(minutes=5)
"""How far a `webhook-timestamp` may lie from the clock here, as Standard Webhooks recommends."""


class Notice(BaseModel):
    """The body for a report that was returned or withdrawn."""

    report: UUID
    event: Event


class Shown(BaseModel):
    """The body for an accepted report: what is read of the report as the gateway shows it."""

    id: UUID
    sha256: str | None = None
    agency: str | None = None
    form: str | None = None
    period: str | None = None
    revision: int | None = None


class Arrival(BaseModel):
    """One event of one report. `sha256` is that of the body here, `report_sha256` the report's own."""

    id: UUID
    event: Event
    sha256: str
    report_sha256: str | None = None
    agency: str | None = None
    form: str | None = None
    period: str | None = None
    revision: int | None = None
    first_at: datetime
    last_at: datetime
    count: int = 1


class Received(BaseModel):
    """Arrivals, newest first; `total` counts all that match, listed or not."""

    items: list[Arrival]
    total: int


class NotAsAgreed(Exception):
    """What arrived is not what was agreed on; the sender is told the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(slots=True)
class Sandbox:
    """All that a sandbox knows; gone with its process."""

    key: bytes | None
    record: Path | None
    behaviour: Behaviour = field(default_factory=Behaviour)
    stamp: Stamp = field(default_factory=Stamp)
    ended: dict[UUID, str] = field(default_factory=dict)
    arrivals: dict[str, Arrival] = field(default_factory=dict)

    def next_behaviour(self) -> Behaviour:
        """What to do with the report at hand, which is one fewer to go."""
        current = self.behaviour
        if current.count is not None:
            left = current.count - 1
            self.behaviour = current.model_copy(update={"count": left}) if left else Behaviour()
        return current

    def take(self, headers: Headers, body: bytes, now: datetime) -> Arrival:
        """Check and keep a report; its `count` is above 1 if it arrived before. Raises `NotAsAgreed`."""
        _check_digest(headers, body)
        _check_webhook(headers, body, self.key, now)
        arrival = _read(body, now)
        key = f"{arrival.id}:{arrival.event}"
        if headers.get("idempotency-key") != key:
            raise NotAsAgreed(400, f"Idempotency-Key is not {key}, the report and event of the body")
        return self._keep(key, arrival, now)

    def take_relayed(self, headers: Headers, body: bytes, now: datetime) -> tuple[Arrival, str]:
        """Check and keep a report that another gateway took first; with a receipt. Raises `NotAsAgreed`."""
        _check_digest(headers, body)
        try:
            found = read_relayed(headers, body)
        except NotARelay as error:
            raise NotAsAgreed(403, str(error)) from error
        arrival = Arrival(
            id=found.id,
            event=Event.accepted,
            sha256=found.sha256,
            report_sha256=found.sha256,
            agency=found.agency,
            form=found.form,
            period=found.period,
            revision=found.revision,
            first_at=now,
            last_at=now,
        )
        return self._keep(f"{found.id}:accepted", arrival, now), self.stamp.receipt(found, kind_of(body))

    def end_relayed(self, report: UUID, event: Event, body: bytes, now: datetime) -> Arrival:
        """Keep that a relayed report was returned or withdrawn. Raises `NotAsAgreed`."""
        if f"{report}:accepted" not in self.arrivals:
            raise NotAsAgreed(404, "there is no such report")
        self.ended[report] = event.value
        sha256 = hashlib.sha256(body).hexdigest()
        return self._keep(
            f"{report}:{event}", Arrival(id=report, event=event, sha256=sha256, first_at=now, last_at=now), now
        )

    def held(self) -> list[dict[str, object]]:
        """The relayed reports, newest first, as a gateway lists them."""
        found = [each for each in self.arrivals.values() if each.event is Event.accepted]
        return [
            {"id": str(each.id), "sha256": each.report_sha256, "status": self.ended.get(each.id, "accepted")}
            for each in sorted(found, key=lambda each: each.id, reverse=True)
        ]

    def _keep(self, key: str, arrival: Arrival, now: datetime) -> Arrival:
        if known := self.arrivals.get(key):
            if known.sha256 != arrival.sha256:
                raise NotAsAgreed(409, "this Idempotency-Key arrived before with another body")
            arrival = known.model_copy(update={"last_at": now, "count": known.count + 1})
        self.arrivals[key] = arrival
        self._append(arrival)
        return arrival

    def _append(self, arrival: Arrival) -> None:
        if self.record is not None:
            with self.record.open("a", encoding="utf-8") as lines:
                lines.write(arrival.model_dump_json() + "\n")


def _read(body: bytes, now: datetime) -> Arrival:
    """What a body says it is about."""
    sha256 = hashlib.sha256(body).hexdigest()
    try:
        document = jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)
        if isinstance(document, dict) and "event" in document:
            notice = Notice.model_validate(document)
            return Arrival(id=notice.report, event=notice.event, sha256=sha256, first_at=now, last_at=now)
        shown = Shown.model_validate(document)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, place["loc"])) or "the body" for place in error.errors())
        raise NotAsAgreed(400, f"missing or of the wrong type: {places}") from error
    except ValueError as error:
        raise NotAsAgreed(400, f"the body is not strict JSON: {error}") from error
    fields = shown.model_dump(exclude={"sha256"})
    return Arrival(**fields, event=Event.accepted, sha256=sha256, report_sha256=shown.sha256, first_at=now, last_at=now)


def _check_digest(headers: Headers, body: bytes) -> None:
    expected = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    if headers.get("content-digest") != expected:
        raise NotAsAgreed(400, f"Content-Digest is not {expected}, that of the bytes that arrived (RFC 9530)")


def _check_webhook(headers: Headers, body: bytes, key: bytes | None, now: datetime) -> None:
    """The headers of Standard Webhooks; the signature is looked at only where a secret was agreed on."""
    identity, stamp = headers.get("webhook-id"), headers.get("webhook-timestamp", "")
    if not identity:
        raise NotAsAgreed(400, "webhook-id is missing")
    seconds = int(stamp) if re.fullmatch("[0-9]{1,12}", stamp) else 0
    if abs(now.timestamp() - seconds) > TOLERANCE.total_seconds():
        raise NotAsAgreed(400, "webhook-timestamp is not within 5 minutes of the clock here")
    if key is None:
        return
    mac = hmac.digest(key, f"{identity}.{stamp}.".encode() + body, "sha256")
    expected = f"v1,{base64.b64encode(mac).decode()}".encode()
    offered = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected, one.encode()) for one in offered):
        raise NotAsAgreed(401, "no webhook-signature was made with the secret of this sandbox")
