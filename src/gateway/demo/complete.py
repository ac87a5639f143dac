"""Who has reported and who has not: the gateway's answer, next to what the demonstration knows it has sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.demo.figures import FORM, owing
from gateway.demo.periods import REGIME
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage

_COUNTS = ("expected", "received", "on_time", "late", "missing")
_NAMED = 12
_BRANCHES = 3


async def check_completeness(stage: Stage) -> None:
    """Compare expected, received and missing, name by name, for the country and each ministry and province."""
    show, period = stage.show, stage.periods.current
    show.step("Đã báo cáo, còn thiếu", "Who has reported, and who has not")
    show.say(
        f"Nobody keeps a list: by regime {REGIME}, every agency in force on {period.cutoff:%d/%m/%Y} owes this report. "
        f"GET /v1/completeness?form={FORM}&period={period.code}&by=agency:"
    )
    asked = {"form": FORM, "period": period.code, "by": "agency"}
    answer = (await expect(200, stage.national.get("/v1/completeness", params=asked))).json()
    owed = owing(period.cutoff)
    lacking = owed.keys() - stage.ledger.agencies(period.code)
    _require(stage, "the country", answer, len(owed), lacking)
    stage.require(answer["late"] == len(stage.late), f"{answer['late']} reports are late, not {len(stage.late)}")
    rows = {row["agency"]: row for row in answer["rows"]}
    tops = {each.top for each in owed.values()}
    stage.require(rows.keys() == tops, "the ministries and provinces are not those that exist")
    for top, row in rows.items():
        branch = {code for code, each in owed.items() if each.top == top}
        _require(stage, top, row, len(branch), lacking & branch)
    branches = [(owed[top].name, row) for top, row in rows.items() if row["missing"] and row["expected"] > 1]
    _show(stage, answer, branches)
    figures = await stage.figures()
    is_same = all(figures[name] == answer[name] for name in ("expected", "missing"))
    stage.require(is_same, f"the aggregate says {figures['expected']} expected, {figures['missing']} missing")
    show.done(
        f"The same as the demo's own count, in each of {len(rows)} ministries and provinces; and the aggregate says so "
        f"too: “expected”: {figures['expected']}, “missing”: {figures['missing']}."
    )


def _require(stage: Stage, place: str, row: Mapping[str, Any], expected: int, lacking: set[str]) -> None:
    found = {each["agency"] for each in row["missing_agencies"]}
    counts = {name: row[name] for name in ("expected", "received", "missing")}
    own = {"expected": expected, "received": expected - len(lacking), "missing": len(lacking)}
    stage.require(counts == own, f"completeness of {place} is {counts}, not {own}")
    stage.require(found == lacking, f"wrongly missing or not in {place}: {sorted(found ^ lacking)[:_NAMED]}")
    stage.require(row["on_time"] + row["late"] == row["received"], f"on time and late of {place} are not all received")


def _show(stage: Stage, answer: Mapping[str, Any], branches: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """The country, the provinces where something is missing, and the names of the missing."""
    places = [("Cả nước · the whole country", answer), *branches[:_BRANCHES]]
    stage.show.table(
        ("", *(f"#{name.replace('_', ' ')}" for name in _COUNTS)),
        [(place, *(number(row[name]) for name in _COUNTS)) for place, row in places],
    )
    rows = [*(row for _, row in branches), answer]
    names = {each["agency"]: each["name"] for row in rows for each in row["missing_agencies"]}
    more = f" … and {number(len(names) - _NAMED)} more" if len(names) > _NAMED else ""
    stage.show.say(f"Missing: {'; '.join(list(names.values())[:_NAMED])}{more}.")
