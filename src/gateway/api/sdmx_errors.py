"""Errors of the SDMX routes: SDMX error messages in the place of problems (SDMX-REST, "HTTP codes and errors")."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from gateway import errors
from gateway.api.problems import language_of
from gateway.api.sdmx_message import header_now
from gateway.db.engine import is_outage
from gateway.errors import GatewayError, Text
from gateway.formats import sdmx_json
from gateway.formats.sdmx_ml import ML_2_1, ML_3_0, error_message

log = structlog.get_logger()

XML, JSON = "application/xml", "application/json"


class SemanticError(GatewayError):
    """The request is well-formed and makes no sense: a key with too many dimensions, say. SDMX answers 403."""

    status, slug = 403, "sdmx-semantic-error"
    title = Text("Yêu cầu không hợp nghĩa", "Semantic error")


class NotImplementedHere(GatewayError):
    """Part of the standard that is not served."""

    status, slug = 501, "sdmx-not-implemented"
    title = Text("Chưa phục vụ", "Not implemented")


class TooLarge(GatewayError):
    """The answer would take too much: the request is to be made narrower."""

    status, slug = 413, "sdmx-response-too-large"
    title = Text("Kết quả quá lớn", "Response too large")


_CODES = {400: 140, 401: 110, 403: 110, 404: 100, 405: 140, 406: 140, 413: 130, 429: 503, 501: 501, 503: 503}
"""Codes of SDMX errors by HTTP status: no results, unauthorized, too large, syntax; those from 500 on are their own."""


def sdmx_code(error: GatewayError) -> int:
    """The code SDMX gives an error."""
    return 150 if isinstance(error, SemanticError) else _CODES.get(error.status, 500)


def refuse(request: Request, error: Exception) -> Response:
    """An error as the base it happened under says it: SDMX-ML 2.1, or SDMX-JSON unless XML is asked for."""
    refusal = _refusal(error)
    headers = {"WWW-Authenticate": 'Basic realm="report gateway"'} if refusal.status == 401 else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    code, details = sdmx_code(refusal), [place.message for place in refusal.errors]
    if refusal.detail is not None and refusal.detail not in details:
        details.insert(0, refusal.detail)
    if isinstance(available := refusal.extra.get("available"), list):
        said = ", ".join(map(str, available))
        details.append(Text(f"Có: {said}", f"Available: {said}"))
    is_old = request.scope["path"].startswith("/sdmx/v1")
    if is_old or "xml" in request.headers.get("accept", ""):
        texts = [{"vi": each.vi, "en": each.en} for each in [refusal.title, *details]]
        body, media_type = error_message(ML_2_1 if is_old else ML_3_0, code, texts), XML
    else:
        language = language_of(request.headers.get("accept-language"))
        words = [each.to(language) for each in details]
        body = sdmx_json.error_message(header_now(request), code, refusal.title.to(language), words, language)
        media_type = JSON
    return Response(body, refusal.status, headers, media_type)


def _refusal(error: Exception) -> GatewayError:
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, RequestValidationError):
        return errors.MalformedRequest()
    if is_outage(error):
        log.warning("database unavailable", reason=type(error).__name__)
        return errors.Unavailable(retry_after=2)
    log.error("unexpected error", exc_info=error)
    return errors.InternalError()


class SdmxRoute(APIRoute):
    """A route whose errors are SDMX messages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                return refuse(request, error)

        return handled
