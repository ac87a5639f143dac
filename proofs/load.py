"""The load: senders that push, correct, return and withdraw reports as careful clients do, while things go wrong."""

import asyncio
import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from gateway.catalog import bundled_documents
from proofs.ledger import Answered, Ledger, Sent, Unanswered

Key = tuple[str, str, str, str]
"""Agency, form, period and kind."""
FORM = "TTHC_06A"
AGENCIES = [f"{province}.{number}" for number in range(10, 22) for province in ("H01", "H26")]
_YEARS = range(2030, 2099, 2)
_REPEATED = 0.75
"""How likely a sender repeats a request without an answer; else the report stays unknown for good."""
_PATIENCE = 40.0
"""Seconds a sender goes on repeating."""


def keys() -> Iterator[Key]:
    """Keys of reports, each once: year after year, one agency after another, in no report's past.

    Once the years are used up, which takes minutes, the other agencies of the provinces follow.
    """
    known = [str(each["code"]) for kind, each in bundled_documents() if kind == "agency"]
    others = sorted(code for code in known if code.count(".") == 1 and code[0] == "H" and code not in AGENCIES)
    for agencies in (AGENCIES, others):
        for year in _YEARS:
            for agency in agencies:
                yield agency, FORM, f"{year}-Q1", "own"


def report(key: Key, number: int, *, corrects: str | None = None, wrong: bool = False) -> bytes:
    """A report that no other has the bytes of; ``wrong``: with a sum that is not right."""
    agency, form, period, kind = key
    row = {
        "sector": "LAND",
        "received_total": number + (1 if wrong else 0),
        "received_online": number,
        "received_offline": 0,
        "carried_over": 0,
        "resolved_total": number,
        "resolved_early": 0,
        "resolved_on_time": number,
        "resolved_late": 0,
        "pending_total": 0,
        "pending_in_time": 0,
        "pending_late": 0,
    }
    document: dict[str, Any] = {"form": form, "agency": agency, "period": period, "kind": kind, "rows": [row]}
    if corrects is not None:
        document |= {"corrects": corrects, "reason": "số liệu được rà soát lại"}
    return json.dumps(document, ensure_ascii=False).encode()


class Client:
    """An API client that writes down every request and every answer, or that there was none."""

    def __init__(self, http: httpx.AsyncClient, ledger: Ledger, chance: random.Random) -> None:
        self.http, self._ledger, self._chance = http, ledger, chance
        self._numbers = itertools.count(1)

    async def push(
        self, key: Key, *, corrects: str | None = None, wrong: bool = False, repeated: float = _REPEATED
    ) -> str | None:
        """Push a report; its id, or None if it was refused or nobody knows."""
        number = next(self._numbers)
        body = report(key, number, corrects=corrects, wrong=wrong)
        sent = Sent(push=number, event="accepted", key=key, sha256=hashlib.sha256(body).hexdigest())
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"push-{number}"}
        answer = await self._insist(sent, httpx.Request("POST", "/v1/reports", content=body, headers=headers), repeated)
        return answer.report if answer is not None and answer.status in {200, 201} else None

    async def end(self, key: Key, report: str, event: str) -> bool:
        """Return or withdraw a report; whether it is known to be done."""
        sent = Sent(push=next(self._numbers), event=event, key=key, about=report)
        path = {"returned": "return", "withdrawn": "withdraw"}[event]
        body = json.dumps({"reason": "cần xem lại"}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        request = httpx.Request("POST", f"/v1/reports/{report}/{path}", content=body, headers=headers)
        answer = await self._insist(sent, request, _REPEATED)
        return answer is not None and answer.status == 200

    async def _insist(self, sent: Sent, request: httpx.Request, repeated: float) -> Answered | None:
        """Make a request, and again while there is no answer and chance has it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while True:
            self._ledger.write(
                Sent(push=sent.push, event=sent.event, key=sent.key, sha256=sent.sha256, about=sent.about)
            )
            try:
                answer = await self.http.request(
                    request.method, request.url.path, content=request.content, headers=request.headers
                )
            except httpx.TransportError as error:
                self._ledger.write(Unanswered(push=sent.push, reason=type(error).__name__))
            else:
                answered = _read(sent, answer)
                self._ledger.write(answered)
                if answer.status_code < 500:
                    return answered
            if self._chance.random() >= repeated or loop.time() > until:
                return None
            await asyncio.sleep(self._chance.uniform(0.05, 0.3))


def _read(sent: Sent, answer: httpx.Response) -> Answered:
    if answer.status_code not in {200, 201}:
        return Answered(push=sent.push, status=answer.status_code)
    said = answer.json()
    return Answered(
        push=sent.push,
        status=answer.status_code,
        report=said["id"],
        sha256=said["sha256"],
        revision=said["revision"],
        receipt=said.get("receipt"),
    )


class Load:
    """So many senders at work while the ``async with`` block runs; at its end each finishes what it is at.

    ``pause`` is the longest that a sender rests between two requests, in seconds. Where nothing is ``amended`` every
    report is the first of its key.
    """

    def __init__(
        self, client: Client, keys: Iterator[Key], chance: random.Random, senders: int, pause: float, amended: bool
    ) -> None:
        self._client, self._keys, self._chance = client, keys, chance
        self._senders, self._pause, self._amended = senders, pause, amended
        self._is_over = False
        self._working: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._working = [asyncio.create_task(self._send()) for _ in range(self._senders)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if error is not None:
            for task in self._working:
                task.cancel()
        await asyncio.gather(*self._working, return_exceptions=error is not None)

    async def _send(self) -> None:
        """Tell one key's story after another."""
        while not self._is_over:
            key = next(self._keys)
            report = await self._client.push(key)
            await self._rest()
            for step in self._story() if self._amended else ():
                if report is None or self._is_over:
                    break
                report = await self._amend(key, report, step)
                await self._rest()

    def _story(self) -> Sequence[str]:
        steps = ["correct", "correct", "return", "withdraw", "wrong", "clash"]
        return self._chance.choices(steps, k=self._chance.randrange(4))

    async def _amend(self, key: Key, report: str, step: str) -> str | None:
        """One step of a story; the report that is current after it, None if nobody knows."""
        match step:
            case "wrong":
                await self._client.push(key, corrects=report, wrong=True)
                return report
            case "clash":
                await self._client.push(key)
                return report
            case "return":
                is_done = await self._client.end(key, report, "returned")
                return await self._client.push(key, corrects=report) if is_done else None
            case "withdraw":
                is_done = await self._client.end(key, report, "withdrawn")
                return await self._client.push(key) if is_done else None
            case _:
                return await self._client.push(key, corrects=report)

    async def _rest(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, self._pause))
