"""Look up in storage the reports that rules look at besides the one they judge."""

from collections.abc import Mapping, Sequence
from functools import partial

from gateway.db.related import KnownReport, LookUp
from gateway.domain.catalogue import Catalogue
from gateway.domain.form import Form
from gateway.domain.period import Period, parse_period
from gateway.domain.rules import Cells, Codes
from gateway.flow.cells import cells_from_storage
from gateway.flow.related import Current, CurrentReports, Wanted


def look_ups(wanted: Sequence[Wanted], catalogue: Catalogue) -> list[LookUp]:
    """How storage is asked for reports: one look-up for each that is wanted, in the same order."""
    agencies, forms = catalogue.agencies.ids, catalogue.form_ids
    return [
        LookUp(agencies[series.agency], forms[series.form], series.kind.value, period, end)
        for series, period, end in wanted
    ]


def know(reports: CurrentReports, found: Sequence[KnownReport], wanted: Sequence[Wanted], catalogue: Catalogue) -> None:
    """Add to the reports that are known what look-ups found in storage."""
    for each in found:
        series = wanted[each.n - 1].series
        form = catalogue.form_version(series.form, each.version)
        if form is not None:
            # The days it was sent for, even where its regime has cut the period otherwise since.
            period = Period(each.period, parse_period(each.period).frequency, each.start, each.end)
            reports.add(series, Current(each.id, period, form, partial(_rows, form, each)))


def _rows(form: Form, found: KnownReport) -> Mapping[Codes, Cells]:
    return {tuple(codes): cells_from_storage(form, figures) for codes, figures in found.rows}
