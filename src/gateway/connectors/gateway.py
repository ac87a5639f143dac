"""Kind `gateway`: forwards to another instance of this gateway, which keeps the report's id and its first receipt.

The URL is the other one's base address. It is signed in to as a client with scope `reports:relay`. A report goes as the
bytes that were pushed; what the other one answers counts once its own receipt for them has been verified.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from joserfc.jwk import KeySet

from gateway.connectors.connector import (
    ConnectorSettings,
    Dispatch,
    InvalidConnectorSettings,
    NoOptions,
    Returned,
    Returns,
    UpstreamSilent,
    options_of,
)
from gateway.connectors.credentials import ClientCredentials
from gateway.connectors.http_json import content_digest
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost
from gateway.connectors.session import Session
from gateway.connectors.transport import NoReply, Reply, Request
from gateway.domain.delivery import Event, Outcome, OutcomeClass
from gateway.domain.exact import decode
from gateway.domain.upstream import Held
from gateway.evidence.receipts import InvalidReceipt, key_set, verify_receipt

_LARGEST_REPLY = 16 * 1024 * 1024
"""Bytes of an answer: a report's has all its findings, a page of a list a thousand of those."""
_PAGE = 1000
_FORBIDDEN = 403
_ENDS: Mapping[Event, str] = {Event.returned: "return", Event.withdrawn: "withdraw"}


