"""Consolidate: a parent's report made from its children's accepted ones and its own, level by level.

A child that has an accepted consolidation gives that, any other child its own figures. The result is a report like
any other (checked, receipted, forwarded) that knows its parts, so that it can be told when one of them has changed.
It is never counted in aggregates: its parts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.consolidations import KeptPart, find_part_rows, find_parts
from gateway.db.standings import standings_of
from gateway.db.state import snapshot
from gateway.domain.catalogue import Catalogue
from gateway.domain.consolidation import Row, Source, consolidate, inherit
from gateway.domain.exact import encode
from gateway.domain.form import Form
from gateway.domain.obligation import Standing
from gateway.domain.period import Period
from gateway.domain.report import Nil, ReportKind
from gateway.errors import ConsolidationIncomplete, NotFound, StateConflict, Text
from gateway.flow.show import cells_shown

Key = tuple[str, ReportKind]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which consolidation: the parent agency, the form (in the version of the period) and the period."""

    agency: str
    form: Form
    period: Period


@dataclass(frozen=True, slots=True)
class Absent:
    """A report that a consolidation lacks: whose, of which kind, and whether it was returned."""

    agency: str
    kind: ReportKind
    returned: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What a consolidation would be made from now."""

    parts: dict[Key, Standing]
    missing: list[Absent]

    @property
    def late(self) -> list[str]:
        return [agency for (agency, _), standing in self.parts.items() if standing.late]


@dataclass(frozen=True, slots=True)
class Made:
    """A consolidation ready to be received, or the current one where nothing has changed since it was made."""

    body: bytes
    parts: tuple[UUID, ...]
    unchanged: UUID | None


def asked_for(catalogue: Catalogue, form: str, agency: str, code: str) -> Asked:
    """Read a request. Raises ``NotFound`` for no such form."""
    versions = catalogue.forms.get(form)
    if not versions:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))
    period = catalogue.obligations.period(form, agency, ReportKind.consolidation, code)
    return Asked(agency, catalogue.form_on(form, period.end) or versions[-1], period)


async def prepare_consolidation(
    engine: AsyncEngine, catalogue: Catalogue, asked: Asked, reason: str | None, must_be_complete: bool
) -> Made:
    """Make a consolidation of what is accepted now, from one snapshot.

    Raises ``ConsolidationIncomplete`` when it must be complete and is not, ``StateConflict`` when there is nothing
    to make it from.
    """
    async with snapshot(engine) as connection:
        picture, current = await _look(connection, catalogue, asked)
        if must_be_complete and picture.missing:
            raise ConsolidationIncomplete(extra={"missing": [shown_absent(each) for each in picture.missing]})
        if not picture.parts:
            raise StateConflict(
                Text("Chưa có báo cáo nào để tổng hợp.", "No report was accepted that could be consolidated.")
            )
        parts = tuple(each.report for each in picture.parts.values())
        if current is not None:
            before = await find_parts(connection, current.report)
            if {each.report for each in before} == set(parts):
                return Made(b"", parts, current.report)
            reason = reason or _reason(changes(catalogue, before, picture.parts))
        return Made(await _body(connection, catalogue, asked, picture, current, reason), parts, None)


async def _body(
    connection: Any,
    catalogue: Catalogue,
    asked: Asked,
    picture: Picture,
    current: Standing | None,
    reason: str | None,
) -> bytes:
    kept = await find_part_rows(connection, [each.report for each in picture.parts.values()])
    sources: list[Source] = []
    explained: list[tuple[str, list[dict[str, Any]]]] = []
    for each in kept.values():
        form = catalogue.form_version(asked.form.code, each.form_version) or asked.form
        cells = [Row(tuple(row.codes), cells_shown(form, row.figures, row.texts)) for row in each.rows]
        sources.append(Source(form, cells))
        explained.append((catalogue.agencies.codes[each.agency_id], each.explanations))
    rows = consolidate(asked.form, sources)
    return encode(
        {
            "form": asked.form.code,
            "agency": asked.agency,
            "period": asked.period.code,
            "kind": ReportKind.consolidation,
            "rows": rows,
            "explanations": inherit(explained),
            "nil": None if rows else _nil(picture.parts.values()),
            "corrects": None if current is None else current.report,
            "reason": reason,
            "form_version": asked.form.version,
        }
    )


def _nil(parts: Any) -> Nil:
    """Of parts without rows: not applicable only if it is to all of them."""
    every = {each.nil for each in parts}
    return Nil.not_applicable if every == {Nil.not_applicable} else Nil.nothing_to_report


async def _look(connection: Any, catalogue: Catalogue, asked: Asked) -> tuple[Picture, Standing | None]:
    """What is there to consolidate, and the current consolidation if there is one."""
    agencies, period = catalogue.agencies, asked.period
    form = catalogue.form_ids[asked.form.code]
    children = sorted(agencies.on(period.end).children.get(asked.agency, ()))
    ids = {code: agencies.ids[code] for code in (asked.agency, *children)}
    cut = catalogue.obligations.period
    keys = [
        (form, cut(asked.form.code, code, kind, period.code), number, kind)
        for code, number in ids.items()
        for kind in ReportKind
    ]
    standings = await standings_of(connection, keys)

    def standing(code: str, kind: ReportKind) -> Standing | None:
        return standings.get((form, period.code, ids[code], kind))

    expected = _expected(catalogue, asked, children)
    parts: dict[Key, Standing] = {}
    missing: list[Absent] = []
    for code in (asked.agency, *children):
        kinds = [ReportKind.own] if code == asked.agency else [ReportKind.consolidation, ReportKind.own]
        accepted = {kind: each for kind in kinds if (each := standing(code, kind)) is not None and each.is_accepted}
        taken = next(iter(accepted), None)
        if taken is not None:
            parts[code, taken] = accepted[taken]
        wanted = expected.get(code)
        if wanted is not None and taken not in {wanted, ReportKind.consolidation}:
            missing.append(Absent(code, wanted, standing(code, wanted) is not None))
    return Picture(parts, missing), standing(asked.agency, ReportKind.consolidation)


def _expected(catalogue: Catalogue, asked: Asked, children: Sequence[str]) -> dict[str, ReportKind]:
    """What each child, and the parent itself, should give: a consolidation where others below it owe something."""
    hierarchy = catalogue.agencies.on(asked.period.end)
    under = frozenset(children)
    expected: dict[str, ReportKind] = {}
    for each in catalogue.obligations.owed(asked.form.code, asked.period.code):
        if each.agency == asked.agency:
            if each.kind is ReportKind.own:
                expected[each.agency] = ReportKind.own
            continue
        child: str | None = each.agency
        while child is not None and child not in under:
            child = hierarchy.parents.get(child)
        if child is None:
            continue
        if child != each.agency or each.kind is ReportKind.consolidation:
            expected[child] = ReportKind.consolidation
        else:
            expected.setdefault(child, ReportKind.own)
    return expected


@dataclass(frozen=True, slots=True)
class Change:
    """How a part differs from what it was: corrected, returned, withdrawn, or reported only since."""

    agency: str
    change: str
    was: UUID | None
    now: UUID | None


def changes(catalogue: Catalogue, before: Sequence[KeptPart], now: dict[Key, Standing]) -> list[Change]:
    """What has changed since a consolidation was made, by agency."""
    codes = catalogue.agencies.codes
    was = {codes[each.agency_id]: each for each in before}
    current = {agency: standing.report for (agency, _), standing in now.items()}
    found: list[Change] = []
    for agency in sorted({*was, *current}):
        old, new = was.get(agency), current.get(agency)
        if old is None:
            found.append(Change(agency, "reported", None, new))
        elif new != old.report:
            words = {"superseded": "corrected", "accepted": "consolidated"}
            found.append(Change(agency, words.get(old.status, old.status), old.report, new))
    return found


def _reason(found: Sequence[Change]) -> str:
    """Why a consolidation is made again, where nobody said."""
    named = ", ".join(f"{each.agency} ({each.change})" for each in found[:20])
    more = f" … +{len(found) - 20}" if len(found) > 20 else ""
    return f"Tổng hợp lại do thay đổi / consolidated again after changes: {named}{more}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a consolidation was made from, and how that stands now."""

    parts: list[KeptPart]
    missing: list[Absent]
    late: list[str]
    changes: list[Change]


async def lineage(connection: Any, catalogue: Catalogue, asked: Asked, report: UUID) -> Lineage | None:
    """The parts of a consolidation and what has changed since; None for a report that was not made here."""
    parts = await find_parts(connection, report)
    if not parts:
        return None
    picture, _ = await _look(connection, catalogue, asked)
    return Lineage(parts, picture.missing, picture.late, changes(catalogue, parts, picture.parts))


def shown_absent(absent: Absent) -> dict[str, object]:
    return {"agency": absent.agency, "kind": absent.kind, "returned": absent.returned}


def lineage_shown(found: Lineage, catalogue: Catalogue) -> dict[str, object]:
    """The lineage as JSON has it: ``stale`` when one call would make another consolidation."""
    return {
        "stale": bool(found.changes),
        "changes": [
            {"agency": each.agency, "change": each.change, "was": each.was, "now": each.now} for each in found.changes
        ],
        "missing": [shown_absent(each) for each in found.missing],
        "late": found.late,
        "parts": [
            {
                "agency": catalogue.agencies.codes[each.agency_id],
                "kind": each.kind,
                "report": each.report,
                "revision": each.revision,
                "status": each.status,
            }
            for each in found.parts
        ],
    }
