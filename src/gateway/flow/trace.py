"""Trace: from one cell of an aggregate to the reports behind it, their receipts, and what upstreams acknowledged."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from gateway.db.contributions import Cell, contributions, deliveries_of
from gateway.domain.form import typed
from gateway.domain.form_document import Indicator
from gateway.errors import MalformedRequest, NotFound, Place, Text
from gateway.flow.look import Opened
from gateway.flow.plan import Plan
from gateway.flow.question import Question

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Trace:
    """A figure, and a page of the reports that it rests on, by id; there may be one more than was asked for."""

    as_of: str
    cell: dict[str, object]
    items: list[dict[str, object]]


async def trace(opened: Opened, question: Question, keys: Mapping[str, str], after: UUID | None, limit: int) -> Trace:
    """The reports behind the cell of a question with one indicator that has these keys, as its row shows them.

    Raises ``MalformedRequest`` where a key is missing, and ``NotFound`` where there is no such row.
    """
    _require_keys(question, keys)
    [indicator] = question.indicators
    plan = Plan(opened.catalogue, question, opened.state)
    row = await _row(plan, opened.connection, keys)
    numbers = [each for each in plan.needed if each.is_number]
    columns = [plan.own(each) for each in numbers]
    cell = Cell(plan.group_of(row), plan.codes_of(row))
    page = (after or _NOBODY, limit + 1)
    found = await contributions(opened.connection, plan.scope, plan.grouping, cell, columns, page)
    deliveries = await deliveries_of(opened.connection, [each["id"] for each in found])
    value = row[indicator.id]
    shown = {name: row[name] for name in row if name != indicator.id} | {"indicator": indicator.id, "value": value}
    items = [_item(opened, numbers, each, deliveries) for each in found]
    return Trace(question.name(opened.state), shown, items)


async def _row(plan: Plan, connection: Any, keys: Mapping[str, str]) -> dict[str, object]:
    """The row of the answer that has these keys."""
    async with aclosing(plan.rows(connection)) as rows:
        async for row in rows:
            if all(_said(row[name]) == value for name, value in keys.items()):
                return row
    raise NotFound(Text("Không có ô số liệu này.", "There is no such cell."))


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _require_keys(question: Question, keys: Mapping[str, str]) -> None:
    kept_apart = [each.id for each in question.form.breakdowns if each.total == "none" or each.id in question.by]
    wanted = [*(name for name in ("agency", "level") if name in question.by), *kept_apart]
    missing = [name for name in wanted if name not in keys]
    unknown = [name for name in keys if name not in {*wanted, *(["own"] if "agency" in question.by else [])}]
    for names, message in (
        (missing, Text("Cần giá trị để chọn một ô.", "A value is needed to choose one cell.")),
        (unknown, Text("Không phải khóa của ô này.", "It is no key of such a cell.")),
    ):
        if names:
            raise MalformedRequest(message, errors=[Place(name, message) for name in names])


def _item(opened: Opened, indicators: Sequence[Indicator], head: Any, deliveries: Sequence[Any]) -> dict[str, object]:
    rows, *sums = head["parts"]
    return {
        "report": head["id"],
        "revision": head["revision"],
        "agency": opened.catalogue.agencies.codes[head["agency_id"]],
        "period": head["period"],
        "kind": head["kind"],
        "form_version": head["form_version"],
        "received_at": head["received_at"],
        "sha256": head["sha256"],
        "receipt": head["receipt"],
        "rows": int(rows),
        "values": {each.id: typed(each, value) for each, value in zip(indicators, sums, strict=True)},
        "deliveries": [_delivery(each) for each in deliveries if each["report_id"] == head["id"]],
    }


def _delivery(row: Any) -> dict[str, object]:
    return {
        "id": row["id"],
        "connector": row["connector"],
        "event": row["event"],
        "state": row["state"],
        "acknowledged_at": row["finished_at"] if row["state"] == "delivered" else None,
        "receipt": row["receipt"],
    }
