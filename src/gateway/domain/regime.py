"""Reporting regimes (chế độ báo cáo): who reports which forms for which periods, by when, and to whom.

What a regime has to say follows Decree 09/2019/NĐ-CP, articles 7 and 11; its defaults are the decree's cut-off
(article 12) and deadline (article 13). Decree article 4 tells the three kinds apart.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.domain.agency import Agencies, AgencyCode, Hierarchy, Level
from gateway.domain.calendar import Calendar
from gateway.domain.document import Day, Document, ReckonedDay, Title, Valid, choice, refusal
from gateway.domain.form_document import FORM_CODE
from gateway.domain.period import (
    PERIOD_PATTERN,
    Frequency,
    Period,
    PeriodError,
    PeriodRule,
    day_of_month,
    parse_period,
    period_of_year,
    periods_of_year,
)
from gateway.domain.report import ReportKind
from gateway.domain.signature import SignatureRule

RegimeCode = Annotated[str, StringConstraints(pattern=FORM_CODE)]
PERIOD_NAME = r"^(?:Y|S[12]|Q[1-4]|9M|W(?:0[1-9]|[1-4][0-9]|5[0-3])|0[1-9]|1[0-2])$"
"""What a period is called within its year; `Y` is the year itself."""

DEFAULT_REOPEN_DAYS = 10
"""Days a returned report may be corrected where the regime says nothing and never locks."""


class RegimeKind(StrEnum):
    """Periodic (định kỳ), thematic (chuyên đề) or ad hoc (đột xuất)."""

    periodic = "periodic"
    thematic = "thematic"
    ad_hoc = "ad_hoc"


class Moved(StrEnum):
    """Where a deadline goes that falls on a day off."""

    no = "no"
    next = "next"
    previous = "previous"


class Cutoff(Document):
    """The last day of a period's data: a day of its last month (31: the last), or the weekday that ends a week."""

    day: int = Field(14, ge=1, le=31, description="Of the last month of a period of months; 31 is its last day.")
    weekday: int = Field(7, ge=1, le=7, description="That ends a week: 1 is Monday, 7 Sunday.")


class Deadline(Document):
    """The last day to send a report. Exactly one of `day`, `days`, `working_days` and `date` is given.

    Whatever it says, a report is never due before the first working day after the cut-off (Decree 09/2019, art. 8).
    """

    day: int | None = Field(None, ge=1, le=31, description="Of the month `months_after` the period's last month.")
    months_after: int = Field(0, ge=0, le=12)
    days: int | None = Field(None, ge=0, le=400, description="So many days after the cut-off.")
    working_days: int | None = Field(None, ge=1, le=250, description="So many working days after the cut-off.")
    date: ReckonedDay | None = Field(None, description="That very day: for thematic and ad hoc reports.")
    moved: Annotated[Moved, choice(Moved)] = Field(Moved.no, description="Off a non-working day, and where to.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.day, self.days, self.working_days, self.date)) != 1:
            raise refusal(
                "phải có đúng một trong: day, days, working_days, date",
                "exactly one of day, days, working_days and date is given",
            )
        if self.day is None and self.months_after:
            raise refusal("months_after chỉ đi cùng day", "months_after goes with day")
        return self

    def on(self, period: Period, calendar: Calendar) -> Day:
        """The deadline of a period."""
        if self.day is not None:
            year, month = period.last_month
            due = day_of_month(year, month + self.months_after, self.day)
        elif self.days is not None:
            due = period.end + timedelta(days=self.days)
        elif self.working_days is not None:
            due = calendar.nth_working_day_after(period.end, self.working_days)
        else:
            due = self.date or period.end
        if self.moved is Moved.next:
            due = calendar.next_working_day(due)
        elif self.moved is Moved.previous:
            due = calendar.previous_working_day(due)
        return max(due, calendar.nth_working_day_after(period.end, 1))


TO_THE_GOVERNMENT = Deadline(day=25)
"""Decree 09/2019/NĐ-CP, article 13, clause 1: the 25th of the period's last month."""
DEFAULT_DEADLINES: Mapping[Level, Deadline] = {
    Level.ministry: TO_THE_GOVERNMENT,
    Level.province: TO_THE_GOVERNMENT,
    Level.department: Deadline(day=20),
    Level.district: Deadline(day=20),
    Level.commune: Deadline(day=18),
    Level.unit: Deadline(day=18),
}
"""Clause 2 leaves earlier deadlines below to each regime; these days are this product's, for regimes that name none."""
WEEKLY_DEADLINE = Deadline(working_days=1)


class Duty(Document):
    """Who reports, and what: every agency of the levels, subtree and list given; what is null does not narrow."""

    levels: list[Annotated[Level, choice(Level)]] | None = Field(None, min_length=1)
    under: AgencyCode | None = Field(None, description="This agency and everything below it.")
    agencies: list[AgencyCode] | None = Field(None, min_length=1, max_length=10_000)
    report_kind: Annotated[ReportKind, choice(ReportKind)] = ReportKind.own

    def binds(self, code: str, level: Level, hierarchy: Hierarchy) -> bool:
        """Whether an agency of that level is among those it names, in the tree of the period's last day."""
        return (
            (self.levels is None or level in self.levels)
            and (self.agencies is None or code in self._listed)
            and (self.under is None or hierarchy.covers(self.under, code))
        )

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.agencies or ())


