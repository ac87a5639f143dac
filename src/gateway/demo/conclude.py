"""The last page: what it came to, and what to open next."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.demo.figures import CAPITAL, FORM, a_row
from gateway.demo.periods import Periods
from gateway.demo.remote import Account
from gateway.demo.show import Show, number
from gateway.demo.start import Addresses
from gateway.settings import Settings

_JUSTICE_DEPARTMENT = "H26.13"
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demonstration came to; rates are per second."""

    periods: Periods
    reports: int
    report_rate: float
    deliveries: int
    delivery_rate: float
    compared: int
    faults: Sequence[str]


def conclude(show: Show, outcome: Outcome, seconds: float) -> bool:
    """Say whether all was as it must be."""
    show.step("Kết quả", "What it came to")
    show.facts(
        {
            "Reports pushed in batches": number(outcome.reports),
            "… in a second, all rules checked, a receipt signed for each": number(round(outcome.report_rate)),
            "Deliveries to the national system": number(outcome.deliveries),
            "… in a second, outage and kill -9 included": number(round(outcome.delivery_rate)),
            "Aggregated figures compared with the demonstration's own count": number(outcome.compared),
            "Things that were not as they must be": number(len(outcome.faults)),
            "Seconds, from an empty directory": number(round(seconds)),
        }
    )
    for fault in outcome.faults[:_LISTED]:
        show.fault(fault)
    if not outcome.faults:
        show.done("[bold]Everything pushed was checked, kept, forwarded and counted, and both counts agree.[/]")
    return not outcome.faults


def tell_what_to_open(show: Show, outcome: Outcome, account: Account, addresses: Addresses, own: Settings) -> None:
    """What to do with the gateway that now serves: pages, and commands to copy."""
    show.step("Thử tiếp", "What to open next")
    show.table(
        ("Open", "Address"),
        [
            ("API documentation, with a form to try it", f"{addresses.api}/docs"),
            ("What the national system received", f"{addresses.sandbox}/received?limit=3"),
            ("Logs of every process", str(own.data_dir / "logs")),
        ],
    )
    show.say("A token, as the system of Hà Nội:", "")
    asked = f"curl -s -u {account.id}:{account.secret} -d grant_type=client_credentials {addresses.api}/oauth/token"
    show.exactly(f'TOKEN=$({asked} | sed \'s/.*"access_token":"\\([^"]*\\).*/\\1/\')')
    show.say("", "A report of your own, with a total that is off by one: change 2401 to 2400 and it is taken.", "")
    show.exactly(
        f"curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
        f"-d {shlex.quote(_report(outcome.periods.earlier.code))} {addresses.api}/v1/reports"
    )
    show.say("", "It is in the figures at once, and soon in the sandbox:", "")
    query = f"form={FORM}&period={outcome.periods.earlier.code}&under={CAPITAL}&by=agency"
    show.exactly(f"curl -s -H \"Authorization: Bearer $TOKEN\" '{addresses.api}/v1/aggregates?{query}'")
    show.exactly(f"curl -s '{addresses.sandbox}/received?limit=1'")
    show.say("", "The figures in a notebook, with sdmx1 ([bold]pip install sdmx1[/]); for pysdmx see docs/sdmx.md:", "")
    address = addresses.api.replace("://", f"://{account.id}:{account.secret}@")
    show.exactly("import sdmx")
    show.exactly(f'sdmx.add_source({{"id": "{own.sdmx_agency}", "name": "Reports", "url": "{address}/sdmx/v1"}})')
    key = f"Q+A.{CAPITAL}.received_total+pending_total._T"
    show.exactly(f'print(sdmx.to_pandas(sdmx.Client("{own.sdmx_agency}").data("{FORM}", key="{key}")))')
    show.say("", "[bold]Serving until Ctrl-C.[/]")


def _report(period: str) -> str:
    """A report that one total of is wrong, short enough to read and to mend on the command line."""
    row = a_row("LAND", online=2280, offline=105, carried=15, late=0, early=1750, pending=25, overdue=0)
    figures = {**row.figures, "received_total": 2401}
    return json.dumps(
        {"form": FORM, "agency": _JUSTICE_DEPARTMENT, "period": period, "rows": [{"sector": row.sector, **figures}]}
    )
