"""What routes refuse with, for the OpenAPI document: a problem with a real example for every error."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway import errors
from gateway.api.problems import PROBLEM, problem
from gateway.errors import GatewayError, Place, Text

_REPORT = "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20"


class PlaceShape(BaseModel):
    """One wrong place of a request."""

    pointer: str
    message: str


class Problem(BaseModel):
    """RFC 9457. `type` is stable; the documentation has the table of types."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[PlaceShape] | None = None


_EXAMPLES: dict[int, list[GatewayError]] = {
    400: [
        errors.MalformedRequest(
            errors=[
                Place("/rows", Text("Thiếu trường bắt buộc.", "Required field is missing.")),
                Place("/note", Text("Trường không có trong quy định.", "Unknown field.")),
            ]
        )
    ],
    401: [errors.Unauthenticated()],
    403: [errors.Forbidden(), errors.Classified(), errors.UntrustedReceipt()],
    404: [errors.NotFound(), errors.ProofPending(retry_after=1)],
    406: [errors.NotAcceptable()],
    409: [
        errors.RevisionConflict(extra={"current": {"id": _REPORT, "revision": 1}}),
        errors.PeriodLocked(extra={"locked_since": "2026-11-05", "regime": "KTXH", "ask": "G22"}),
        errors.ConsolidationIncomplete(extra={"missing": [{"agency": "H26.18", "kind": "own", "returned": False}]}),
        errors.StateConflict(extra={"state": "superseded"}),
        errors.CatalogueConflict(),
    ],
    410: [errors.Erased(extra={"erased_at": "2026-11-30T02:00:00Z", "reason": "NĐ 13/2023"})],
    413: [errors.ContentTooLarge()],
    415: [errors.UnsupportedMediaType(extra={"accepted": ["application/json"]})],
    422: [errors.InvalidCatalogue(), errors.IdempotencyKeyReused()],
    429: [errors.TooManyRequests(retry_after=1, extra={"limit": "requests_per_second"})],
    500: [errors.InternalError()],
    502: [errors.UpstreamFailed()],
    503: [errors.Unavailable(retry_after=2)],
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems an endpoint answers with, for its ``responses``."""
    return {
        status: {
            "model": Problem,
            "description": "; ".join(each.title.en for each in _EXAMPLES[status]),
            "content": {
                PROBLEM: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        each.slug: {"summary": type(each).__doc__, "value": problem(each, "vi")}
                        for each in _EXAMPLES[status]
                    },
                }
            },
        }
        for status in statuses
    }
