"""A token that an upstream gives for a while: asked for once for all who need it, kept, and renewed early."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from gateway.connectors.post import is_header_token
from gateway.connectors.transport import NoReply, Reply
from gateway.domain.delivery import Outcome, OutcomeClass
from gateway.domain.exact import decode

_UNAUTHORIZED = 401
_EARLY_SECONDS, _EARLY_SHARE = 60.0, 0.2
"""A token is renewed so long before it ends, or in the last fifth of its life if that is shorter."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A token that the upstream gave; `seconds` is how long it said that it holds, None where it did not say."""

    token: str = field(repr=False)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A token that is kept, with the times by the loop's clock between which it is renewed."""

    token: str = field(repr=False)
    renews_at: float
    ends_at: float


class Session:
    """The token of one upstream, for many tasks at once. `ask` gets one, or says why there is none."""

    def __init__(self, ask: Callable[[], Awaitable[Granted | Outcome]]) -> None:
        self._ask = ask
        self._kept: Kept | None = None
        self._asking: asyncio.Task[Kept | Outcome] | None = None

    async def token(self, until: float) -> Kept | Outcome:
        """The token, or why there is none by then. One that still holds is used while another is asked for."""
        now, kept = asyncio.get_running_loop().time(), self._kept
        if kept is not None and now < kept.ends_at:
            if now >= kept.renews_at:
                self._renewal()
            return kept
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(self._renewal())
        except TimeoutError:
            return Outcome(OutcomeClass.unreachable, "not sent: signing in took all the time of the attempt")

    async def send(
        self,
        post: Callable[[str], Awaitable[Reply | NoReply]],
        judged: Callable[[Reply | NoReply, str], Outcome],
        until: float,
    ) -> Outcome:
        """Post with the token, and once more with a new one if the upstream answers 401 to it."""
        found = await self.token(until)
        if isinstance(found, Outcome):
            return found
        answer = await post(found.token)
        if isinstance(answer, NoReply) or answer.status != _UNAUTHORIZED:
            return judged(answer, found.token)
        self._drop(found)
        renewed = await self.token(until)
        if isinstance(renewed, Outcome):
            return renewed
        answer = await post(renewed.token)
        if isinstance(answer, Reply) and answer.status == _UNAUTHORIZED:
            self._drop(renewed)
        return judged(answer, renewed.token)

    def _drop(self, refused: Kept) -> None:
        """Ask for another before anything more is sent: the upstream does not take this one any more."""
        if self._kept is refused:
            self._kept = None

    async def aclose(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _renewal(self) -> asyncio.Task[Kept | Outcome]:
        """The one renewal under way. It goes on for the others when whoever began it gives up."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._renew())
            self._asking.add_done_callback(self._ended)
        return self._asking

    def _ended(self, _: asyncio.Task[Kept | Outcome]) -> None:
        self._asking = None

    async def _renew(self) -> Kept | Outcome:
        began = asyncio.get_running_loop().time()
        granted = await self._ask()
        if isinstance(granted, Outcome):
            return granted
        life = float("inf") if granted.seconds is None else granted.seconds
        early = min(_EARLY_SECONDS, life * _EARLY_SHARE)
        self._kept = Kept(granted.token, began + life - early, began + life)
        return self._kept


def granted_by(
    answer: Reply | NoReply, judged: Outcome, place: str, seconds: Callable[[Mapping[str, Any]], float | None]
) -> Granted | Outcome:
    """The token at a place (a JSON Pointer) of the answer to a sign-in, or what its absence means for a delivery.

    `judged` is what the answer would mean of a delivery; its reply is dropped where it may hold a token.
    """
    if isinstance(answer, NoReply) or judged.kind is not OutcomeClass.delivered:
        return not_signed_in(judged)
    try:
        body = decode(answer.body)
    except ValueError:
        return _no_token(judged)
    token = at_pointer(body, place)
    if not isinstance(token, str) or not isinstance(body, dict) or not is_header_token(token):
        return _no_token(judged)
    return Granted(token, seconds(body))


def seconds_of(lifetime: object) -> float | None:
    """How long a token holds, as written in JSON (a number, or one in a string); None where it says nothing."""
    if isinstance(lifetime, int | Decimal):
        return max(0.0, float(lifetime))
    return float(lifetime) if isinstance(lifetime, str) and lifetime.isdecimal() and len(lifetime) < 10 else None


def at_pointer(document: object, place: str) -> object:
    """What is at a JSON Pointer (RFC 6901) of a document; None where there is nothing."""
    for step in place.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        document = document.get(name) if isinstance(document, dict) else None
    return document


def not_signed_in(outcome: Outcome) -> Outcome:
    """What a failed sign-in means for a delivery: nothing of it was sent, and nothing about it was decided.

    So even credentials that are refused leave it waiting: it goes on by itself once they are put right.
    """
    kind = OutcomeClass.throttled if outcome.kind is OutcomeClass.throttled else OutcomeClass.unreachable
    return replace(outcome, kind=kind, reason=f"not sent: could not sign in: {outcome.reason}")


def _no_token(judged: Outcome) -> Outcome:
    words = f"not sent: could not sign in: the upstream answered {judged.status} without a token that can be used"
    return Outcome(OutcomeClass.unreachable, words, judged.status)
