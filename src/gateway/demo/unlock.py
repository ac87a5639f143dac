"""A locked period: refused with whom to ask, opened by an extension, then taken and marked as late."""

import json
from datetime import UTC, date, datetime, timedelta

from gateway.demo.figures import CAPITAL
from gateway.demo.periods import TOP, Period, periods_of
from gateway.demo.remote import expect
from gateway.demo.stage import Stage
from gateway.domain.calendar import civil_date
from gateway.domain.period import day_of_month

_REGIME, _FORM = "KTXH", "KTXH_01"
_RECEIVER = "G22"
"""The Government Office, to whom the regime addresses reports."""
_MONTHS_AGO = 3
_MORE_DAYS = 7
_REASON = "Mất kết nối do bão."
_FIGURES = {
    "stage": "ACTUAL",
    "retail_sales": 78_215.4,
    "budget_revenue": 41_390.7,
    "budget_expenditure": 12_804.2,
    "public_investment_plan": 87_000,
    "public_investment_disbursed": 6_090,
    "disbursement_rate": 7,
}
"""Invented, and a rate that is right: column (8) in hundredths of column (7)."""


async def tell_locked(stage: Stage) -> None:
    """Ha Noi's monthly report of three months ago: the period has been locked since ten days after its deadline."""
    show, today = stage.show, civil_date(datetime.now(UTC))
    show.step("Kỳ đã khóa và gia hạn", "A locked period, and an extension")
    period = await _month(stage, today)
    since = period.locks_after[TOP] + timedelta(days=1)
    body = json.dumps({"form": _FORM, "agency": CAPITAL, "period": period.code, "rows": [_FIGURES]}).encode()
    refusal = (await stage.push(409, body)).json()
    said = (refusal["type"].rpartition(":")[2], refusal["locked_since"], refusal["ask"])
    stage.require(said == ("period-locked", since.isoformat(), _RECEIVER), f"the locked period says {said}")
    await _require_state(stage, period, "locked")
    asked = (await expect(200, stage.hanoi.get(f"/v1/agencies/{refusal['ask']}"))).json()
    due, days = period.deadlines[TOP], (period.locks_after[TOP] - period.deadlines[TOP]).days
    show.say(
        f"Hà Nội forgot its monthly report {_FORM} for {period.code}, due on {due:%d/%m/%Y}. Its regime {_REGIME}, "
        f"unlike the other, locks a period {days} days after the deadline."
    )
    show.trouble(f"409: locked since {since:%d/%m/%Y}; ask {refusal['ask']} ({asked['name']}) for an extension.")
    await _extend(stage, period, today + timedelta(days=_MORE_DAYS))
    answer = (await stage.push(201, body)).json()
    stage.forwarded(answer)
    stage.require(answer["late"] is True, "a report after its deadline is not late for having been given more time")
    await _require_state(stage, period, "late")
    show.done("The same bytes again: 201, accepted, [bold]late: true[/]: more time was given after the deadline.")


async def _month(stage: Stage, today: date) -> Period:
    """The period named after the month three months ago."""
    month = f"{day_of_month(today.year, today.month - _MONTHS_AGO, 1):%Y-%m}"
    return next(each for each in await periods_of(stage.hanoi, _REGIME, [int(month[:4])]) if each.code == month)


async def _extend(stage: Stage, period: Period, until: date) -> None:
    asked = {
        "form": _FORM,
        "period": period.code,
        "agency": CAPITAL,
        "until": until.isoformat(),
        "reason": _REASON,
    }
    granted = (await expect(201, stage.operator.post("/v1/obligations/extensions", json=asked))).json()
    stage.require(granted["until"] == asked["until"], "the extension was granted until another day")
    stage.show.say(
        f"POST /v1/obligations/extensions: the national operator gives Hà Nội until {until:%d/%m/%Y}. The reason stays "
        f"on record: “{_REASON}”"
    )


async def _require_state(stage: Stage, period: Period, state: str) -> None:
    """Where Ha Noi's obligation stands."""
    asked = {"agency": CAPITAL, "form": _FORM, "period": period.code}
    found = (await expect(200, stage.hanoi.get("/v1/obligations", params=asked))).json()["items"]
    stage.require([each["state"] for each in found] == [state], f"the obligation is not {state}: {found}")
