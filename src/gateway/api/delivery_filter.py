"""Which deliveries a request speaks of: the same parameters for listing them and for taking them up again."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from gateway.api.deps import NewestCatalogue, Operator, Today
from gateway.api.parameters import ExactAgency, OnePeriod, OnlyForm, form_key, require_period
from gateway.api.subtree import agency_keys
from gateway.db.delivery_filter import DeliveryFilter
from gateway.domain.delivery import Event
from gateway.domain.document import Moment
from gateway.domain.report import ReportKind

_Moment = Moment | None


async def _filter(
    catalogue: NewestCatalogue,
    caller: Operator,
    today: Today,
    report: UUID | None = None,
    event: Event | None = None,
    form: OnlyForm = None,
    agency: ExactAgency = None,
    under: Annotated[str | None, Query(description="This agency and everything below it today.")] = None,
    period: OnePeriod = None,
    kind: ReportKind | None = None,
    made_from: Annotated[_Moment, Query(description="Made at this time or later (RFC 3339).")] = None,
    made_to: Annotated[_Moment, Query(description="Made before this time.")] = None,
    ended_from: Annotated[
        _Moment, Query(description="Ended at this time or later: neither pending nor sending.")
    ] = None,
    ended_to: Annotated[_Moment, Query(description="Ended before this time.")] = None,
) -> DeliveryFilter:
    require_period(period)
    is_of_some = agency is not None or under is not None
    return DeliveryFilter(
        report=report,
        event=event and event.value,
        agencies=agency_keys(catalogue, caller, agency, under, today) if is_of_some else None,
        form=form_key(catalogue, form),
        period=period,
        kind=kind and kind.value,
        made_from=made_from,
        made_to=made_to,
        ended_from=ended_from,
        ended_to=ended_to,
    )


Filter = Annotated[DeliveryFilter, Depends(_filter)]
NAMES = frozenset(
    {"state", "report", "event", "form", "agency", "under", "period", "kind"}
    | {"made_from", "made_to", "ended_from", "ended_to"}
)
"""What a filter is made of, by the names of its parameters."""
