"""The story of single reports: late, wrong and mended, repeated, corrected, returned."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from gateway.demo.figures import CAPITAL, Report, Row, a_row, land_department
from gateway.demo.ledger import INDICATORS
from gateway.demo.remote import expect
from gateway.demo.show import number
from gateway.demo.stage import Stage

FORGOTTEN = ("CIVIL_STATUS", 120)
"""The sector and the dossiers that the corrected report had left out."""
ONLINE_AND_RESOLVED = ("received_total", "received_online", "resolved_total", "resolved_early")
EXPLAINED = "25 hồ sơ kỳ trước đã chuyển cho chi nhánh văn phòng đăng ký đất đai tiếp tục giải quyết."
_TOTALS = ("received_total", "resolved_total", "pending_total")


async def tell_late(stage: Stage) -> None:
    """A report after its deadline is taken and marked, however late: this regime never locks."""
    show = stage.show
    show.step("Báo cáo muộn", "A late report")
    row = a_row("LAND", online=2280, offline=105, carried=15, late=0, early=1750, pending=25, overdue=0)
    for period in stage.periods.past:
        report = land_department(period.code, row)
        answer = (await stage.push(201, report.body())).json()
        stage.accept(report, answer)
        stage.require(answer["late"] is True, f"the late report says late: {answer['late']}")
        due = period.deadlines[report.level]
        show.say(f"{report.name} sends the report for {period.code} only now; it was due on {due:%d/%m/%Y}.")
        show.done(f"201: accepted, revision {answer['revision']}, [bold]late: true[/]. It counts, and stays marked.")


async def tell_wrong(stage: Stage) -> tuple[bytes, str]:
    """A wrong report is answered with everything that is wrong; mended, it is taken, once however often it is sent.

    Gives the bytes that were taken, and the receipt for them.
    """
    show = stage.show
    show.step("Báo cáo sai, và sửa", "A wrong report, and its fix")
    right = a_row("LAND", online=10_362, offline=0, carried=0, late=12, early=7_400, pending=25, overdue=0)
    wrong = replace(right, figures={**right.figures, "received_total": 10_361})
    report = land_department(stage.periods.current.code, wrong)
    show.say(
        f"{report.name} writes (3) = 10,361 although (4) = 10,362, and that nothing was carried over, although 25 "
        f"dossiers were pending at the end of {stage.periods.preceding.code}."
    )
    refusal = (await stage.push(422, report.body())).json()
    _show_findings(stage, refusal)
    await _require_unchanged(stage)
    return await _push_mended(stage, replace(report, rows=[right]))


def _show_findings(stage: Stage, refusal: dict[str, Any]) -> None:
    show, warnings = stage.show, [each for each in refusal["findings"] if each["severity"] == "warning"]
    findings = [each for each in refusal["findings"] if each["severity"] != "warning"]
    show.trouble(f"422: refused, with [bold]all {len(findings)} findings in one answer[/] (in Vietnamese or English):")
    columns = ("rule", "severity", "pointer", "#expected", "#actual", "#difference")
    names = [column.removeprefix("#") for column in columns]
    show.table(columns, [[each[name] for name in names] for each in findings])
    show.say(*(f"[bold]{each['rule']}[/] {each['message']}" for each in findings), "")
    found = sorted((each["rule"], each["difference"]) for each in findings)
    stage.require(found == [("R1", "-1"), ("R4", "-1"), ("R6", "-25")], f"the wrong report's findings are {found}")
    if warnings:
        show.say(f"Besides, warnings that refuse nothing: {', '.join(sorted({each['rule'] for each in warnings}))}.")
    show.say("R6 may be explained; R1 and R4 must be mended. What was refused is kept, and never counted.")


async def _require_unchanged(stage: Stage) -> None:
    """The national figures do not hold what was refused."""
    reports = (await stage.figures())["reports"]
    stage.require(reports == stage.ledger.reports(stage.periods.current.code), f"{reports} reports are counted")


async def _push_mended(stage: Stage, report: Report) -> tuple[bytes, str]:
    show = stage.show
    explanation = {
        "rule": "R6",
        "row": {"sector": "LAND"},
        "text": EXPLAINED,
    }
    body = report.body(explanations=[explanation])
    key = {"Idempotency-Key": f"{report.agency}-{report.period}-1"}
    first = await stage.push(201, body, key)
    stage.accept(report, first.json())
    show.done(
        f"201: accepted, revision {first.json()['revision']}. (3) is 10,362 now; the 25 dossiers of R6 are explained."
    )
    show.say(
        "", f"The answer got lost on the way? Sent again with the same Idempotency-Key ({key['Idempotency-Key']}):"
    )
    again = await stage.push(201, body, key)
    is_same = again.content == first.content and again.headers.get("idempotent-replayed") == "true"
    stage.require(is_same, "the repeated answer is not the first one")
    show.done(f"201 again, byte for byte the same {len(again.content):,} bytes, with Idempotent-Replayed: true.")
    return body, first.json()["receipt"]


async def tell_receipt(stage: Stage, body: bytes, receipt: str) -> None:
    """The receipt is proof, to anybody with the public key alone, of exactly these bytes."""
    show, processes = stage.show, stage.processes
    show.step("Biên nhận", "The receipt is proof")
    keys, sent, changed = (stage.directory / name for name in ("jwks.json", "report.json", "changed.json"))
    keys.write_bytes((await expect(200, stage.hanoi.get("/.well-known/jwks.json"))).content)
    sent.write_bytes(body)
    changed.write_bytes(body.replace(b"10362", b"10363", 1))
    show.say("Offline, with the public keys alone: gateway verify RECEIPT --keys jwks.json --payload report.json")
    genuine, other = await asyncio.gather(
        *(
            processes.succeeds("verify", receipt, "--keys", str(keys), "--payload", str(file))
            for file in (sent, changed)
        )
    )
    stage.require(genuine, "the receipt of the report was not verified")
    stage.require(not other, "the receipt was verified for other bytes")
    show.done(
        f"Genuine, for exactly these {len(body)} bytes; for the same bytes with one digit changed, it is refused."
    )


async def tell_duplicate(stage: Stage, report: Report) -> None:
    """The same bytes again are the same report, also without a key."""
    stage.show.step("Gửi trùng", "A duplicate")
    before = stage.current[report.agency]
    answer = await stage.push(200, report.body())
    stage.require(answer.json()["id"] == before, "the duplicate has an id of its own")
    stage.show.say(f"{report.name} sends its report a second time, without any key.")
    stage.show.done(f"200, not 201: the report that was kept before ({answer.json()['id']}). Nothing is counted twice.")


async def tell_correction(stage: Stage, report: Report) -> None:
    """A correction replaces what it corrects at once, and both are kept."""
    show = stage.show
    show.step("Đính chính", "A correction of an accepted report")
    sector, dossiers = FORGOTTEN
    show.say(
        f"{report.name} has forgotten {dossiers} civil status dossiers. A plain second report is a conflict (409); "
        "with “corrects” and a reason it becomes the next revision:"
    )
    corrected = _with_more_online(report, sector, dossiers)
    await stage.push(409, corrected.body())
    before = await _of_hanoi(stage)
    answer = await _correct(stage, corrected, f"Bổ sung {dossiers} hồ sơ hộ tịch tiếp nhận trực tuyến bị bỏ sót.")
    await _show_effect(stage, before)
    history = await expect(200, stage.hanoi.get(f"/v1/reports/{answer['id']}/history"))
    states = [f"revision {each['revision']} {each['status']}" for each in history.json()["items"]]
    stage.require(states == ["revision 1 superseded", "revision 2 accepted"], f"the history is {states}")
    show.done(f"Nothing is overwritten: {', '.join(states)}.")


async def tell_return(stage: Stage, report: Report) -> None:
    """A level above returns a report: it does not count until it is corrected."""
    show = stage.show
    show.step("Trả lại báo cáo", "A report is returned")
    before = await _of_hanoi(stage)
    reason = "Đề nghị kiểm tra lại số hồ sơ chứng thực."
    first = stage.current[report.agency]
    answer = (await expect(200, stage.national.post(f"/v1/reports/{first}/return", json={"reason": reason}))).json()
    stage.ledger.leave_out(report)
    stage.owed[first, "returned"] = ""
    show.say(f"The national level returns the report of {report.name}: “{reason}”")
    stage.require(answer["status"] == "returned", f"the returned report is {answer['status']}")
    await _show_effect(stage, before, _TOTALS)
    before = await _of_hanoi(stage)
    await _correct(stage, _with_more_online(report, "AUTHENTICATION", 7), "Đã kiểm tra, bổ sung 7 hồ sơ chứng thực.")
    show.say("The commune checks, corrects by 7 and sends again; from then on it counts:")
    await _show_effect(stage, before, _TOTALS)


def _with_more_online(report: Report, sector: str, more: int) -> Report:
    """A report with more dossiers of a sector, received online and resolved early."""
    rows = [
        Row(row.sector, {name: value + more * (name in ONLINE_AND_RESOLVED) for name, value in row.figures.items()})
        if row.sector == sector
        else row
        for row in report.rows
    ]
    return replace(report, rows=rows)


async def _correct(stage: Stage, report: Report, reason: str) -> dict[str, Any]:
    answer = await stage.push(201, report.body(corrects=stage.current[report.agency], reason=reason))
    content: dict[str, Any] = answer.json()
    stage.accept(report, content)
    return content


async def _of_hanoi(stage: Stage) -> dict[str, int]:
    """Ha Noi's figures, as the national system sees them now."""
    row = (await stage.figures(under=CAPITAL))["rows"][0]
    return {name: row[name] for name in INDICATORS}


async def _show_effect(stage: Stage, before: dict[str, int], shown: Collection[str] = tuple(INDICATORS)) -> None:
    """Which of Ha Noi's figures have moved, next to what they should be; all are checked, shown or not."""
    after = await _of_hanoi(stage)
    expected = stage.ledger.sums(stage.periods.current.code, top=CAPITAL)[""]
    moved = [name for name in shown if before[name] != after[name]]
    stage.show.table(
        ("Hà Nội, whole province", "#before", "#after", "#change", "#counted here", "#off by"),
        [_effect(name, before[name], after[name], expected[name]) for name in moved],
    )
    wrong = [name for name in INDICATORS if after[name] != expected[name]]
    stage.require(not wrong, f"Hà Nội's figures differ from what was sent: {', '.join(wrong)}")


def _effect(name: str, before: int, after: int, expected: int) -> Sequence[str]:
    figures = (number(before), number(after), f"{after - before:+,}", number(expected), number(after - expected))
    return (INDICATORS[name], *figures)
