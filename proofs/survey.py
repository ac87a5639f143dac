"""The survey: what the gateway itself says, once everything has settled, of reports and deliveries."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec

from gateway.demo.remote import every


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """A report as the gateway lists it; ``payload_sha256`` is over the bytes that it gives back."""

    id: str
    status: str
    form: str
    agency: str
    period: str
    kind: str
    revision: int | None
    sha256: str
    payload_sha256: str


class KeptDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as the gateway lists it, with what its attempts came to and how many seconds the longest took."""

    id: str
    connector: str
    report: str
    event: str
    state: str
    attempts: int
    outcomes: Sequence[str]
    longest: float = 0


class Survey(msgspec.Struct, frozen=True):
    """All reports and deliveries, and the public keys (RFC 7517) of receipts."""

    reports: Sequence[KeptReport]
    deliveries: Sequence[KeptDelivery]
    keys: dict[str, list[dict[str, str]]]


async def survey(http: httpx.AsyncClient) -> Survey:
    """Ask the gateway for everything."""
    together = asyncio.Semaphore(8)

    async def kept(item: dict[str, Any]) -> KeptReport:
        async with together:
            payload = (await http.get(f"/v1/reports/{item['id']}/payload")).raise_for_status().content
        return msgspec.convert(item | {"payload_sha256": hashlib.sha256(payload).hexdigest()}, KeptReport)

    async def sent(item: dict[str, Any]) -> KeptDelivery:
        history: list[dict[str, Any]] = []
        if item["attempts"]:
            async with together:
                history = (await http.get(f"/v1/deliveries/{item['id']}")).raise_for_status().json()["history"]
        outcomes = [each["outcome"] for each in history]
        longest = max(map(_seconds, history), default=0)
        return msgspec.convert(item | {"outcomes": outcomes, "longest": longest}, KeptDelivery)

    reports = await asyncio.gather(*map(kept, await every(http, "/v1/reports")))
    deliveries = await asyncio.gather(*map(sent, await every(http, "/v1/deliveries")))
    keys = (await http.get("/.well-known/jwks.json")).raise_for_status().json()
    return Survey(reports, deliveries, keys)


def _seconds(attempt: dict[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(attempt[name]) for name in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()