class RegimeDocument(Valid):
    """One version of a regime as it is written and served: what holds from ``valid_from`` on."""

    code: RegimeCode
    title: Title | None = None
    owner: AgencyCode | None = Field(None, description="Who set it; null is the Government.")
    legal_basis: str = Field(min_length=1, max_length=500)
    forms: list[Annotated[str, StringConstraints(pattern=FORM_CODE)]] = Field(min_length=1, max_length=100)
    kind: Annotated[RegimeKind, choice(RegimeKind)] = RegimeKind.periodic
    frequency: Annotated[Frequency, choice(Frequency)]
    periods: list[Annotated[str, StringConstraints(max_length=40)]] | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Only these: names within a year (`Q1`, `07`, `Y`) or whole codes (`2026-07-20/P14D`); "
        "null is every period of the frequency. Names may be of other frequencies: `[Q1, Q2, Q3, Y]`.",
    )
    who: list[Duty] = Field(min_length=1, max_length=50)
    receiver: AgencyCode | None = Field(None, description="To whom reports are addressed; null is the Government.")
    cutoff: Cutoff | None = Field(None, description="Null is that of Decree 09/2019: the 14th, and Sunday.")
    deadlines: dict[Level | Literal["default"], Deadline] = Field(
        default_factory=dict,
        description="By level, and `default`. A level that has neither: the 25th for ministries and provinces, the "
        "20th and 18th below, the first working day after a week, none for ad hoc periods.",
    )
    lock_after_days: int | None = Field(None, ge=0, le=3660, description="Days after the deadline; null never locks.")
    reopen_days: int | None = Field(
        None, ge=1, le=366, description="Days a return reopens the period for; null: `lock_after_days`, or 10."
    )
    signature: Annotated[SignatureRule, choice(SignatureRule)] = Field(
        SignatureRule.none, description="Whether reports must carry the agency's signature (`Report-Signature`)."
    )

    @model_validator(mode="before")
    @classmethod
    def _levels_are_words(cls, value: object) -> object:
        """Keys of ``deadlines`` as levels, which a strict model does not read from strings."""
        if isinstance(value, dict) and isinstance(value.get("deadlines"), dict):
            deadlines = {Level(key) if key in set(Level) else key: rule for key, rule in value["deadlines"].items()}
            return value | {"deadlines": deadlines}
        if isinstance(value, dict) and value.get("deadlines", "") is None:
            return {name: part for name, part in value.items() if name != "deadlines"}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind is RegimeKind.periodic and self.frequency is Frequency.ad_hoc:
            raise refusal(
                "chế độ định kỳ phải có tần suất, không phải ad_hoc",
                "a periodic regime has a frequency, which ad_hoc is not",
            )
        if len(set(self.periods or ())) < len(self.periods or ()):
            raise refusal("một kỳ được nêu hai lần", "a period is named twice")
        for text in self.periods or ():
            _require_period(text)
        if any(rule.day is not None for rule in self.deadlines.values()) and self._has_no_months():
            raise refusal(
                "kỳ tuần và kỳ đột xuất không có tháng: hãy dùng days, working_days hoặc date",
                "weeks and ad hoc periods have no month: use days, working_days or date",
            )
        if self.kind is RegimeKind.periodic and any(rule.date is not None for rule in self.deadlines.values()):
            raise refusal(
                "thời hạn của chế độ định kỳ lặp lại: date chỉ dùng cho chuyên đề, đột xuất",
                "a periodic regime's deadlines recur: date is for thematic and ad hoc ones",
            )
        return self

    def kept(self) -> dict[str, Any]:
        """The document as it is stored: processes of the version before do not know the word ``signature``."""
        return self.model_dump(exclude={"signature"} if self.signature is SignatureRule.none else None)

    def _has_no_months(self) -> bool:
        return self.periods is None and self.frequency in {Frequency.weekly, Frequency.ad_hoc}


