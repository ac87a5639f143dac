"""Route of completeness: who has reported for a period, and who has not."""

from collections.abc import Sequence
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import AnyCaller, GatewayParts, NewestCatalogue, Today
from gateway.api.json import Json
from gateway.api.parameters import Form, PeriodRange, Under, period_codes, require_form, wrong
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.stream import CSV, JSON, chosen_format
from gateway.api.subtree import root_of
from gateway.db.engine import clock, driver
from gateway.domain.calendar import civil_date
from gateway.domain.catalogue import Catalogue
from gateway.domain.obligation import Obligation, State
from gateway.errors import Text
from gateway.flow.track import GROUPS, Completeness, completeness
from gateway.formats.csv import csv_header, csv_lines

router = Router(prefix="/v1", tags=["obligations"])

_ROW: dict[str, Any] = {
    "agency": "H26",
    "own": False,
    "expected": 139,
    "received": 137,
    "on_time": 136,
    "late": 1,
    "returned": 1,
    "excused": 0,
    "missing": 2,
    "missing_agencies": [{"agency": "H26", "name": "Ủy ban nhân dân thành phố Hà Nội", "state": "overdue"}],
}


class MissingAgency(BaseModel):
    """An agency that has not reported, or whose report was returned."""

    agency: str
    name: str
    state: State


class CompletenessRow(BaseModel):
    """How complete one group is: `expected` is `received` and `missing`; `received` is `on_time` and `late`."""

    model_config = ConfigDict(extra="allow")

    expected: int
    received: int
    on_time: int
    late: int
    returned: int = Field(description="Of the missing, those whose report was returned and not yet corrected.")
    excused: int = Field(description="Of the received, those that declared the report not applicable.")
    missing: int
    missing_agencies: list[MissingAgency]


class CompletenessAnswer(CompletenessRow):
    """How complete a period is, as a whole and by groups."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"form": "TTHC_06A", "under": "H26", "by": ["agency"]}
                | {name: value for name, value in _ROW.items() if name not in {"agency", "own"}}
                | {"rows": [_ROW]}
            ]
        }
    )

    form: str
    under: str | None
    by: list[str]
    rows: list[CompletenessRow]


@router.get(
    "/completeness",
    response_model=CompletenessAnswer,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **problems(400, 401, 403, 404, 406, 503)},
)
async def read_completeness(
    request: Request,
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: AnyCaller,
    today: Today,
    form: Form,
    period: PeriodRange,
    under: Under = None,
    by: Annotated[str | None, Query(description="Any of `agency`, `level`, `period`, comma-separated.")] = None,
    kind: Annotated[
        Literal["own", "consolidation"] | None,
        Query(description="Only this kind; absent: the reports whose figures are added up, as in aggregates."),
    ] = None,
) -> Response:
    """Who has reported and who has not, with the names of the missing; as JSON or CSV."""
    media_type = chosen_format(request, (JSON, CSV))
    root = root_of(catalogue, caller, under, today)
    require_form(catalogue, form)
    groups = _groups(by)
    owed = _owed(catalogue, form, period_codes(period), root, kind)
    async with driver(gateway.engine) as connection:
        day = civil_date(await clock(connection))
        rows = await completeness(connection, catalogue, owed, groups, root, day)
    shown = [group | _counts(each, catalogue) for group, each in rows]
    if media_type == CSV:
        return _csv(groups, shown)
    whole = Completeness.of(each for _, each in rows)
    head = {"form": form, "under": root, "by": groups}
    return Json(head | _counts(whole, catalogue) | {"rows": shown if groups else []})


def _groups(by: str | None) -> list[str]:
    groups = [part for part in (by or "").split(",") if part]
    if len(set(groups)) < len(groups) or not set(groups) <= set(GROUPS):
        names = ", ".join(GROUPS)
        raise wrong("by", Text(f"by nhận: {names}, mỗi giá trị một lần.", f"by takes: {names}, each once."))
    return groups


def _owed(
    catalogue: Catalogue, form: str, codes: Sequence[str], root: str | None, kind: str | None
) -> list[Obligation]:
    obligations = catalogue.obligations

    @cache
    def subtree(day: date) -> frozenset[str]:
        return frozenset(() if root is None else catalogue.agencies.placed(day).subtree(root))

    found: list[Obligation] = []
    for code in codes:
        owed = obligations.counted(form, code) if kind is None else obligations.owed(form, code)
        chosen = [each for each in owed if kind in {None, each.kind.value}]
        found += chosen if root is None else [each for each in chosen if each.agency in subtree(each.period.end)]
    return found


def _counts(each: Completeness, catalogue: Catalogue) -> dict[str, object]:
    return {
        "expected": each.expected,
        "received": each.received,
        "on_time": each.on_time,
        "late": each.late,
        "returned": each.returned,
        "excused": each.excused,
        "missing": each.missing,
        "missing_agencies": [
            {
                "agency": lacking.obligation.agency,
                "name": catalogue.agencies.nearest(lacking.obligation.agency, lacking.obligation.period.end).name,
                "state": lacking.state,
            }
            for lacking in each.lacking
        ],
    }


def _csv(groups: Sequence[str], rows: Sequence[dict[str, Any]]) -> Response:
    names = [name for group in groups for name in ((group, "own") if group == "agency" else (group,))]
    columns = [*names, "expected", "received", "on_time", "late", "returned", "excused", "missing", "missing_agencies"]
    lines = [row | {"missing_agencies": " ".join(each["agency"] for each in row["missing_agencies"])} for row in rows]
    return Response(csv_header(columns) + csv_lines(columns, lines), media_type=f"{CSV}; charset=utf-8; header=present")
