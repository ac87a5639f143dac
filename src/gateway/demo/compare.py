"""The national figures, next to the same figures counted by the demonstration from what was sent."""

from collections.abc import Mapping

from gateway.demo.figures import Report, Row
from gateway.demo.ledger import INDICATORS, Figures, differences
from gateway.demo.show import number
from gateway.demo.stage import Stage, keyed

_LISTED = 5
_LEVELS = {"ministry": "Bộ, ngành", "province": "Tỉnh, thành phố", "department": "Sở, ban, ngành", "commune": "Cấp xã"}


async def check_figures(stage: Stage) -> int:
    """Compare the total and every row by ministry and province, by level and by sector; how many were compared."""
    show, quarter = stage.show, stage.quarters.current.code
    show.step("Số liệu tổng hợp cả nước", f"National figures of {quarter}, counted twice")
    total = await stage.figures()
    nation = {"": {name: total["rows"][0][name] for name in INDICATORS}}
    owed = stage.ledger.reports(quarter)
    stage.require(total["reports"] == owed, f"{total['reports']} reports are counted, not {owed}")
    _show_total(stage, nation[""])
    compared = _compare(stage, "total", nation, stage.ledger.sums(quarter))
    compared += await _check_branches(stage)
    compared += await _check_levels(stage)
    compared += await _check_sectors(stage)
    if not stage.faults:
        show.done(f"{number(compared)} figures compared, from {number(owed)} reports: every one is the same.")
    return compared


def _show_total(stage: Stage, gateway: Figures) -> None:
    here = stage.ledger.sums(stage.quarters.current.code)[""]
    stage.show.table(
        (
            "Cả nước · the whole country",
            "#gateway: GET /v1/aggregates",
            "#counted here, from the inputs",
            "#difference",
        ),
        [
            (title, number(gateway[name]), number(here[name]), number(gateway[name] - here[name]))
            for name, title in INDICATORS.items()
        ],
    )


async def _check_branches(stage: Stage) -> int:
    answer = await stage.figures(by="agency")
    found = keyed([row for row in answer["rows"] if not row.pop("own")], "agency")
    expected = stage.ledger.sums(stage.quarters.current.code, by=_top)
    return _compare(stage, "by=agency", found, expected)


async def _check_levels(stage: Stage) -> int:
    found = keyed((await stage.figures(by="level"))["rows"], "level")
    stage.show.table(
        ("By level", "#received", "#of them online", "#resolved", "#of them late", "#pending"),
        [_line(_LEVELS[level], found[level]) for level in _LEVELS if level in found],
    )
    expected = stage.ledger.sums(stage.quarters.current.code, by=_level)
    return _compare(stage, "by=level", found, expected)


async def _check_sectors(stage: Stage) -> int:
    found = keyed((await stage.figures(by="sector"))["rows"], "sector")
    titles = await _sector_titles(stage)
    most = sorted(found, key=lambda sector: -found[sector]["received_total"])[:_LISTED]
    stage.show.table(
        (
            f"By sector, the {_LISTED} largest of {len(found)}",
            "#received",
            "#of them online",
            "#resolved",
            "#of them late",
            "#pending",
        ),
        [_line(titles[sector], found[sector]) for sector in most],
    )
    expected = stage.ledger.sums(stage.quarters.current.code, by=_sector)
    return _compare(stage, "by=sector", found, expected)


async def _sector_titles(stage: Stage) -> dict[str, str]:
    codes = (await stage.national.get("/v1/codelists/TTHC_SECTOR")).json()["codes"]
    return {each["code"]: each["title"]["vi"] for each in codes}


def _line(title: str, figures: Figures) -> tuple[str, ...]:
    in_period = figures["received_online"] + figures["received_offline"]
    return (
        title,
        number(figures["received_total"]),
        f"{figures['received_online'] / in_period:.1%}",
        number(figures["resolved_total"]),
        f"{figures['resolved_late'] / figures['resolved_total']:.2%}",
        number(figures["pending_total"]),
    )


def _compare(stage: Stage, what: str, found: Mapping[str, Figures], expected: Mapping[str, Figures]) -> int:
    for each in differences(expected, found):
        stage.fault(f"{what} {each.place} {each.indicator}: {number(each.actual)}, not {number(each.expected)}")
    return len(expected) * len(INDICATORS)


def _top(report: Report, row: Row) -> str:
    return report.top


def _level(report: Report, row: Row) -> str:
    return report.level


def _sector(report: Report, row: Row) -> str:
    return row.sector
