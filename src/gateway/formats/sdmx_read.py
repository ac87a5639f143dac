"""What all notations of SDMX data have in common when they are read: components by name, made into reports."""

import re
from collections.abc import Mapping
from datetime import date, timedelta

from gateway.domain.period import Frequency, PeriodError, parse_period
from gateway.errors import Text
from gateway.formats.sdmx_codes import (
    AGENCY,
    ATTRIBUTES,
    FREQ,
    INDICATOR,
    NORMAL,
    STATUS,
    TIME,
    VALUE,
    agency_code,
)
from gateway.formats.sdmx_time import FREQUENCIES
from gateway.formats.single_values import Observations, Path
from gateway.formats.upload import Cell, Faults, Unreadable

TAKEN_ACTIONS = frozenset({"I", "R", "A", "INFORMATION", "REPLACE", "APPEND"})
"""A report is sent whole. To merge into one or to delete from one is another thing, and not taken."""
_REQUIRED = (FREQ, AGENCY, INDICATOR, TIME)
_SHORT = re.compile(r"(?:[\w.@$-]{1,100}:)?([A-Za-z][\w@$-]{0,99})\(([0-9+~.]{1,20})\)")
_URN = re.compile(r"urn:sdmx:[\w.]{1,100}=" + _SHORT.pattern)


def structure_named(text: str) -> dict[str, str] | None:
    """The form and version that a structure or dataflow is of: `VNGOV:TTHC_06A(1.0.0)`, or its URN."""
    found = _SHORT.fullmatch(text) or _URN.fullmatch(text)
    return None if found is None else form_of(found[1], found[2])


def form_of(identifier: str, version: str) -> dict[str, str]:
    """A structure's id and version as the form and version they are of; the form alone where no version is named."""
    number = re.fullmatch(r"([1-9][0-9]{0,2})(?:\.0){1,2}", version)
    return {"form": identifier} | ({"form_version": number[1]} if number else {})


def add(
    values: Observations,
    structure: Mapping[str, str],
    components: Mapping[str, str],
    path: Path,
    spot: Text,
    faults: Faults,
) -> None:
    """Take an observation by the values of its components, its dimensions and attributes. Notes what it lacks."""
    lacking = [name for name in _REQUIRED if not components.get(name)]
    if lacking:
        names = ", ".join(lacking)
        faults.add(spot, Text(f"Thiếu {names}.", f"{names} is missing."))
        return
    period = period_of(components[TIME], components[FREQ])
    if period is None:
        faults.add(
            spot,
            Text(f"{TIME} và {FREQ} không phải là một kỳ báo cáo.", f"{TIME} and {FREQ} are no reporting period."),
        )
        return
    said = {**structure, "agency": agency_code(components[AGENCY]), "period": period}
    values.begin(said, dict.fromkeys(said, spot))
    known = {*_REQUIRED, VALUE, *ATTRIBUTES}
    codes = {name: value for name, value in components.items() if name not in known}
    cell: Cell | None = components.get(VALUE) or None
    status = components.get(STATUS, NORMAL)
    if cell is not None and status not in {NORMAL, ""}:
        cell = Unreadable(_STATUS, text=str(cell))
    values.add(codes, components[INDICATOR], cell, path)


def period_of(text: str, frequency: str) -> str | None:
    """The period that a time period of a frequency is; None if it is none."""
    known = next((each for each, code in FREQUENCIES.items() if code == frequency), None)
    if known is None:
        return None
    if known is Frequency.nine_months:
        return _nine_months(text)
    code = re.sub(r"-A1$", "", re.sub(r"-M(0[1-9]|1[0-2])$", r"-\1", text))
    try:
        return code if parse_period(code).frequency is known else None
    except PeriodError:
        return None


def _nine_months(text: str) -> str | None:
    """Nine months begin on the day after a cut-off of the year before, or on 1 January."""
    found = re.fullmatch(r"(2[0-9]{3}-[0-9]{2}-[0-9]{2})/P9M", text)
    try:
        middle = date.fromisoformat(found[1]) + timedelta(days=120) if found else None
    except ValueError:
        return None
    return None if middle is None else f"{middle.year}-9M"


_STATUS = Text(
    f"Chỉ nhận giá trị có {STATUS} là {NORMAL} (bình thường).",
    f"Only values whose {STATUS} is {NORMAL} (normal) are taken.",
)
