"""Where two regimes would have one form reported twice, so that figures were asked for twice or added twice."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from gateway.domain.agency import Agencies, Hierarchy
from gateway.domain.period import Frequency, Period, parse_period, period_of_year
from gateway.domain.regime import Regime
from gateway.domain.report import ReportKind
from gateway.errors import Text

_SECOND_DAY = date.min + timedelta(days=1)
_MOST_DAYS = 40
"""Days of change that are looked at: the newest; what held before them has been looked at when it was new."""


def overlaps(regimes: Mapping[str, Sequence[Regime]], agencies: Agencies, changed: Iterable[str]) -> Iterator[Text]:
    """What stands against changed regimes beside all others: at most one may cover a form, frequency and agency on a
    day, and nobody's own figures may be asked for by one regime where another asks for those of an agency above."""
    versions = {code: _spans(all_) for code, all_ in regimes.items()}
    for code in changed:
        for one in versions[code]:
            for other_code, others in versions.items():
                for other in others if other_code != code else ():
                    if (found := _clash(one, other, agencies)) is not None:
                        yield found


class _Span(NamedTuple):
    """A version of a regime, and the first and the last day on which it is the one in force."""

    regime: Regime
    first: date
    last: date


def _spans(versions: Sequence[Regime]) -> list[_Span]:
    """Versions of one regime, oldest first, each until the next begins."""
    firsts = [each.document.valid_from or date.min for each in versions]
    replaced = [max(first, _SECOND_DAY) - timedelta(days=1) for first in firsts[1:]] + [date.max]
    ends = [min(each.document.valid_to or date.max, day) for each, day in zip(versions, replaced, strict=True)]
    return [_Span(*each) for each in zip(versions, firsts, ends, strict=True)]


def _clash(one_span: _Span, other_span: _Span, agencies: Agencies) -> Text | None:
    one, other = one_span.regime, other_span.regime
    forms = one.forms & other.forms
    frequencies = frequencies_of(one) & frequencies_of(other)
    if not forms or not frequencies:
        return None
    names = f"{', '.join(sorted(forms))} ({', '.join(sorted(frequencies))})"
    for day in _days(one_span, other_span, agencies):
        period = Period("", Frequency.ad_hoc, day, day)
        first, second = one.owing(period, agencies), other.owing(period, agencies)
        both = sorted({code for code, _ in first} & {code for code, _ in second})
        if both:
            return Text(
                f"{one.code} và {other.code} cùng giao {names} cho {_some(both)} vào ngày {day}.",
                f"{one.code} and {other.code} both have {_some(both)} report {names} on {day}.",
            )
        pair = _twice_added(_own(first), _own(second), agencies.on(day))
        if pair is not None:
            return Text(
                f"Số liệu {names} sẽ bị cộng hai lần: {pair[0]} nằm trong {pair[1]}, mà cả hai đều báo cáo số liệu của "
                f"mình theo {one.code} và {other.code}; hãy để {pair[1]} báo cáo 'consolidation'.",
                f"Figures of {names} would be added twice: {pair[0]} lies under {pair[1]}, and both report their own "
                f"under {one.code} and {other.code}; let {pair[1]} owe a 'consolidation'.",
            )
    return None


def frequencies_of(regime: Regime) -> frozenset[Frequency]:
    """The frequencies of the periods that a regime reports."""
    document = regime.document
    if document.periods is None:
        return frozenset({document.frequency})
    return frozenset(_frequency(name) for name in document.periods)


def _frequency(name: str) -> Frequency:
    is_whole = len(name) >= 4
    # 2004 has 53 weeks, so that every name within a year is a period of it.
    return (parse_period(name) if is_whole else period_of_year(name, 2004)).frequency


def _days(one: _Span, other: _Span, agencies: Agencies) -> list[date]:
    """The days on which something begins while both are in force."""
    first, last = max(one.first, other.first), min(one.last, other.last)
    if first > last:
        return []
    begun = {each.valid_from for all_ in agencies.versions.values() for each in all_ if each.valid_from is not None}
    return [first, *sorted(day for day in begun if first < day <= last)[-_MOST_DAYS:]]


def _own(owing: Sequence[tuple[str, ReportKind]]) -> frozenset[str]:
    return frozenset(code for code, kind in owing if kind is ReportKind.own)


def _twice_added(one: frozenset[str], other: frozenset[str], hierarchy: Hierarchy) -> tuple[str, str] | None:
    """An agency of either and one above it that is of the other, if there is such a pair."""
    for below, above in ((one, other), (other, one)):
        for code in sorted(below):
            step = hierarchy.parents.get(code)
            while step is not None:
                if step in above:
                    return code, step
                step = hierarchy.parents.get(step)
    return None


def _some(codes: Sequence[str]) -> str:
    return ", ".join(codes[:5]) + (f" … ({len(codes)})" if len(codes) > 5 else "")
