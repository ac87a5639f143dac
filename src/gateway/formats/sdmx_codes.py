"""What a catalogue calls things, and what SDMX calls them: its ids are letters, digits, `_`, `-`, `@` and `$`."""

from collections import Counter
from collections.abc import Mapping

from gateway.domain.codelist import CodeList
from gateway.domain.form import Form
from gateway.domain.form_document import Breakdown, Indicator, Type

TOTAL = "_T"
FREQ, AGENCY, INDICATOR, TIME, VALUE = "FREQ", "AGENCY", "INDICATOR", "TIME_PERIOD", "OBS_VALUE"
STATUS, UNIT, DECIMALS = "OBS_STATUS", "UNIT_MEASURE", "DECIMALS"
ATTRIBUTES = (STATUS, UNIT, DECIMALS)
_OWN = frozenset({FREQ, AGENCY, INDICATOR, TIME, VALUE, *ATTRIBUTES})
NORMAL = "A"
"""The status of every observation, by the cross-domain code list CL_OBS_STATUS: normal."""


def agency_id(code: str) -> str:
    """An agency's code: `H26.18` is `H26-18`."""
    return code.replace(".", "-")


def agency_code(identifier: str) -> str:
    """The agency's code behind an id; agency codes have no dashes."""
    return identifier.replace("-", ".")


def code_ids(codelist: CodeList) -> Mapping[str, str]:
    """The id of every code of a list: `.` is written `-`, and `@` where two codes would become one."""
    dashed = {each.code: each.code.replace(".", "-") for each in codelist.codes}
    times = Counter(dashed.values())
    return {code: code.replace(".", "@") if times[id_] > 1 else id_ for code, id_ in dashed.items()}


def breakdown_id(breakdown: Breakdown) -> str:
    """The dimension of a breakdown: its id in upper case, with `-B` after it where that is one of ours."""
    name = breakdown.id.upper()
    return f"{name}-B" if name in _OWN else name


def dimension_ids(form: Form) -> list[str]:
    """The dimensions of a form's data in the order of keys, time apart."""
    return [FREQ, AGENCY, INDICATOR, *(breakdown_id(each) for each in form.breakdowns)]


def observed(form: Form) -> list[Indicator]:
    """The indicators that have observations: all but texts."""
    return [each for each in form.indicators if each.type is not Type.text]


def version_of(form: Form) -> str:
    return f"{form.version}.0.0"
