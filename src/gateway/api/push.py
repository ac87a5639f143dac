"""Pushing on a client's behalf: the request as the intake takes it, and its reply as HTTP."""

import re

from fastapi import Request, Response

from gateway.access.tokens import Caller
from gateway.domain.signature import ReportSignature
from gateway.errors import GatewayError, Language, MalformedRequest, Place, Text
from gateway.flow.prepare import Push
from gateway.flow.receive import Reply
from gateway.flow.relay import FirstReceipt

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def push_of(
    request: Request,
    caller: Caller,
    language: Language,
    body: bytes,
    media_type: str,
    route: str,
    first: FirstReceipt | None = None,
    signature: ReportSignature | None = None,
) -> Push:
    """A body pushed by a request. Raises ``MalformedRequest`` for a wrong idempotency key."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1 or (keys and _KEY.fullmatch(keys[0]) is None):
        message = Text(
            "Idempotency-Key gồm 1–255 ký tự ASCII nhìn thấy được.",
            "Idempotency-Key is 1 to 255 visible ASCII characters.",
        )
        raise MalformedRequest(message, errors=[Place("Idempotency-Key", message)])
    return Push(
        body,
        media_type,
        caller.client,
        caller.agency,
        language,
        route,
        request.scope.get("query_string", b"").decode("latin-1"),
        keys[0] if keys else None,
        first=first,
        signature=signature,
    )


def answer_of(reply: Reply) -> Response:
    """A reply of the intake as HTTP; a refusal is raised."""
    if isinstance(reply, GatewayError):
        raise reply
    headers = {"Location": reply.location} if reply.location else {}
    if reply.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Response(reply.body, reply.status, headers, reply.media_type)
