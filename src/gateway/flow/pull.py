"""Pull single values: every counted figure with the report and revision it comes from."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.figures import After, single_rows, snapshot, state_token
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.flow.aggregate import Question
from gateway.flow.show import cells_shown


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list an observation stands: its report, row and indicator (by place in the form)."""

    report: UUID
    row: int
    indicator: int


@dataclass(frozen=True, slots=True)
class Observations:
    """Single values in a fixed order, each with its place, as they come; ``columns`` are their fields."""

    as_of: str
    columns: list[str]
    items: AsyncGenerator[tuple[Place, dict[str, object]], None]


@asynccontextmanager
async def pull(
    engine: AsyncEngine, catalogue: Catalogue, question: Question, after: Place | None
) -> AsyncIterator[Observations]:
    """The observations of a question from one snapshot, from just after a place on; blanks are not observed."""
    breakdowns = [each.id for each in question.form.breakdowns]
    columns = ["form", "form_version", "agency", "period", *breakdowns, "indicator", "value", "report", "revision"]
    async with snapshot(engine) as connection:
        token = question.state(await state_token(connection))
        yield Observations(token, columns, _items(connection, catalogue, question, after))


async def _items(
    connection: Any, catalogue: Catalogue, question: Question, after: Place | None
) -> AsyncGenerator[tuple[Place, dict[str, object]], None]:
    wanted = {each.id for each in question.indicators}
    since = After(after.report, after.row) if after else None
    counted = _counted(catalogue, question)
    async for row in single_rows(connection, question.scope(catalogue), since):
        if counted is not None and row["agency_id"] not in counted[row["period"]]:
            continue
        form = catalogue.form_version(question.form_code, row["form_version"])
        if form is None:
            raise LookupError(f"form {question.form_code} version {row['form_version']} is not in the catalogue")
        for place, item in _observed(form, row, wanted, catalogue):
            if after is None or (place.report, place.row, place.indicator) > (
                after.report,
                after.row,
                after.indicator,
            ):
                yield place, item


def _counted(catalogue: Catalogue, question: Question) -> dict[str, set[int]] | None:
    """Storage keys of those in the subtree, for each period: one may be in it in some only. None is everyone."""
    if question.under is None:
        return None
    ids = catalogue.agencies.ids
    return {each.code: {ids[code] for code in question.branches(catalogue, each)} for each in question.periods}


def _observed(form: Form, row: Any, wanted: set[str], catalogue: Catalogue) -> list[tuple[Place, dict[str, object]]]:
    common: dict[str, object] = {
        "form": form.code,
        "form_version": form.version,
        "agency": catalogue.agencies.codes[row["agency_id"]],
        "period": row["period"],
    }
    common |= zip((each.id for each in form.breakdowns), row["codes"], strict=True)
    source = {"report": row["id"], "revision": row["revision"]}
    cells = cells_shown(form, row["figures"], row["texts"])
    return [
        (Place(row["id"], row["number"], index), common | {"indicator": name, "value": value} | source)
        for index, (name, value) in enumerate(cells)
        if value is not None and name in wanted
    ]
