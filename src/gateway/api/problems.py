"""Problems (RFC 9457): the one place that knows what a refusal looks like as HTTP."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gateway import errors
from gateway.db.engine import is_outage
from gateway.domain.exact import encode
from gateway.errors import GatewayError, Language, Place, Text

PROBLEM = "application/problem+json"
TYPES = "urn:report-gateway:problem:"
"""Problem types are names, not addresses: they stay the same on every installation and offline."""

Dialects: TypeAlias = Mapping[str, Callable[[Request, GatewayError], Response]]
"""How refusals are said under paths that begin so."""

log = structlog.get_logger()


def language_of(accept: str | None) -> Language:
    """Vietnamese, unless English is asked for before it (RFC 9110, 12.5.4)."""
    weights: dict[str, float] = {}
    for part in (accept or "").split(","):
        name, _, parameters = part.strip().partition(";")
        try:
            weight = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            weight = 0
        weights.setdefault(name.strip().lower().partition("-")[0], weight)
    return "en" if weights.get("en", 0) > weights.get("vi", 0) else "vi"


def problem(error: GatewayError, language: Language, request_id: str | None = None) -> dict[str, Any]:
    """The body of a problem; never holds what was rejected."""
    body: dict[str, Any] = {
        "type": TYPES + error.slug,
        "title": error.title.to(language),
        "status": error.status,
    }
    if error.detail is not None:
        body["detail"] = error.detail.to(language)
    if request_id is not None:
        body["instance"] = f"urn:request:{request_id}"
    if error.errors:
        body["errors"] = [{"pointer": place.pointer, "message": place.message.to(language)} for place in error.errors]
    return body | error.extra


def respond(error: GatewayError, request: Request) -> Response:
    """A refusal as the answer: a problem, or whatever its standard says where the path begins with that of another."""
    others: Dialects = request.app.state.dialects
    for beginning, say in others.items():
        if request.scope["path"].startswith(beginning):
            return say(request, error)
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="report gateway"'
    language = language_of(request.headers.get("accept-language"))
    body = problem(error, language, request.scope.get("request_id"))
    return Response(encode(body), error.status, headers, PROBLEM)


_BY_STATUS: Mapping[int, type[GatewayError]] = {
    400: errors.MalformedRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.ContentTooLarge,
    415: errors.UnsupportedMediaType,
}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for nothing else
    return respond(error, request)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    refusal = _BY_STATUS.get(error.status_code, errors.MalformedRequest)()
    answer = respond(refusal, request)
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request) -> list[str]:
    """All that may be done at a path: routes may share it, but those that name it whole have it for themselves."""
    named = _named(request)
    if named:
        return named
    routes = request.app.router.routes
    scopes = [{**request.scope, "method": method} for method in ("DELETE", "GET", "POST", "PUT")]
    return [scope["method"] for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _named(request: Request) -> list[str]:
    """What the routes take whose path is the one asked for, letter for letter."""
    named: Mapping[str, list[str]] = request.app.state.named
    return named.get(request.scope["path"], [])


async def _parameters(request: Request, error: Exception) -> Response:
    """Wrong parameters or bodies of the small routes: a malformed request, without the values."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    methods = _named(request)
    if methods and request.method not in methods:  # `/{report}` took it for an id
        answer = respond(errors.MethodNotAllowed(), request)
        answer.headers["Allow"] = ", ".join(methods)
        return answer
    places = [
        Place(
            ".".join(str(step) for step in fault["loc"][1:]) or str(fault["loc"][0]),
            Text(f"Giá trị không hợp lệ: {fault['msg']}", str(fault["msg"])),
        )
        for fault in error.errors()
    ]
    return respond(errors.MalformedRequest(errors=places), request)


async def unexpected(request: Request, error: Exception) -> Response:
    """A database that is away is 503; anything else is our fault, told only to the log."""
    if is_outage(error):
        log.warning("database unavailable", reason=type(error).__name__)
        return respond(errors.Unavailable(retry_after=2), request)
    log.error("unexpected error", exc_info=error)
    return respond(errors.InternalError(), request)


def install_problems(app: FastAPI, routers: Sequence[APIRouter], dialects: Dialects) -> None:
    """Answer every refusal as a problem, but for those of other ``dialects``. ``routers`` are those of the app."""
    named: dict[str, list[str]] = {}
    for route in (each for router in routers for each in router.routes if isinstance(each, APIRoute)):
        if "{" not in route.path:
            named[route.path] = sorted({*named.get(route.path, ()), *(route.methods or ())})
    app.state.named, app.state.dialects = named, dialects
    app.add_exception_handler(GatewayError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)
