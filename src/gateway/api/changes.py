"""The feed of changes: what became of reports, in order and without gaps, for whoever keeps a copy of them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.deps import Follower, GatewayParts, NewestCatalogue, Spoken, Today
from gateway.api.json import Json
from gateway.api.lists import Limit, bad_cursor, from_cursor, to_cursor
from gateway.api.parameters import OnlyForm, Under, form_key
from gateway.api.refusals import problems
from gateway.api.router import Router
from gateway.api.shapes import ACCEPTED, ReportHead
from gateway.api.subtree import agency_keys
from gateway.db.changes import Change, Position, WantedChanges, find_changes
from gateway.db.engine import driver
from gateway.domain.report import Status
from gateway.errors import Language

router = Router(prefix="/v1", tags=["aggregates"])

_START = Position(0, 0)
_MOST_TRANSACTIONS, _MOST_EVENTS = 2**64, 2**63


class Happening(StrEnum):
    """What can happen to a report."""

    accepted = "accepted"
    corrected = "corrected"
    returned = "returned"
    withdrawn = "withdrawn"


class ChangeShape(BaseModel):
    """Something that happened to a report, which is shown as it was then."""

    change: Happening
    at: datetime
    report: ReportHead
    replaces: UUID | None = Field(description="Of a correction: the report that stops counting.")
    reason: str | None


_EXAMPLE: dict[str, Any] = {
    "change": "corrected",
    "at": "2026-09-21T02:15:08.114200Z",
    "report": {name: value for name, value in ACCEPTED.items() if name != "receipt"},
    "replaces": "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e1f",
    "reason": "Số liệu lĩnh vực đất đai lệch so với kỳ trước.",
}


class ChangePage(BaseModel):
    """Changes, oldest first. `next` is always given: it is where to go on, now or later."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"items": [_EXAMPLE], "next": "Nzc4fDQx", "more": False}]}
    )

    items: list[ChangeShape]
    next: str
    more: bool = Field(description="Whether there may be more at once.")


@router.get("/changes", response_model=ChangePage, responses=problems(400, 401, 403, 404))
async def read_changes(
    gateway: GatewayParts,
    catalogue: NewestCatalogue,
    caller: Follower,
    language: Spoken,
    today: Today,
    limit: Limit,
    cursor: Annotated[str | None, Query(description="The `next` of the page before; absent: from the start.")] = None,
    form: OnlyForm = None,
    under: Under = None,
    change: Annotated[list[Happening] | None, Query(description="Only these.")] = None,
) -> Response:
    """What became of the reports of a subtree, oldest first: each change exactly once, however writers overlap.

    Go on with `next`, again and again. A change appears as soon as no older transaction is open, mostly at once.
    """
    wanted = WantedChanges(
        _START if cursor is None else _position(cursor),
        agency_keys(catalogue, caller, None, under, today),
        form_key(catalogue, form),
        None if change is None else [each.value for each in change],
        limit,
    )
    async with driver(gateway.engine) as connection:
        found = await find_changes(connection, wanted, catalogue)
    items = [_shown(each, language) for each in found.items]
    return Json({"items": items, "next": to_cursor(*found.position), "more": found.has_more})


def _shown(change: Change, language: Language) -> dict[str, object]:
    """A change, with the report as the change left it: what came later is a change of its own."""
    status = Status(change.event) if change.event in {Status.returned, Status.withdrawn} else Status.accepted
    report = change.report.head.shown(language) | {"status": status}
    del report["receipt"]
    return {
        "change": change.event,
        "at": change.at,
        "report": report,
        "replaces": change.replaces,
        "reason": change.reason,
    }


def _position(cursor: str) -> Position:
    parts = from_cursor(cursor, 2)
    if not all(part.isascii() and part.isdecimal() and len(part) <= 20 for part in parts):
        raise bad_cursor()
    position = Position(*map(int, parts))
    if position.transaction >= _MOST_TRANSACTIONS or position.event >= _MOST_EVENTS:
        raise bad_cursor()
    return position