def _require_period(text: str) -> None:
    if re.fullmatch(PERIOD_NAME, text) is None and re.fullmatch(PERIOD_PATTERN, text) is None:
        raise refusal(
            f"'{text[:40]}' không phải là kỳ: hãy viết Q1, 07, S2, 9M, W30, Y hoặc mã đầy đủ",
            f"'{text[:40]}' names no period: write Q1, 07, S2, 9M, W30, Y or a whole code",
        )
    if "-" in text or re.match(r"^\d{4}$", text):
        try:
            parse_period(text)
        except PeriodError as error:
            raise refusal(*error.message) from None


class Regime:
    """One version of a regime, ready to be asked."""

    def __init__(self, document: RegimeDocument) -> None:
        self.document = document
        self.code = document.code
        cutoff = document.cutoff or Cutoff()
        self.rule = PeriodRule(cutoff.day, cutoff.weekday)
        self.forms = frozenset(document.forms)
        self._names = None if document.periods is None else frozenset(document.periods)
        self.of_year = lru_cache(maxsize=64)(self._of_year)

    def _of_year(self, year: int) -> list[Period]:
        """The periods that a year names and this version reports, by last day; whole codes by the year they begin."""
        if self._names is None:
            found = periods_of_year(self.document.frequency, year, self.rule)
        else:
            found = [*self._named(year)]
        return sorted((each for each in found if self.document.is_valid_on(each.end)), key=lambda each: each.end)

    def _named(self, year: int) -> Iterator[Period]:
        for name in self._names or ():
            if re.match(PERIOD_NAME, name):
                try:
                    yield period_of_year(name, year, self.rule)
                except PeriodError:  # the 53rd week of a year that has 52
                    continue
            elif name.startswith(str(year)):
                yield parse_period(name, self.rule)

    def takes(self, code: str) -> Period | None:
        """The period a well-formed code names, if this version reports it and is valid on its last day; else None."""
        period = self.named(code)
        return period if period is not None and self.document.is_valid_on(period.end) else None

    def named(self, code: str) -> Period | None:
        """The period a well-formed code names, cut by this version, if it is among those reported, valid or not."""
        period = parse_period(code, self.rule)
        if self._names is None:
            return period if period.frequency is self.document.frequency else None
        name = "Y" if period.frequency is Frequency.annual else code[5:]
        return period if code in self._names or name in self._names else None

    @property
    def is_expected(self) -> bool:
        """Whether its reports can be missing: nobody owes a report of an event that has not happened."""
        return self.document.frequency is not Frequency.ad_hoc or self._names is not None

    def kinds_owed(self, code: str, period: Period, agencies: Agencies) -> list[ReportKind]:
        """The kinds of report an agency owes for a period: none if it is not in force on the last day."""
        version = agencies.at(code, period.end)
        if version is None:
            return []
        hierarchy = agencies.on(period.end)
        kinds = [duty.report_kind for duty in self.document.who if duty.binds(code, version.level, hierarchy)]
        return list(dict.fromkeys(kinds))

    def owing(self, period: Period, agencies: Agencies) -> list[tuple[str, ReportKind]]:
        """Everyone who owes a report for a period, by code."""
        found: set[tuple[str, ReportKind]] = set()
        hierarchy = agencies.on(period.end)
        for duty in self.document.who:
            among = hierarchy.parents if duty.under is None else hierarchy.subtree(duty.under)
            wanted, levels = duty.agencies and set(duty.agencies), duty.levels and set(duty.levels)
            for code in among:
                version = agencies.at(code, period.end) if wanted is None or code in wanted else None
                if version is not None and (levels is None or version.level in levels):
                    found.add((code, duty.report_kind))
        return sorted(found)

    def levels(self, period: Period, agencies: Agencies) -> list[Level]:
        """The levels of those who owe a report for a period."""
        bound = {agencies.nearest(code, period.end).level for code, _ in self.owing(period, agencies)}
        return [level for level in Level if level in bound]

    def deadline(self, period: Period, level: Level, calendar: Calendar) -> date | None:
        """The last day a level may send the report of a period; None where nothing says."""
        rule = self.document.deadlines.get(level) or self.document.deadlines.get("default")
        if rule is None:
            rule = default_deadline(period, level)
        return None if rule is None else rule.on(period, calendar)

    @property
    def reopen_days(self) -> int:
        """Days for which a return opens a period again."""
        own = self.document.reopen_days
        return own or self.document.lock_after_days or DEFAULT_REOPEN_DAYS


def in_order(regimes: Mapping[str, Sequence[Regime]]) -> Mapping[str, Sequence[Regime]]:
    """All versions of each regime, oldest first."""
    return {
        code: sorted(versions, key=lambda each: each.document.valid_from or date.min)
        for code, versions in regimes.items()
    }


def default_deadline(period: Period, level: Level) -> Deadline | None:
    """What holds where no regime says when a level reports."""
    if period.frequency is Frequency.ad_hoc:
        return None
    return WEEKLY_DEADLINE if period.frequency is Frequency.weekly else DEFAULT_DEADLINES[level]
