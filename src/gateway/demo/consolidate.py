"""A province's consolidation: made from its agencies' reports, stale when one is corrected, made anew by one call."""

from collections.abc import Mapping
from typing import Any

from gateway.demo.compare import note_differences
from gateway.demo.figures import CAPITAL, FORM, LAND_DEPARTMENT, Report
from gateway.demo.ledger import INDICATORS
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage, keyed
from gateway.demo.tell import EXPLAINED, FORGOTTEN, ONLINE_AND_RESOLVED

Consolidation = dict[str, Any]


async def tell_consolidation(stage: Stage) -> Consolidation:
    """Ha Noi's agencies become one report, which is forwarded and never added to what it was made from."""
    show, period = stage.show, stage.periods.current.code
    show.step("Báo cáo tổng hợp", "A consolidation")
    show.say(f"Everybody in Hà Nội has reported. POST /v1/consolidations with {FORM}, {period} and {CAPITAL}:")
    made = await _make(stage)
    parts, owed = len(made["consolidation"]["parts"]), stage.ledger.reports(period, CAPITAL)
    stage.require(parts == owed, f"the consolidation was made from {parts} reports, not {owed}")
    stage.require(not made["consolidation"]["missing"], "the consolidation lacks a report")
    cited = [each["text"] for each in made["explanations"]]
    is_cited = any(f"{LAND_DEPARTMENT}: {EXPLAINED}" in text for text in cited)
    stage.require(is_cited, "the consolidation does not cite the department's explanation")
    counted = (await stage.figures())["reports"]
    stage.require(counted == stage.ledger.reports(period), "the consolidation is counted beside its parts")
    show.done(
        f"201: {parts} reports became one with {len(made['rows'])} sectors, checked by the same rules, explanations "
        f"cited. Its {number(len(made['rows']) * len(INDICATORS))} figures are those counted here. It is forwarded; "
        "the national figures count only its parts."
    )
    return made


async def tell_refresh(stage: Stage, made: Consolidation, report: Report) -> None:
    """A part was corrected: the consolidation says so, and one call makes it anew."""
    show = stage.show
    show.step("Tổng hợp lại", "The consolidation is made anew")
    lineage = (await expect(200, stage.hanoi.get(f"/v1/reports/{made['id']}"))).json()["consolidation"]
    changes = [(each["agency"], each["change"]) for each in lineage["changes"]]
    stage.require(lineage["stale"] is True, "the consolidation is not stale")
    stage.require(changes == [(report.agency, "corrected")], f"the consolidation says that {changes} changed")
    show.trouble(f"After that correction it is stale and says why: {report.name} ({report.agency}): corrected.")
    anew = await _make(stage)
    is_next = (anew["revision"], anew["corrects"]) == (made["revision"] + 1, made["id"])
    stage.require(is_next and not anew["consolidation"]["stale"], "the consolidation was not made anew")
    show.say(f"The same call again: 201, revision {anew['revision']}. GET /v1/reports/{{id}}/difference:")
    difference = (await expect(200, stage.hanoi.get(f"/v1/reports/{anew['id']}/difference"))).json()
    _show_difference(stage, difference)
    show.done("Only what was corrected has changed, and every figure is again the one counted here.")


async def _make(stage: Stage) -> Consolidation:
    """Ha Noi's consolidation, which must be complete, new, and in every figure what was sent."""
    period = stage.periods.current.code
    asked = {"form": FORM, "period": period, "agency": CAPITAL, "require_complete": True}
    made: Consolidation = (await expect(201, stage.hanoi.post("/v1/consolidations", json=asked))).json()
    stage.forwarded(made)
    expected = stage.ledger.sums(period, lambda _, row: row.sector, CAPITAL)
    note_differences(stage, "Hà Nội's consolidation", keyed(made["rows"], "sector"), expected)
    return made


def _show_difference(stage: Stage, difference: Mapping[str, Any]) -> None:
    changed = [(row, each) for row in difference["rows"] for each in row["indicators"]]
    stage.show.table(
        ("Sector", "Indicator", "#before", "#after", "#difference"),
        [
            (
                row["row"]["sector"],
                INDICATORS[each["indicator"]],
                number(each["before"]),
                number(each["after"]),
                each["difference"] or "–",
            )
            for row, each in changed
        ],
    )
    found = {(row["row"]["sector"], each["indicator"]): each["difference"] for row, each in changed}
    sector, dossiers = FORGOTTEN
    own = {(sector, name): str(dossiers) for name in ONLINE_AND_RESOLVED}
    stage.require(found == own, f"the difference is {found}, not {own}")
