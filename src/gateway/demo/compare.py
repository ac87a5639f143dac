"""The national figures, next to the same figures counted by the demonstration from what was sent."""

from collections.abc import Callable, Mapping

from gateway.demo.figures import Report, Row
from gateway.demo.ledger import INDICATORS, Figures, differences
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage, keyed

_LISTED = 5
_COLUMNS = ("#received", "#online", "#resolved", "#late", "#pending")
_LEVELS = {
    "ministry": "Bộ, ngành",
    "province": "Tỉnh, thành phố",
    "department": "Sở, ban, ngành",
    "commune": "Xã, phường, đặc khu",
}
_GROUPINGS: Mapping[str, Callable[[Report, Row], str]] = {
    "agency": lambda report, row: report.top,
    "level": lambda report, row: report.level,
    "sector": lambda report, row: row.sector,
}


async def check_figures(stage: Stage) -> int:
    """Compare the total and every row by ministry and province, by level and by sector; how many were compared."""
    show, period = stage.show, stage.periods.current.code
    show.step("Số liệu tổng hợp cả nước", f"National figures of {period}, counted twice")
    compared = await _check_total(stage)
    found = {by: keyed((await stage.figures(by=by))["rows"], by) for by in _GROUPINGS}
    await _show_groups(stage, found["level"], found["sector"])
    for by, group in _GROUPINGS.items():
        compared += note_differences(stage, f"by={by}", found[by], stage.ledger.sums(period, group))
    if not stage.faults:
        reports = number(stage.ledger.reports(period))
        show.done(f"{number(compared)} figures compared, from {reports} reports: every one is the same.")
    return compared


async def _check_total(stage: Stage) -> int:
    period = stage.periods.current.code
    answer = await stage.figures()
    counted, owed = answer["reports"], stage.ledger.reports(period)
    stage.require(counted == owed, f"{counted} reports are counted, not {owed}")
    gateway, here = keyed(answer["rows"]), stage.ledger.sums(period)
    stage.show.table(
        ("Cả nước · the whole country", "#gateway", "#counted here", "#difference"),
        [
            (title, number(there := gateway[""][name]), number(here[""][name]), number((there or 0) - here[""][name]))
            for name, title in INDICATORS.items()
        ],
    )
    return note_differences(stage, "total", gateway, here)


async def _show_groups(stage: Stage, levels: Mapping[str, Figures], sectors: Mapping[str, Figures]) -> None:
    codes = (await expect(200, stage.national.get("/v1/codelists/TTHC_SECTOR"))).json()["codes"]
    titles = {each["code"]: each["title"]["vi"] for each in codes}
    most = sorted(sectors, key=lambda sector: -sectors[sector]["received_total"])[:_LISTED]
    stage.show.table(
        ("By level", *_COLUMNS), [_line(title, levels[level]) for level, title in _LEVELS.items() if level in levels]
    )
    stage.show.table(
        (f"The {len(most)} largest of {len(sectors)} sectors", *_COLUMNS),
        [_line(titles[sector], sectors[sector]) for sector in most],
    )


def _line(title: str, figures: Figures) -> tuple[str, ...]:
    in_period = figures["received_online"] + figures["received_offline"]
    return (
        title,
        number(figures["received_total"]),
        _share(figures["received_online"], in_period, 1),
        number(figures["resolved_total"]),
        _share(figures["resolved_late"], figures["resolved_total"], 2),
        number(figures["pending_total"]),
    )


def _share(part: int, whole: int, decimals: int) -> str:
    return f"{part / whole:.{decimals}%}" if whole else "–"


def note_differences(stage: Stage, what: str, found: Mapping[str, Figures], expected: Mapping[str, Figures]) -> int:
    """Every figure that is not the one counted here is a fault; how many were compared."""
    for each in differences(expected, found):
        place = " ".join(filter(None, (what, each.place, each.indicator)))
        stage.fault(f"{place}: {number(each.actual)}, not {number(each.expected)}")
    return len(expected) * len(INDICATORS)
