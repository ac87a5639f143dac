"""Figures put together, computed from what counts now or counted then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import GatewayParts
from gateway.api.frame import By, Framed, StateAsked
from gateway.api.parameters import Form, Indicators, PeriodRange
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.stream import TABLES, Streamed, Table, chosen_format
from gateway.domain.form_document import Type
from gateway.flow.aggregate import aggregate
from gateway.flow.look import look
from gateway.flow.question import Question, ask
from gateway.formats.parquet import BOOLEAN, Kind, number

router = Router(prefix="/v1", tags=["aggregates"])

_EXAMPLE: dict[str, Any] = {
    "form": "TTHC_06A",
    "form_versions": [1],
    "under": "H26",
    "by": ["agency"],
    "as_of": "7412",
    "reports": 130,
    "expected": 139,
    "missing": 9,
    "rows": [
        {"agency": "H26", "own": True, "received_total": 12, "pending_total": 1},
        {"agency": "H26.18", "own": False, "received_total": 2400, "pending_total": 25},
    ],
}


class AggregateAnswer(BaseModel):
    """Figures put together, in rows like those that were pushed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    form: str
    form_versions: list[int] = Field(description="Versions of the form that the counted reports followed.")
    under: str | None = Field(description="The subtree; null is the whole country.")
    by: list[str]
    as_of: str = Field(description="Names the state that was read; given back, it repeats the answer.")
    reports: int = Field(description="Reports counted.")
    expected: int | None = Field(description="Reports owed; null for a form in no regime.")
    missing: int | None = Field(description="Of those, the ones that are not counted: not there, or returned.")
    rows: list[dict[str, Any]]


def _kinds(question: Question) -> dict[str, Kind]:
    """What the columns of an aggregate hold, where that is not texts."""
    numbers = {each.id: number(each.places) for each in question.indicators if each.is_number}
    booleans = {each.id: BOOLEAN for each in question.indicators if each.type is Type.boolean}
    return {"own": BOOLEAN, **numbers, **booleans}


@router.get(
    "/aggregates",
    response_model=AggregateAnswer,
    responses=TABLES | problems(400, 401, 403, 404, 406, 503),
)
async def read_aggregates(
    request: Request,
    gateway: GatewayParts,
    frame: Framed,
    state: StateAsked,
    form: Form,
    period: PeriodRange,
    by: By = None,
    indicator: Indicators = None,
) -> Response:
    """Figures of a subtree, put together as the form says; a report is in them once its receipt was given.

    With `by=agency` each row is a child with its whole subtree, and `under` itself has a row of its own figures
    (`"own": true`): the rows add up to the total. Formula indicators are recomputed; percentages are never added.
    """
    media_type = chosen_format(request)

    @asynccontextmanager
    async def opens() -> AsyncIterator[Table]:
        async with look(gateway.engine, gateway.catalogues, state) as opened:
            root, day = frame.seen(opened)
            question = ask(opened.catalogue, form, period, root, by, indicator, day)
            answer = await aggregate(opened, question)
            head = {
                "form": form,
                "form_versions": answer.form_versions,
                "under": root,
                "by": list(question.by),
                "as_of": answer.as_of,
                "reports": answer.reports,
                "expected": answer.expected,
                "missing": answer.missing,
            }
            yield Table(head, answer.as_of, answer.mark, answer.columns, _kinds(question), answer.rows)

    return Streamed(request, media_type, opens)
