"""The outermost layer of every request: a sound head, a request id, security headers, an answer, and its count."""

import re
from time import perf_counter

import structlog
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from gateway.api.head import fault_of, trace_of
from gateway.api.problems import respond, unexpected
from gateway.api.traffic import Traffic
from gateway.db.subtree import NOTHING, seeing

log = structlog.get_logger()

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Where the public address is https, browsers shall never ask for it in another way (RFC 6797)."""
_NOTHING = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Answers are for programs: a browser that shows one loads nothing and runs nothing. Pages say what they need."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Edge:
    """ASGI middleware. A client's ``X-Request-Id`` is kept if it is a plain token, else one is made; the trace of a
    ``traceparent`` is named in the log."""

    def __init__(self, app: ASGIApp, traffic: Traffic, is_https: bool = False) -> None:
        self.app, self.traffic = app, traffic
        self._headers = [*_HEADERS, _HSTS] if is_https else [*_HEADERS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        headers = dict(scope["headers"])
        given, trace = headers.get(b"x-request-id", b""), trace_of(headers.get(b"traceparent", b""))
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid7())
        scope["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id, **({"trace_id": trace} if trace else {}))
        status: int | None = None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                message["headers"] = [*own, (b"x-request-id", request_id.encode()), *self._headers]
                if not any(name == b"content-security-policy" for name, _ in own):
                    message["headers"].append(_NOTHING)
            await send(message)

        try:
            fault = fault_of(scope)
            if fault is not None:
                await respond(fault, Request(scope))(scope, receive, send_marked)
                return
            with seeing(NOTHING):  # until it is known who calls
                await self.app(scope, receive, send_marked)
        except ClientDisconnect:
            log.info("client went away")
        except Exception as error:
            if status is not None:  # the client must not take half an answer for a whole one: break the connection
                raise
            answer = await unexpected(Request(scope), error)
            await answer(scope, receive, send_marked)
        finally:
            structlog.contextvars.clear_contextvars()
            self.traffic.count_request(scope, status, perf_counter() - began)
