"""What several routes are asked for: forms, periods and agencies, as parameters and as they are read."""

from typing import Annotated, Any

from fastapi import Path, Query

from gateway.domain.agency import AGENCY_CODE
from gateway.domain.catalogue import Catalogue
from gateway.domain.form_document import FORM_CODE
from gateway.domain.period import PERIOD_PATTERN, PeriodError, expand, parse_period
from gateway.errors import MalformedRequest, NotFound, Place, Text

Form = Annotated[str, Query(description="The form's code.", examples=["TTHC_06A"])]
PeriodRange = Annotated[
    str, Query(description="One period, a list `2026-Q1,2026-Q2`, or a range `2025-Q1..2026-Q3`.", examples=["2026-Q3"])
]
OnePeriod = Annotated[
    str | None,
    Query(description="Only this period.", examples=["2026-Q3"], json_schema_extra={"pattern": PERIOD_PATTERN}),
]
ExactAgency = Annotated[str | None, Query(description="Exactly this agency.")]
Under = Annotated[str | None, Query(description="This agency and everything below it; the client's own if absent.")]
Indicators = Annotated[str | None, Query(alias="indicator", description="Indicators, comma-separated; all if absent.")]
OnlyForm = Annotated[str | None, Query(description="Only this form.")]


def _named(example: str, pattern: str) -> Any:
    """A name in a path. Other texts than those of the pattern name nothing that there is."""
    said: dict[str, Any] = {"pattern": pattern}
    return Path(examples=[example], json_schema_extra=said)


FormCode = Annotated[str, _named("TTHC_06A", FORM_CODE)]
RegimeCode = Annotated[str, _named("KSTT", FORM_CODE)]
CodeListId = Annotated[str, _named("TTHC_SECTOR", FORM_CODE)]
AgencyCode = Annotated[str, _named("H26.30", AGENCY_CODE)]
AgencyName = Annotated[str, Path(description="Its code, or an alias of it.", examples=["H26.18"])]


def wrong(place: str, message: Text) -> MalformedRequest:
    """The refusal of one parameter, or of one place of a body."""
    return MalformedRequest(message, errors=[Place(place, message)])


def require_form(catalogue: Catalogue, form: str | None) -> None:
    """Raises ``NotFound`` for a form that is named and is not there."""
    if form is not None and form not in catalogue.forms:
        raise NotFound(Text("Không có biểu mẫu này.", "There is no such form."))


def form_key(catalogue: Catalogue, form: str | None) -> int | None:
    """The storage key of a form, None where none is named. Raises ``NotFound``."""
    require_form(catalogue, form)
    return None if form is None else catalogue.form_ids[form]


def require_period(code: str | None, place: str = "period") -> None:
    """Raises ``MalformedRequest`` for what is given and is not one period."""
    try:
        if code is not None:
            parse_period(code)
    except PeriodError as error:
        raise wrong(place, error.message) from error


def period_codes(expression: str) -> list[str]:
    """The codes of one period, a list or a range. Raises ``MalformedRequest``."""
    try:
        return [each.code for each in expand(expression)]
    except PeriodError as error:
        raise wrong("period", error.message) from error
