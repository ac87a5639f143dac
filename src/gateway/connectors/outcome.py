"""What an HTTP answer, or the lack of one, means for a delivery: the same for every kind that speaks HTTP."""

from collections.abc import Collection
from datetime import datetime

from gateway.connectors.hide import hide
from gateway.connectors.transport import NoReply, Reply
from gateway.domain.delivery import Outcome, OutcomeClass, parse_retry_after

_KEPT_REPLY_BYTES = 2048
_READ_REPLY_BYTES, _CUT_REPLY_BYTES = 64 * 1024, 16 * 1024
"""How much of a long reply is looked at, and what at its end may hold a part of a secret, which nobody would know."""


def outcome_of(answer: Reply | NoReply, at: datetime, secrets: Collection[str] = ()) -> Outcome:
    """Judge an exchange made at `at`. `secrets` are taken out of the reply, should the upstream echo them."""
    if isinstance(answer, NoReply):
        kind = OutcomeClass.ambiguous if answer.sent else OutcomeClass.unreachable
        return Outcome(kind, answer.reason, answer.status)
    retry_after = parse_retry_after(answer.headers.get("retry-after"), at)
    kind = _kind_of(answer.status, may_retry=retry_after is not None)
    return Outcome(kind, _words(kind, answer.status), answer.status, _text(answer, secrets), retry_after)


def reminder_refused(kind: str) -> Outcome:
    """What a kind that takes reports alone makes of a reminder that was left over from another kind."""
    return Outcome(OutcomeClass.refused, f"not sent: {kind} takes reports, and this is a reminder")


def _kind_of(status: int, *, may_retry: bool) -> OutcomeClass:
    """409 and 503 throttle if they say when to come back: our own earlier attempt may be at work there."""
    match status:
        case _ if 200 <= status < 300:
            return OutcomeClass.delivered
        case 429:
            return OutcomeClass.throttled
        case 409 | 503 if may_retry:
            return OutcomeClass.throttled
        case 408 | 425:
            return OutcomeClass.unreachable
        case _ if status >= 500:
            return OutcomeClass.unreachable
        case _:
            return OutcomeClass.refused


def _words(kind: OutcomeClass, status: int) -> str:
    match kind:
        case OutcomeClass.delivered:
            return f"taken: the upstream answered {status}"
        case OutcomeClass.throttled:
            return f"the upstream asked to wait: it answered {status}"
        case OutcomeClass.unreachable:
            return f"the upstream could not take it now: it answered {status}"
        case _ if 300 <= status < 400:
            return f"redirected with {status}, which is not followed: the connector's URL must be the final one"
        case _:
            return f"refused: the upstream answered {status}"


def _text(reply: Reply, secrets: Collection[str]) -> str | None:
    """The start of the reply as text that any log, page or database takes: printable, no secret of ours."""
    if not reply.body:
        return None
    if (encoding := reply.headers.get("content-encoding", "identity")) != "identity":
        return f"({len(reply.body)} bytes encoded as {_printable(encoding)[:40]}, not opened)"
    text = harmless(reply.body[:_READ_REPLY_BYTES].decode("utf-8", errors="replace"), secrets)
    if len(reply.body) >= _READ_REPLY_BYTES:
        text = text[:-_CUT_REPLY_BYTES]
    return text.encode()[:_KEPT_REPLY_BYTES].decode("utf-8", errors="ignore")


def harmless(text: str, secrets: Collection[str]) -> str:
    """What an upstream wrote, as any log, page or database takes it: printable, no secret of ours."""
    return hide(_printable(text), secrets)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