class Gateway:
    """Another gateway, above this one."""

    def __init__(self, settings: ConnectorSettings) -> None:
        options_of(settings, NoOptions)
        if "?" in settings.url:
            raise InvalidConnectorSettings("url may hold no query: it is the base address of the other gateway")
        larger = replace(settings, max_reply_bytes=_LARGEST_REPLY)
        self._post = SignedPost(larger, ("client_id", "client_secret"))
        self._base = settings.url.rstrip("/")
        self._credentials = ClientCredentials(self._post, f"{self._base}/oauth/token")
        self._session = Session(self._credentials.ask)
        self._keys: KeySet | None = None

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        if dispatch.report is None:
            return reminder_refused("gateway")
        until, replies = self._post.ends(), list[Reply]()
        url, headers = self._addressed(dispatch, dispatch.report)

        async def post(token: str) -> Reply | NoReply:
            shown = headers | {"Authorization": f"Bearer {token}"}
            answer = await self._post.post(dispatch, dispatch.body, shown, until=until, url=url)
            replies.extend([answer] if isinstance(answer, Reply) else [])
            return answer

        outcome = await self._session.send(post, self._judged(dispatch.attempted_at), until)
        if outcome.kind is not OutcomeClass.delivered or dispatch.event is not Event.accepted:
            return outcome
        return await self._acknowledged(dispatch, outcome, replies[-1].body, until)

    async def returns(self, cursor: str | None) -> Returns:
        """Reports that the upstream returned, after a cursor. Raises `UpstreamSilent`."""
        asked = {"change": "returned", "limit": _PAGE} | ({} if cursor is None else {"cursor": cursor})
        page = await self._get("/v1/changes", asked)
        try:
            items = [Returned(UUID(each["report"]["id"]), str(each["reason"] or "")) for each in page["items"]]
            return Returns(items, str(page["next"]), bool(page["more"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UpstreamSilent("its feed of changes is not as this version knows it") from error

    async def holdings(self, form: str | None, period: str | None) -> AsyncGenerator[Held, None]:
        """The reports that the upstream holds, newest first. Raises `UpstreamSilent`."""
        asked: dict[str, object] = {"limit": _PAGE, "form": form, "period": period, "cursor": None}
        while True:
            page = await self._get("/v1/reports", {name: value for name, value in asked.items() if value is not None})
            try:
                for each in page["items"]:
                    yield Held(UUID(each["id"]), str(each["sha256"]), str(each["status"]))
                asked["cursor"] = page["next"]
            except (KeyError, TypeError, ValueError) as error:
                raise UpstreamSilent("its list of reports is not as this version knows it") from error
            if asked["cursor"] is None:
                return

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._session.aclose()
        await self._post.aclose()

    def _addressed(self, dispatch: Dispatch, report: UUID) -> tuple[str, dict[str, str]]:
        """Where a dispatch goes, and what is said of it besides its body."""
        headers = {"Content-Type": dispatch.media_type, "Content-Digest": content_digest(dispatch.body)}
        if (end := _ENDS.get(dispatch.event)) is not None:
            return f"{self._base}/v1/reports/{report}/{end}", headers | {"Report-Ended-At": _time(dispatch.occurred_at)}
        first = dispatch.provenance
        if first is None:
            raise LookupError(f"report {report} is dispatched without its first receipt")
        told = {"Report-Id": str(report), "Report-Received-At": _time(first.received_at)}
        if first.signature is not None:
            told["Report-Signature"] = first.signature
        query = f"?{dispatch.query}" if dispatch.query else ""
        return f"{self._base}/v1/reports{query}", headers | told | {"Report-Receipt": first.receipt}

    def _judged(self, at: datetime) -> Callable[[Reply | NoReply, str], Outcome]:
        def judged(answer: Reply | NoReply, token: str) -> Outcome:
            return _patient(self._post.judged(answer, at, [token, self._credentials.basic]))

        return judged

    async def _acknowledged(self, dispatch: Dispatch, taken: Outcome, body: bytes, until: float) -> Outcome:
        """What an answer that took a report comes to, by the receipt in it."""
        receipt = _receipt(body)
        if receipt is None:
            words = f"it answered {taken.status}, but not with a receipt: it may have taken it"
            return replace(taken, kind=OutcomeClass.ambiguous, reason=words)
        try:
            claims = await self._verified(receipt, until)
        except UpstreamSilent as silence:
            words = f"taken, but its receipt could not be verified yet: {silence}"
            return replace(taken, kind=OutcomeClass.ambiguous, reason=words)
        except InvalidReceipt as error:
            words = f"it answered {taken.status}, but not with a receipt that holds: {error}"
            return replace(taken, kind=OutcomeClass.refused, reason=words)
        expected = {"report": str(dispatch.report), "sha256": hashlib.sha256(dispatch.body).hexdigest()}
        if differing := [name for name, value in expected.items() if claims.get(name) != value]:
            held = f"its receipt is for another {' and '.join(differing)} ({claims.get('report')})"
            return replace(taken, kind=OutcomeClass.refused, reason=f"it answered {taken.status}, but {held}")
        return replace(taken, receipt=receipt, reason=f"{taken.reason}, with a receipt that holds")

    async def _verified(self, receipt: str, until: float) -> dict[str, Any]:
        """The claims of a receipt of the upstream, by its keys, which are asked for anew where they do not do."""
        if self._keys is not None:
            try:
                return verify_receipt(receipt, self._keys)
            except InvalidReceipt:
                pass  # it may have a newer key
        answer = await self._post.exchange(_get(f"{self._base}/.well-known/jwks.json"), until=until)
        if isinstance(answer, NoReply) or answer.status != 200:
            raise UpstreamSilent("its public keys could not be read")
        try:
            self._keys = key_set(decode(answer.body))
        except ValueError as error:
            raise UpstreamSilent("its public keys are not a JSON Web Key Set") from error
        return verify_receipt(receipt, self._keys)

    async def _get(self, path: str, asked: Mapping[str, object]) -> dict[str, Any]:
        """A page of the upstream. Raises `UpstreamSilent`."""
        until, replies = self._post.ends(), list[Reply]()
        url = f"{self._base}{path}?{urlencode(asked)}"

        async def ask(token: str) -> Reply | NoReply:
            answer = await self._post.exchange(_get(url, {"Authorization": f"Bearer {token}"}), until=until)
            replies.extend([answer] if isinstance(answer, Reply) else [])
            return answer

        outcome = await self._session.send(ask, self._judged(datetime.now(UTC)), until)
        if outcome.kind is not OutcomeClass.delivered:
            raise UpstreamSilent(outcome.reason)
        try:
            page = decode(replies[-1].body)
        except ValueError as error:
            raise UpstreamSilent("its answer is not JSON") from error
        if not isinstance(page, dict):
            raise UpstreamSilent("its answer is not a JSON object")
        return page


def _receipt(body: bytes) -> str | None:
    """The receipt in an answer that took a report; None where there is none to be read."""
    try:
        receipt = decode(body)["receipt"]
    except (ValueError, LookupError, TypeError):
        return None
    return receipt if isinstance(receipt, str) else None


def _patient(outcome: Outcome) -> Outcome:
    """403 says nothing of the report: it goes on by itself once the client's rights, or trusted keys, are put right."""
    if outcome.status != _FORBIDDEN or outcome.kind is not OutcomeClass.refused:
        return outcome
    words = "the upstream does not let this gateway's client relay it: it answered 403"
    return replace(outcome, kind=OutcomeClass.unreachable, reason=words)


def _get(url: str, headers: Mapping[str, str] | None = None) -> Request:
    return Request(url, headers or {}, b"", "GET")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
